/* SPDX-License-Identifier: MIT */
/* A database server that costs next to nothing: one database with a given number of changes, served as
 * CouchDB 3 does (opaque sequences, chunks of about 1,490 bytes, `limit`, longpoll), as fast as sockets allow. It
 * is what the couchdb connector is measured against, so that not the database is measured. Loopback only.
 *
 *   bench_feed_server CHANGES [document_bytes]
 *
 * Prints its port, then serves until it is killed. A thread for each connection. */
#include "base/alloc.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIGITS 9
#define CHUNK 1490u
#define OUT_BYTES (256u * 1024u)
#define PIECE 512u /* more than any text that is not a row needs; there is always room for it */
/* What stands behind the number of a CouchDB sequence of a database with two shards. */
#define OPAQUE                                                                                     \
    "-g1AAAACTeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-"                                 \
    "zMpgTGXKBAuxmKYlplsZm2DTgMSaPBUgyNACp"                                                        \
    "_1DTGMGmpVgYJKcYp2DTlwUAJ2gpTQ"

/* A row is a template; its number stands at these places. All rows have one length. */
static struct {
    char text[1 << 20];
    size_t len; /* with the comma and the line's end behind it */
    size_t at[4];
    size_t count;
} row;
static uint64_t changes;

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void put(const char *text)
{
    size_t len = strlen(text);
    memcpy(row.text + row.len, text, len);
    row.len += len;
}

static void put_number(void)
{
    row.at[row.count++] = row.len;
    put("000000000");
}

static void make_row(size_t document)
{
    put("{\"seq\":\"");
    put_number();
    put(OPAQUE "\",\"id\":\"account-");
    put_number();
    put("\",\"changes\":[{\"rev\":\"1-967a00dff5e02add41819138abb3284d\"}],\"doc\":");
    size_t begin = row.len;
    put("{\"_id\":\"account-");
    put_number();
    put("\",\"_rev\":\"1-967a00dff5e02add41819138abb3284d\",\"name\":\"James "
        "Bond\",\"type\":\"Demo\","
        "\"region\":\"Bangalore\",\"active\":true,\"balance\":1234.5,\"note\":\"");
    while (row.len - begin < document - 2) {
        put("x");
    }
    put("\"}},\n");
}

static char *copy_row(char *to, uint64_t number)
{
    char digits[DIGITS + 1];
    (void)memcpy(to, row.text, row.len);
    for (size_t i = DIGITS; i-- > 0; number /= 10) {
        digits[i] = (char)('0' + number % 10);
    }
    for (size_t i = 0; i < row.count; i++) {
        memcpy(to + row.at[i], digits, DIGITS);
    }
    return to + row.len;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

static char *chunk(char *to, const char *text)
{
    return to + snprintf(to, PIECE, "%zx\r\n%s\r\n", strlen(text), text);
}

static bool serve_changes(int fd, char *out, uint64_t since, uint64_t limit)
{
    uint64_t last = limit < changes - since ? since + limit : changes;
    uint64_t group = row.len >= CHUNK ? 1 : CHUNK / row.len;
    char text[400];
    char *at = out + snprintf(out, PIECE,
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                              "Content-Type: application/json\r\n\r\n");
    at = chunk(at, "{\"results\":[\n");
    while (since < last) {
        uint64_t count = group < last - since ? group : last - since;
        bool ends = since + count == last; /* without the last comma */
        at += snprintf(at, PIECE, "%zx\r\n", (size_t)count * row.len - (ends ? 2 : 0));
        while (count-- > 0) {
            at = copy_row(at, ++since);
        }
        at -= ends ? 2 : 0;
        *at++ = '\r';
        *at++ = '\n';
        if ((size_t)(at - out) > OUT_BYTES / 2) {
            if (!send_all(fd, out, (size_t)(at - out))) {
                return false;
            }
            at = out;
        }
    }
    (void)snprintf(text, sizeof text,
                   "\n],\n\"last_seq\":\"%09" PRIu64 OPAQUE "\",\"pending\":%" PRIu64 "}\n", last,
                   changes - last);
    at = chunk(at, text);
    at += snprintf(at, PIECE, "0\r\n\r\n");
    return send_all(fd, out, (size_t)(at - out));
}

static bool serve_database(int fd)
{
    char body[512];
    char head[128];
    int len = snprintf(
        body, sizeof body,
        "{\"instance_start_time\":\"1700000000\",\"db_name\":\"accounts\",\"doc_count\":%" PRIu64
        ",\"update_seq\":\"%09" PRIu64 OPAQUE "\"}\n",
        changes, changes);
    int head_len = snprintf(
        head, sizeof head,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len);
    return send_all(fd, head, (size_t)head_len) && send_all(fd, body, (size_t)len);
}

static uint64_t number_behind(const char *request, const char *name, uint64_t otherwise)
{
    const char *at = strstr(request, name);
    if (at == NULL) {
        return otherwise;
    }
    at += strlen(name);
    at += strncmp(at, "%22", 3) == 0 ? 3 : 0;
    return strtoull(at, NULL, 10);
}

static bool answer(int fd, char *out, const char *request)
{
    uint64_t since = 0;
    if (strstr(request, "/_changes") == NULL) {
        return serve_database(fd);
    }
    since = number_behind(request, "since=", 0);
    since = since < changes ? since : changes;
    if (since == changes && strstr(request, "feed=normal") == NULL) {
        /* Nothing comes any more: the answer waits as long as the client does, or its `timeout`. */
        struct pollfd gone = {fd, POLLIN, 0};
        if (poll(&gone, 1, (int)number_behind(request, "timeout=", 60000)) != 0) {
            return false;
        }
    }
    return serve_changes(fd, out, since, number_behind(request, "limit=", UINT64_MAX));
}

static void *serve(void *ctx)
{
    int fd = (int)(intptr_t)ctx;
    char request[8192];
    size_t len = 0;
    char *out = pubsub__alloc(OUT_BYTES + sizeof row.text);
    while (out != NULL) {
        ssize_t got = recv(fd, request + len, sizeof request - 1 - len, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL) {
            len = 0;
            if (!answer(fd, out, request)) {
                break;
            }
        }
    }
    pubsub__free(out);
    (void)close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1;
    size_t document = argc > 2 ? strtoull(argv[2], NULL, 10) : 256;
    changes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (changes == 0 || document < 200 || document > 900000) {
        (void)fprintf(stderr, "usage: bench_feed_server CHANGES [document_bytes, from 200]\n");
        return 2;
    }
    make_row(document);
    (void)signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        die("listen");
    }
    (void)printf("%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            die("accept");
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
            die("thread");
        }
        (void)pthread_detach(thread);
    }
}
