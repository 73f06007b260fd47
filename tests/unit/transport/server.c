/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#endif
#include "server.h"

#include "support/cmocka.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_on(server *s, uint16_t port, int backlog)
{
    struct sockaddr_storage at;
    socklen_t len = 0;
    int yes = 1;
    memset(&at, 0, sizeof(at));
    if (s->family == AF_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)&at;
        un->sun_family = AF_UNIX;
        (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s", s->path);
        len = sizeof(*un);
    } else if (s->family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;
        in6->sin6_family = AF_INET6;
        in6->sin6_addr = in6addr_loopback;
        in6->sin6_port = htons(port);
        len = sizeof(*in6);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&at;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in->sin_port = htons(port);
        len = sizeof(*in);
    }
    s->fd = socket(s->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (s->family == AF_INET6) {
        (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    }
    if (bind(s->fd, (struct sockaddr *)&at, len) != 0 || listen(s->fd, backlog) != 0) {
        return errno;
    }
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    s->port = s->family == AF_INET    ? ntohs(((struct sockaddr_in *)&at)->sin_port)
              : s->family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&at)->sin6_port)
                                      : 0;
    return 0;
}

static void *server_main(void *arg)
{
    server *s = arg;
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE); /* ours; the client's must still kill the test */
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while (!atomic_load(&s->stop)) {
        struct pollfd wait = {s->fd, POLLIN, 0};
        if (poll(&wait, 1, 20) <= 0) {
            continue;
        }
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) {
            continue;
        }
        atomic_store(&s->current, fd);
        atomic_fetch_add(&s->accepted, 1);
        s->serve(s, fd);
        atomic_store(&s->current, -1);
        (void)close(fd);
    }
    return NULL;
}

void server_start(server *s, int family, uint16_t port, server_fn serve)
{
    s->family = family;
    s->serve = serve;
    atomic_store(&s->current, -1);
    int error = listen_on(s, port, 64);
    if (error != 0) {
        fail_msg("cannot listen: %s", strerror(error));
    }
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

void server_stop(server *s)
{
    atomic_store(&s->stop, true);
    atomic_store(&s->go, true);
    int fd = atomic_load(&s->current);
    if (fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    (void)pthread_join(s->thread, NULL);
    (void)close(s->fd);
    if (s->family == AF_UNIX) {
        (void)unlink(s->path);
    }
}

const char *server_url(const server *s, const char *rest, char *out, size_t size)
{
    (void)snprintf(out, size, "wire://%s:%u%s", s->family == AF_INET6 ? "[::1]" : "127.0.0.1",
                   (unsigned)s->port, rest);
    return out;
}

uint16_t server_dead_port(void)
{
    server s;
    memset(&s, 0, sizeof(s));
    s.family = AF_INET;
    assert_int_equal(listen_on(&s, 0, 1), 0);
    (void)close(s.fd);
    return s.port;
}

/* ---- inside ---- */

bool server_wait_go(server *s)
{
    while (!atomic_load(&s->go) && !atomic_load(&s->stop)) {
        kit_breathe();
    }
    return !atomic_load(&s->stop);
}

bool server_send(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;
    while (len > 0) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        from += n;
        len -= (size_t)n;
    }
    return true;
}

static void count(server *s, const unsigned char *bytes, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += bytes[i];
    }
    atomic_fetch_add(&s->sum, sum);
    atomic_fetch_add(&s->received, len);
}

bool server_read_all(server *s, int fd)
{
    unsigned char bytes[65536];
    ssize_t n = 0;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        count(s, bytes, (size_t)n);
    }
    atomic_store(&s->ended, n == 0);
    return n == 0;
}

void serve_echo(server *s, int fd)
{
    unsigned char bytes[65536];
    ssize_t n = 0;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        count(s, bytes, (size_t)n);
        if (!server_send(fd, bytes, (size_t)n)) {
            return;
        }
    }
    atomic_store(&s->ended, n == 0);
}

void serve_sink(server *s, int fd)
{
    if (server_wait_go(s)) {
        (void)server_read_all(s, fd);
    }
}

void serve_mute(server *s, int fd)
{
    (void)fd;
    while (!atomic_load(&s->stop)) {
        kit_breathe();
    }
}

void serve_source(server *s, int fd)
{
    char bytes[4096];
    memset(bytes, 'x', sizeof(bytes));
    size_t left = s->size;
    while (left > 0) {
        size_t n = left < sizeof(bytes) ? left : sizeof(bytes);
        if (!server_send(fd, bytes, n)) {
            return;
        }
        left -= n;
    }
    (void)shutdown(fd, SHUT_WR);
    (void)server_read_all(s, fd);
}

void serve_reset(server *s, int fd)
{
    char byte = 0;
    for (size_t i = 0; i < s->size; i++) {
        if (recv(fd, &byte, 1, 0) <= 0) {
            return;
        }
    }
    struct linger now = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void serve_nothing(server *s, int fd)
{
    (void)s;
    (void)fd;
}

/* ---- nothing ever answers ---- */

void blackhole_open(blackhole *hole)
{
    server s;
    memset(&s, 0, sizeof(s));
    memset(hole, 0, sizeof(*hole));
    s.family = AF_INET;
    assert_int_equal(listen_on(&s, 0, 0), 0);
    hole->fd = s.fd;
    hole->port = s.port;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(s.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (hole->filled < 64) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        hole->fill[hole->filled++] = fd;
        (void)connect(fd, (struct sockaddr *)&to, sizeof(to));
        struct pollfd wait = {fd, POLLOUT, 0};
        if (poll(&wait, 1, 100) == 0) {
            return; /* this one hangs, so the next will too */
        }
    }
    fail_msg("a queue of length 0 never gets full here");
}

void blackhole_close(blackhole *hole)
{
    for (size_t i = 0; i < hole->filled; i++) {
        (void)close(hole->fill[i]);
    }
    (void)close(hole->fd);
}
