/* SPDX-License-Identifier: MIT */
/* Deliveries of a webhook as GitHub sends them, each signed and with an id of its own, over connections that are
 * kept alive: each sends its next delivery when the last one was answered. One thread. Loopback only. What it
 * measures runs on the same cores, so it takes care to use little of them.
 *
 *   bench_webhook_load PORT PATH SECRET DELIVERIES [connections] [body_bytes]
 *
 * Prints one line of JSON: rate, time from a request to its answer, and how many were not answered 2xx. */
#include "base/clock.h"
#include "base/hist.h"

#include <openssl/evp.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX 65536u
#define CONNECTIONS_MAX 1000u

typedef struct connection {
    int fd;
    char answer[1024];
    size_t len;
    uint64_t sent_ns;
} connection;

static struct {
    int port;
    const char *path, *secret;
    uint64_t count, sent, good, bad;
    size_t connections, body;
    uint32_t run;
} load;
static connection connections[CONNECTIONS_MAX];
static char request[BODY_MAX + 1024], payload[BODY_MAX + 1];
static EVP_MD_CTX *inner, *outer, *work; /* HMAC: SHA-256 after the padded secret, two ways */

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)load.port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("connect");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static EVP_MD_CTX *take_secret(unsigned char pad)
{
    unsigned char block[64] = {0};
    EVP_MD_CTX *made = EVP_MD_CTX_new();
    memcpy(block, load.secret, strlen(load.secret));
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= pad;
    }
    if (made == NULL || EVP_DigestInit_ex(made, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(made, block, sizeof block) != 1) {
        die("SHA-256");
    }
    return made;
}

/* What HMAC() does, which looks up its implementation and hashes the secret each time. */
static void sign(size_t len, char hex[64])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char mac[32];
    if (EVP_MD_CTX_copy_ex(work, inner) != 1 || EVP_DigestUpdate(work, payload, len) != 1 ||
        EVP_DigestFinal_ex(work, mac, NULL) != 1 || EVP_MD_CTX_copy_ex(work, outer) != 1 ||
        EVP_DigestUpdate(work, mac, sizeof mac) != 1 || EVP_DigestFinal_ex(work, mac, NULL) != 1) {
        die("HMAC");
    }
    for (size_t i = 0; i < sizeof mac; i++) {
        hex[2 * i] = digits[mac[i] >> 4];
        hex[2 * i + 1] = digits[mac[i] & 15];
    }
}

static void send_next(connection *c)
{
    char hex[64];
    int len = snprintf(payload, sizeof payload,
                       "{\"action\":\"opened\",\"number\":%" PRIu64 ",\"pad\":\"", load.sent);
    memset(payload + len, 'x', load.body - (size_t)len - 2);
    memcpy(payload + load.body - 2, "\"}", 2);
    sign(load.body, hex);
    len = snprintf(request, sizeof request,
                   "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                   "User-Agent: GitHub-Hookshot/bench\r\nX-GitHub-Event: issues\r\n"
                   "X-GitHub-Delivery: %08" PRIx32 "-%" PRIu64 "\r\n"
                   "X-Hub-Signature-256: sha256=%.64s\r\nContent-Length: %zu\r\n\r\n",
                   load.path, load.run, load.sent, hex, load.body);
    memcpy(request + len, payload, load.body);
    size_t whole = (size_t)len + load.body;
    c->sent_ns = pubsub__clock_mono_ns();
    c->len = 0;
    load.sent++;
    if (send(c->fd, request, whole, MSG_NOSIGNAL) != (ssize_t)whole) {
        die("send");
    }
}

/* Behind the answer: its head, and the body if it has one. */
static bool is_whole(const connection *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = strstr(c->answer, "ontent-Length: ");
    length = length != NULL ? length : strstr(c->answer, "ontent-length: ");
    if (end == NULL) {
        return false;
    }
    size_t body = length != NULL && length < end ? strtoull(length + 15, NULL, 10) : 0;
    return c->len >= (size_t)(end - c->answer) + 4 + body;
}

/* True when the connection has got its answer. */
static bool read_some(connection *c)
{
    ssize_t got = recv(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len, 0);
    if (got <= 0) {
        die("recv");
    }
    c->len += (size_t)got;
    c->answer[c->len] = '\0';
    if (!is_whole(c)) {
        return false;
    }
    if (c->len > 12 && c->answer[9] == '2') {
        load.good++;
    } else {
        load.bad++;
    }
    return true;
}

static void run(pubsub__hist *latency)
{
    struct epoll_event ready[CONNECTIONS_MAX];
    int all = epoll_create1(0);
    if (all < 0) {
        die("epoll");
    }
    for (size_t i = 0; i < load.connections; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].fd = dial();
        if (epoll_ctl(all, EPOLL_CTL_ADD, connections[i].fd, &want) != 0) {
            die("epoll");
        }
    }
    for (size_t i = 0; i < load.connections && load.sent < load.count; i++) {
        send_next(&connections[i]);
    }
    while (load.good + load.bad < load.count) {
        int count = epoll_wait(all, ready, CONNECTIONS_MAX, 30000);
        if (count <= 0) {
            die("no answer");
        }
        for (int i = 0; i < count; i++) {
            connection *c = ready[i].data.ptr;
            if (read_some(c)) {
                pubsub__hist_record(latency, pubsub__clock_mono_ns() - c->sent_ns);
                if (load.sent < load.count) {
                    send_next(c);
                }
            }
        }
    }
    (void)close(all);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        (void)fprintf(stderr, "usage: PORT PATH SECRET DELIVERIES [connections] [body_bytes]\n");
        return 2;
    }
    load.port = (int)strtol(argv[1], NULL, 10);
    load.path = argv[2];
    load.secret = argv[3];
    load.count = strtoull(argv[4], NULL, 10);
    load.connections = argc > 5 ? strtoull(argv[5], NULL, 10) : 64;
    load.body = argc > 6 ? strtoull(argv[6], NULL, 10) : 256;
    load.run = (uint32_t)pubsub__clock_mono_ns();
    if (load.connections < 1 || load.connections > CONNECTIONS_MAX || load.body < 100 ||
        load.body > BODY_MAX || strlen(load.secret) > 64) {
        (void)fprintf(stderr, "1 to %u connections, 100 to %u bytes, a secret of at most 64\n",
                      CONNECTIONS_MAX, BODY_MAX);
        return 2;
    }
    inner = take_secret(0x36);
    outer = take_secret(0x5c);
    work = EVP_MD_CTX_new();
    pubsub__hist latency;
    if (work == NULL || !pubsub__hist_init(&latency, UINT64_C(60000000000))) {
        die("memory");
    }
    uint64_t begin = pubsub__clock_mono_ns();
    run(&latency);
    double seconds = (double)(pubsub__clock_mono_ns() - begin) / 1e9;
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    (void)printf("{\"deliveries\": %" PRIu64 ", \"failed\": %" PRIu64
                 ", \"seconds\": %.4f, \"rate\": %.0f, "
                 "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"cpu_us\": %.2f}\n",
                 load.count, load.bad, seconds, (double)load.count / seconds,
                 (double)pubsub__hist_percentile(&latency, 0.5) / 1e6,
                 (double)pubsub__hist_percentile(&latency, 0.99) / 1e6, cpu / (double)load.count);
    pubsub__hist_fini(&latency);
    EVP_MD_CTX_free(inner);
    EVP_MD_CTX_free(outer);
    EVP_MD_CTX_free(work);
    return load.bad > 0;
}
