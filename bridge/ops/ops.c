/* SPDX-License-Identifier: MIT */
#include "ops/ops.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "http/server.h"
#include "ops/render.h"

#include <string.h>

enum { ANSWER_MAX = 16 << 20, DRAIN = 200 };

struct bridge_ops {
    const bridge_engine *engine;
    bridge_mount *mount;
    void (*done)(void *ctx);
    void *done_ctx;
};

static const char json_headers[] = "Content-Type: application/json\r\nCache-Control: no-store\r\n";

static bool is(pubsub_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static void answer(bridge_request *request, int status, const char *headers, pubsub__buf *body)
{
    pubsub_bytes bytes = {body->data, body->len};
    bridge_request_answer(request, status, headers, bytes);
    pubsub__buf_fini(body);
}

static void on_end(void *ctx, bridge_request *request)
{
    const bridge_ops *ops = ctx;
    pubsub_bytes path = bridge_request_path(request);
    pubsub__buf body;

    if (!is(bridge_request_method(request), "GET") && !is(bridge_request_method(request), "HEAD")) {
        bridge_request_answer_text(request, 405, "Allow: GET, HEAD\r\n", "GET only");
        return;
    }
    pubsub__buf_init(&body, ANSWER_MAX);
    if (is(path, "/live")) {
        bridge_request_answer_text(request, 200, NULL, "live");
    } else if (is(path, "/ready")) {
        bridge_render_routes(ops->engine, false, &body);
        answer(request, bridge_engine_ready(ops->engine) ? 200 : 503, json_headers, &body);
    } else if (is(path, "/status")) {
        bridge_render_routes(ops->engine, true, &body);
        answer(request, 200, json_headers, &body);
    } else if (is(path, "/metrics")) {
        bridge_render_metrics(ops->engine, &body);
        answer(request, 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", &body);
    } else {
        bridge_request_answer_text(request, 404, NULL, "there are /live /ready /status /metrics");
    }
}

bridge_ops *bridge_ops_new(pubsub_host *host, const bridge_engine *engine, const char *listen,
                           pubsub_error *err)
{
    bridge_ops *ops = pubsub__calloc(1, sizeof(*ops));
    if (ops == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the operation endpoints");
        return NULL;
    }
    ops->engine = engine;
    bridge_mount_options options = {
        .listen = listen, .path = "/", .max_body = 1024, .on_end = on_end, .ctx = ops};
    if (bridge_mount_new(&ops->mount, host, &options, err) != PUBSUB_OK) {
        pubsub__free(ops);
        return NULL;
    }
    return ops;
}

static void on_gone(void *ctx)
{
    bridge_ops *ops = ctx;
    void (*done)(void *) = ops->done;
    void *done_ctx = ops->done_ctx;
    pubsub__free(ops);
    done(done_ctx);
}

void bridge_ops_free(bridge_ops *ops, void (*done)(void *ctx), void *ctx)
{
    ops->done = done;
    ops->done_ctx = ctx;
    bridge_mount_free(ops->mount, DRAIN, on_gone, ops);
}
