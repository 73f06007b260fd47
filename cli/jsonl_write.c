/* SPDX-License-Identifier: MIT */
#include "jsonl.h"

#include "codec.h"

#include "base/utf8.h"

#include <inttypes.h>

static bool is_utf8(pubsub_bytes bytes)
{
    return bytes.len == 0 || pubsub__utf8_check(bytes.data, bytes.len);
}

/* A string, or {"base64":".."}. */
static bool put_value(pubsub__buf *out, pubsub_bytes bytes)
{
    if (is_utf8(bytes)) {
        return cli_json_add(out, bytes);
    }
    return pubsub__buf_add_text(out, "{\"base64\":\"") == PUBSUB__BUF_OK &&
           cli_base64_add(out, bytes) && pubsub__buf_add_text(out, "\"}") == PUBSUB__BUF_OK;
}

static bool put_member(pubsub__buf *out, const char *name, pubsub_bytes bytes)
{
    return pubsub__buf_printf(out, ",\"%s\":", name) == PUBSUB__BUF_OK && put_value(out, bytes);
}

static bool put_optional(pubsub__buf *out, const char *name, pubsub_bytes bytes)
{
    return bytes.len == 0 || put_member(out, name, bytes);
}

static bool put_ns(pubsub__buf *out, const char *name, uint64_t ns)
{
    return ns == 0 ||
           pubsub__buf_printf(out, ",\"%s\":\"%" PRIu64 "\"", name, ns) == PUBSUB__BUF_OK;
}

static bool put_headers(pubsub__buf *out, const cli_view *view)
{
    if (view->header_count == 0) {
        return true;
    }
    if (pubsub__buf_add_text(out, ",\"headers\":[") != PUBSUB__BUF_OK) {
        return false;
    }
    for (size_t i = 0; i < view->header_count; i++) {
        if (pubsub__buf_add_text(out, i == 0 ? "[" : ",[") != PUBSUB__BUF_OK ||
            !put_value(out, view->headers[i].name) ||
            pubsub__buf_add_byte(out, ',') != PUBSUB__BUF_OK ||
            !put_value(out, view->headers[i].value) ||
            pubsub__buf_add_byte(out, ']') != PUBSUB__BUF_OK) {
            return false;
        }
    }
    return pubsub__buf_add_byte(out, ']') == PUBSUB__BUF_OK;
}

static bool put_payload(pubsub__buf *out, const cli_view *view)
{
    if (view->tombstone) {
        return pubsub__buf_add_text(out, ",\"payload\":null}\n") == PUBSUB__BUF_OK;
    }
    if (is_utf8(view->payload)) {
        return pubsub__buf_add_text(out, ",\"payload\":") == PUBSUB__BUF_OK &&
               cli_json_add(out, view->payload) &&
               pubsub__buf_add_text(out, ",\"encoding\":\"utf8\"}\n") == PUBSUB__BUF_OK;
    }
    return pubsub__buf_add_text(out, ",\"payload\":\"") == PUBSUB__BUF_OK &&
           cli_base64_add(out, view->payload) &&
           pubsub__buf_add_text(out, "\",\"encoding\":\"base64\"}\n") == PUBSUB__BUF_OK;
}

bool cli_jsonl_add(pubsub__buf *out, const cli_view *view)
{
    if (pubsub__buf_printf(out, "{\"n\":%" PRIu64, view->n) != PUBSUB__BUF_OK ||
        !put_ns(out, "recv", view->recv_ns) || !put_ns(out, "ts", view->ts_ns) ||
        !put_optional(out, "broker", pubsub_bytes_of(view->broker)) ||
        !put_member(out, "topic", view->topic)) {
        return false;
    }
    if ((view->has_key && !put_member(out, "key", view->key)) || !put_headers(out, view) ||
        !put_optional(out, "content_type", view->content_type) ||
        !put_optional(out, "reply_to", view->reply_to) ||
        !put_optional(out, "correlation", view->correlation) ||
        !put_optional(out, "offset", pubsub_bytes_of(view->position))) {
        return false;
    }
    if (pubsub__buf_printf(out, ",\"qos\":%d,\"retain\":%s%s", view->qos,
                           view->retained ? "true" : "false",
                           view->redelivered ? ",\"redelivered\":true" : "") != PUBSUB__BUF_OK) {
        return false;
    }
    return put_ns(out, "expires", view->expires_ns) && put_payload(out, view);
}
