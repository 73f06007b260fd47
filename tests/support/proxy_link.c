/* SPDX-License-Identifier: MIT */
#include "support/proxy_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool proxy_prepare_socket(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* With this the close that follows sends a reset instead of an end. */
void proxy_reset_socket(int fd)
{
    struct linger now = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void append(proxy_stream *stream, const void *data, size_t len, uint64_t due_ns)
{
    proxy_chunk *chunk = len > 0 && !stream->lost ? malloc(sizeof(*chunk) + len) : NULL;
    if (chunk == NULL) {
        return;
    }
    chunk->next = NULL;
    chunk->due_ns = due_ns;
    chunk->len = len;
    chunk->done = 0;
    memcpy(chunk->data, data, len);
    if (stream->last != NULL) {
        stream->last->next = chunk;
    } else {
        stream->first = chunk;
    }
    stream->last = chunk;
    stream->held += len;
}

static void remove_first(proxy_stream *stream)
{
    proxy_chunk *chunk = stream->first;
    stream->held -= chunk->len - chunk->done;
    stream->first = chunk->next;
    if (stream->first == NULL) {
        stream->last = NULL;
    }
    free(chunk);
}

static void drop_all(proxy_stream *stream)
{
    while (stream->first != NULL) {
        remove_first(stream);
    }
}

void kit_pass(kit_out *out, const void *data, size_t len)
{
    append(out->stream, data, len, out->due_ns);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) {
        return -1;
    }
    if (!proxy_prepare_socket(fd) ||
        (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool open_streams(proxy_link *link, const proxy_rules rules[2])
{
    for (int way = 0; way < 2; way++) {
        proxy_stream *stream = &link->streams[way];
        stream->filter = rules[way].filter;
        if (stream->filter.bytes != NULL && stream->filter.state_size > 0) {
            stream->state = calloc(1, stream->filter.state_size);
            if (stream->state == NULL) {
                return false;
            }
        }
    }
    return true;
}

proxy_link *proxy_link_new(int client, uint16_t target, const proxy_rules rules[2])
{
    proxy_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        proxy_reset_socket(client);
        (void)close(client);
        return NULL;
    }
    link->fds[0] = client;
    link->fds[1] = -1;
    if (target != 0) {
        link->fds[1] = connect_to(target);
    }
    if (!proxy_prepare_socket(client) || !open_streams(link, rules) ||
        (target != 0 && link->fds[1] < 0)) {
        proxy_link_reset(link);
        proxy_link_free(link);
        return NULL;
    }
    return link;
}

void proxy_link_free(proxy_link *link)
{
    for (int way = 0; way < 2; way++) {
        drop_all(&link->streams[way]);
        free(link->streams[way].state);
        if (link->fds[way] >= 0) {
            (void)close(link->fds[way]);
        }
    }
    free(link);
}

void proxy_link_reset(proxy_link *link)
{
    for (int end = 0; end < 2; end++) {
        if (link->fds[end] >= 0) {
            proxy_reset_socket(link->fds[end]);
        }
    }
}

static bool wants_to_read(const proxy_stream *stream)
{
    return !stream->ended && stream->held < PROXY_HELD_MAX;
}

/* When its first byte may leave, UINT64_MAX = not before something changes. */
static uint64_t write_time(const proxy_stream *stream, const proxy_rules *rules)
{
    if (stream->first == NULL || rules->stall) {
        return UINT64_MAX;
    }
    return stream->first->due_ns > stream->free_ns ? stream->first->due_ns : stream->free_ns;
}

void proxy_link_prepare(proxy_link *link, const proxy_rules rules[2], uint64_t now,
                        struct pollfd polls[2], uint64_t *due_ns)
{
    for (int end = 0; end < 2; end++) {
        uint64_t when = write_time(&link->streams[!end], &rules[!end]);
        short events = wants_to_read(&link->streams[end]) ? POLLIN : 0;
        if (when <= now) {
            events |= POLLOUT;
        } else if (when < *due_ns) {
            *due_ns = when;
        }
        /* A socket that has ended both ways would wake the loop for ever. */
        polls[end].fd = events == 0 && link->streams[end].ended ? -1 : link->fds[end];
        polls[end].events = events;
        polls[end].revents = 0;
    }
}

/* false = the connection is to be cut. */
static bool take(proxy_stream *stream, proxy_rules *rules, int from, uint64_t now)
{
    uint8_t data[PROXY_READ_MAX];
    ssize_t got = recv(from, data, sizeof(data), 0);
    kit_out out = {stream, now + rules->delay_ns};
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (got == 0) {
        stream->ended = true;
        return true;
    }
    rules->bytes += (uint64_t)got;
    if (stream->filter.bytes != NULL) {
        return stream->filter.bytes(stream->filter.ctx, stream->state, &out, data, (size_t)got);
    }
    kit_pass(&out, data, (size_t)got);
    return true;
}

static bool give(proxy_stream *stream, const proxy_rules *rules, int to, uint64_t now)
{
    while (write_time(stream, rules) <= now) {
        proxy_chunk *chunk = stream->first;
        size_t len = chunk->len - chunk->done;
        uint64_t slice = rules->bytes_per_second / 50;
        ssize_t sent = 0;
        if (rules->bytes_per_second > 0 && len > slice) {
            len = slice > 0 ? (size_t)slice : 1;
        }
        sent = send(to, chunk->data + chunk->done, len, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        chunk->done += (size_t)sent;
        stream->held -= (size_t)sent;
        if (rules->bytes_per_second > 0) {
            stream->free_ns = now + (uint64_t)sent * UINT64_C(1000000000) / rules->bytes_per_second;
        }
        if (chunk->done == chunk->len) {
            remove_first(stream);
        }
    }
    return true;
}

bool proxy_link_serve(proxy_link *link, proxy_rules rules[2], uint64_t now,
                      const struct pollfd polls[2])
{
    for (int end = 0; end < 2; end++) {
        proxy_stream *in = &link->streams[end];
        short got = polls[end].revents;
        bool broken = (got & (POLLERR | POLLNVAL)) != 0;
        if ((got & POLLHUP) != 0 && (got & POLLIN) == 0 && !in->ended) {
            broken = true;
        }
        if (!broken && (got & POLLIN) != 0 && !take(in, &rules[end], link->fds[end], now)) {
            (void)give(in, &rules[end], link->fds[!end], now); /* what came before still leaves */
            broken = true;
        }
        if (broken) {
            proxy_link_reset(link);
            return false;
        }
    }
    for (int way = 0; way < 2; way++) {
        proxy_stream *stream = &link->streams[way];
        int to = link->fds[!way];
        if (to < 0) { /* mute: nothing to write to, so what comes is thrown away */
            drop_all(stream);
        } else if (!give(stream, &rules[way], to, now)) {
            proxy_link_reset(link);
            return false;
        }
        if (stream->ended && stream->first == NULL && !stream->closed && !rules[way].stall) {
            stream->closed = true;
            if (to >= 0) {
                (void)shutdown(to, SHUT_WR);
            }
        }
    }
    if (link->fds[1] < 0) {
        return !link->streams[0].ended;
    }
    return !(link->streams[0].closed && link->streams[1].closed);
}

void proxy_link_half_close(proxy_link *link, kit_way way)
{
    proxy_stream *stream = &link->streams[way];
    drop_all(stream);
    stream->lost = true;
    if (!stream->closed && link->fds[!way] >= 0) {
        (void)shutdown(link->fds[!way], SHUT_WR);
    }
    stream->closed = true;
}

void proxy_link_inject(proxy_link *link, kit_way way, const void *data, size_t len, uint64_t now)
{
    append(&link->streams[way], data, len, now);
}
