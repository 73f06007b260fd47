/* SPDX-License-Identifier: MIT */
/* A server for test_http_server.py: what it does with a request is in the path. It prints its port and
 * then what its handlers are told, and ends at the end of its input.
 *   http_probe LISTEN CERT|- KEY|- [name=value of a limit ...] */
#include "http/server.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "host/host.h"
#include "http/head.h"

#include <pubsub/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct work {
    bridge_request *request;
    pubsub__buf body;
    pubsub_host_timer *timer;
    int64_t ms;
    int pieces;
    bool resume;
} work;

static pubsub_host *host;
static bridge_mount *mounts[3];
static int left;

static void log_line(pubsub_host *self, int level, const char *text)
{
    (void)self;
    if (level <= PUBSUB_LOG_WARN) {
        fprintf(stderr, "%s\n", text);
    }
}

static void say(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

static void work_free(work *w)
{
    pubsub__buf_fini(&w->body);
    host->timer_free(w->timer);
    pubsub__free(w);
}

static bool is_at(bridge_request *request, const char *name)
{
    pubsub_bytes path = bridge_request_path(request);
    size_t len = strlen(name);
    return path.len >= len && memcmp((const char *)path.data + path.len - len, name, len) == 0;
}

static void answer(work *w)
{
    pubsub_bytes body = {w->body.data, w->body.len};
    bridge_request *request = w->request;
    char lines[128];
    snprintf(lines, sizeof(lines), "X-Peer: %s\r\nX-Length: %lld\r\n", bridge_request_peer(request),
             (long long)bridge_request_length(request));
    bridge_request_answer(request, 200, lines, body);
    work_free(w);
}

static void on_time(void *ctx)
{
    work *w = ctx;
    pubsub_bytes piece = {"piece of an answer\n", 19};
    if (w->resume) {
        w->resume = false;
        bridge_request_pause(w->request, false);
    } else if (is_at(w->request, "/stream") && w->pieces++ < 5) {
        bridge_request_send(w->request, piece);
        host->timer_start(w->timer, 10);
    } else if (is_at(w->request, "/stream")) {
        bridge_request_finish(w->request);
        work_free(w);
    } else if (is_at(w->request, "/flood")) {
        while (bridge_request_send(w->request, piece)) {
        }
        host->timer_start(w->timer, 5);
    } else {
        answer(w);
    }
}

static void on_head(void *ctx, bridge_request *request)
{
    work *w = NULL;
    pubsub__buf ms;
    (void)ctx;
    if (is_at(request, "/refuse")) {
        bridge_request_answer_text(request, 401, "X-Why: no\r\n", "no");
        return;
    }
    w = pubsub__calloc(1, sizeof(*w));
    pubsub__buf_init(&w->body, 64 * 1024 * 1024);
    pubsub__buf_init(&ms, 32);
    if (bridge_query_find(bridge_request_query(request), "ms", &ms)) {
        w->ms = strtoll(pubsub__buf_text(&ms), NULL, 10);
    }
    pubsub__buf_fini(&ms);
    w->request = request;
    w->timer = host->timer_new(host, on_time, w);
    bridge_request_set(request, w);
    if (is_at(request, "/stream") || is_at(request, "/flood")) {
        bridge_request_begin(request, 200, NULL);
        host->timer_start(w->timer, 10);
    }
}

static void on_body(void *ctx, bridge_request *request, pubsub_bytes piece)
{
    work *w = bridge_request_get(request);
    (void)ctx;
    pubsub__buf_add(&w->body, piece.data, piece.len);
    if (is_at(request, "/pause")) {
        w->resume = true;
        bridge_request_pause(request, true);
        host->timer_start(w->timer, 2);
    }
}

static void on_end(void *ctx, bridge_request *request)
{
    work *w = bridge_request_get(request);
    (void)ctx;
    if (is_at(request, "/later")) {
        host->timer_start(w->timer, w->ms);
    } else if (is_at(request, "/never")) {
        say("waiting");
    } else if (!is_at(request, "/stream") && !is_at(request, "/flood")) {
        answer(w);
    }
}

static void on_gone(void *ctx, bridge_request *request)
{
    (void)ctx;
    say("gone");
    work_free(bridge_request_get(request));
}

static void on_deep(void *ctx, bridge_request *request)
{
    (void)ctx;
    bridge_request_answer_text(request, 202, NULL, "deep");
}

static void nobody(void *ctx, bridge_request *request)
{
    (void)ctx;
    (void)request;
}

static void no_body(void *ctx, bridge_request *request, pubsub_bytes piece)
{
    (void)ctx;
    (void)request;
    (void)piece;
}

static void one_less(void *ctx)
{
    (void)ctx;
    if (--left == 0) {
        pubsub_host_stop(host);
    }
}

static void on_input(void *ctx, uint32_t bits)
{
    char byte;
    (void)ctx;
    (void)bits;
    if (read(0, &byte, 1) <= 0) {
        pubsub_host_stop(host);
    }
}

static void take_limit(bridge_mount_options *options, const char *text)
{
    const char *equals = strchr(text, '=');
    long value = equals != NULL ? strtol(equals + 1, NULL, 10) : 0;
    bridge_server_limits *limits = &options->limits;
    if (strncmp(text, "head=", 5) == 0) {
        limits->head = value;
    } else if (strncmp(text, "body=", 5) == 0) {
        limits->body = value;
    } else if (strncmp(text, "idle=", 5) == 0) {
        limits->idle = value;
    } else if (strncmp(text, "connections=", 12) == 0) {
        limits->connections = (size_t)value;
    } else if (strncmp(text, "address=", 8) == 0) {
        limits->connections_address = (size_t)value;
    }
}

static int mount_all(int argc, char **argv)
{
    bridge_mount_options options;
    pubsub_error err = PUBSUB_ERROR_INIT;
    char listen[64];
    memset(&options, 0, sizeof(options));
    options.listen = argv[1];
    options.cert_file = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    options.key_file = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
    options.path = "/a";
    options.max_body = 8 * 1024 * 1024;
    options.on_head = on_head;
    options.on_body = on_body;
    options.on_end = on_end;
    options.on_gone = on_gone;
    for (int i = 4; i < argc; i++) {
        take_limit(&options, argv[i]);
    }
    if (bridge_mount_new(&mounts[0], host, &options, &err) != PUBSUB_OK) {
        printf("%s: %s\n", pubsub_err_name(err.code), err.text);
        return 2;
    }
    /* Others on the same address. */
    snprintf(listen, sizeof(listen), "%.*s:%u", (int)(strrchr(argv[1], ':') - argv[1]), argv[1],
             bridge_mount_port(mounts[0]));
    options.listen = listen;
    options.path = "/a/deep";
    options.on_head = on_deep;
    options.on_body = no_body;
    options.on_end = nobody;
    options.on_gone = nobody;
    if (bridge_mount_new(&mounts[1], host, &options, &err) != PUBSUB_OK) {
        printf("%s: %s\n", pubsub_err_name(err.code), err.text);
        return 2;
    }
    if (bridge_mount_new(&mounts[2], host, &options, &err) != PUBSUB_EINVAL) {
        printf("a path was mounted twice\n");
        return 2;
    }
    printf("port %u\n", bridge_mount_port(mounts[0]));
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    pubsub_host_watch *input = NULL;
    int code = 0;
    if (argc < 4 || pubsub_host_new(&host, NULL) != PUBSUB_OK) {
        return 2;
    }
    host->log = log_line;
    code = mount_all(argc, argv);
    if (code == 0) {
        input = host->watch_new(host, 0, on_input, NULL);
        host->watch_set(input, PUBSUB_HOST_READ);
        pubsub_host_run(host, -1);
        host->watch_free(input);
    }
    for (int i = 0; i < 2; i++) {
        if (mounts[i] != NULL) {
            left++;
            bridge_mount_free(mounts[i], 500, one_less, NULL);
        }
    }
    if (left > 0) {
        pubsub_host_run(host, 5000);
    }
    pubsub_host_free(host);
    if (left != 0 || pubsub__alloc_live() != 0) {
        printf("left: %d mounts, %lld blocks of memory\n", left, (long long)pubsub__alloc_live());
        return 3;
    }
    say("ended");
    return code;
}
