/* SPDX-License-Identifier: MIT */
#include "engine/format.h"

#include "base/utf8.h"
#include "json/slice.h"

#include <string.h>

#define JSON "application/json"
#define CLOUDEVENTS_JSON "application/cloudevents+json; charset=utf-8"

/* ---- pieces; all return PUBSUB__BUF_* ---- */

static int add_base64(pubsub__buf *out, pubsub_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *data = bytes.data;
    int rc = pubsub__buf_reserve(out, bytes.len / 3 * 4 + 8);
    rc = rc == 0 ? pubsub__buf_add_byte(out, '"') : rc;
    for (size_t i = 0; i < bytes.len && rc == 0; i += 3) {
        size_t left = bytes.len - i;
        unsigned long word = (unsigned long)data[i] << 16 |
                             (left > 1 ? (unsigned long)data[i + 1] << 8 : 0) |
                             (left > 2 ? (unsigned long)data[i + 2] : 0);
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
                        left > 1 ? digits[word >> 6 & 63] : '=',
                        left > 2 ? digits[word & 63] : '='};
        rc = pubsub__buf_add(out, four, sizeof four);
    }
    return rc == 0 ? pubsub__buf_add_byte(out, '"') : rc;
}

static bool ends_with(pubsub_bytes text, const char *end)
{
    size_t len = strlen(end);
    return text.len >= len && memcmp((const char *)text.data + text.len - len, end, len) == 0;
}

/* Whether the content type leaves room for JSON: it names it, or says nothing. */
static bool may_be_json(pubsub_bytes type)
{
    const char *semicolon = type.len > 0 ? memchr(type.data, ';', type.len) : NULL;
    if (semicolon != NULL) {
        type.len = (size_t)(semicolon - (const char *)type.data);
    }
    while (type.len > 0 && ((const char *)type.data)[type.len - 1] == ' ') {
        type.len--;
    }
    return type.len == 0 || ends_with(type, "/json") || ends_with(type, "+json");
}

/* `,"name":DOCUMENT` without the comma. */
static int add_document(pubsub__buf *out, const char *name, const pubsub_source_event *event)
{
    pubsub_bytes document = event->document;
    bool json = document.len > 0 && may_be_json(event->content_type) &&
                bridge_json_check(document, NULL) == NULL;
    bool text = !json && pubsub__utf8_check(document.data, document.len);
    int rc = pubsub__buf_add_byte(out, '"');
    rc = rc == 0 ? pubsub__buf_add_text(out, name) : rc;
    rc = rc == 0 ? pubsub__buf_add_text(out, json || text ? "\":" : "_base64\":") : rc;
    if (rc != 0) {
        return rc;
    }
    if (document.len == 0) {
        return pubsub__buf_add_text(out, "null");
    }
    if (json) {
        return pubsub__buf_add(out, document.data, document.len);
    }
    return text ? bridge_json_quote(document, out) : add_base64(out, document);
}

/* ---- formats ---- */

static int make_event(pubsub__buf *out, const pubsub_source_event *event)
{
    int rc = pubsub__buf_add_text(out, "{\"model\":");
    rc = rc == 0 ? bridge_json_quote(event->model, out) : rc;
    rc = rc == 0 ? pubsub__buf_add_byte(out, ',') : rc;
    rc = rc == 0 ? add_document(out, "message", event) : rc;
    return rc == 0 ? pubsub__buf_add_byte(out, '}') : rc;
}

static int make_changestream(pubsub__buf *out, const pubsub_source_event *event)
{
    static const char *const types[] = {"update", "create", "update", "remove"};
    int rc = pubsub__buf_add_text(out, "{\"target\":");
    rc = rc != 0               ? rc
         : event->key.len == 0 ? pubsub__buf_add_text(out, "null")
                               : bridge_json_quote(event->key, out);
    rc = rc == 0 ? pubsub__buf_add_byte(out, ',') : rc;
    if (rc == 0) {
        rc = event->change == PUBSUB_CHANGE_DELETE ? pubsub__buf_add_text(out, "\"data\":null")
                                                   : add_document(out, "data", event);
    }
    return rc == 0 ? pubsub__buf_printf(out, ",\"type\":\"%s\"}",
                                        types[(unsigned)event->change < 4 ? event->change : 0])
                   : rc;
}

static int make_cloudevents(pubsub__buf *out, const bridge_format_names *names,
                            const pubsub_source_event *event)
{
    bridge_ce_text text;
    bridge_ce attributes[BRIDGE_CE_MAX];
    size_t count = bridge_ce_attributes(names, event, &text, attributes);
    int rc = pubsub__buf_add_byte(out, '{');
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = pubsub__buf_printf(out, "\"%s\":", attributes[i].name);
        rc = rc == 0 ? bridge_json_quote(attributes[i].value, out) : rc;
        rc = rc == 0 ? pubsub__buf_add_byte(out, ',') : rc;
    }
    if (rc == 0) {
        pubsub_bytes type = event->content_type;
        rc = pubsub__buf_add_text(out, "\"datacontenttype\":");
        rc = rc == 0 ? bridge_json_quote(type.len > 0 ? type : pubsub_bytes_of(JSON), out) : rc;
        rc = rc == 0 ? pubsub__buf_add_byte(out, ',') : rc;
    }
    rc = rc == 0 ? add_document(out, "data", event) : rc;
    return rc == 0 ? pubsub__buf_add_byte(out, '}') : rc;
}

pubsub_err bridge_format_payload(bridge_format format, const bridge_format_names *names,
                                 const pubsub_source_event *event, pubsub__buf *out,
                                 pubsub_bytes *content_type, pubsub_error *err)
{
    int rc = PUBSUB__BUF_OK;
    *content_type = pubsub_bytes_of(JSON);
    switch (format) {
    case BRIDGE_FORMAT_EVENT:
        rc = make_event(out, event);
        break;
    case BRIDGE_FORMAT_CHANGESTREAM:
        rc = make_changestream(out, event);
        break;
    case BRIDGE_FORMAT_CLOUDEVENTS:
        *content_type = pubsub_bytes_of(CLOUDEVENTS_JSON);
        rc = make_cloudevents(out, names, event);
        break;
    case BRIDGE_FORMAT_CLOUDEVENTS_BINARY:
    case BRIDGE_FORMAT_RAW:
        /* What another broker did not say about its messages is not made up here. */
        if (event->content_type.len > 0 || event->topic.len > 0) {
            *content_type = event->content_type;
        }
        rc = pubsub__buf_add(out, event->document.data, event->document.len);
        break;
    }
    if (rc == PUBSUB__BUF_FULL) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "a document of %zu bytes is too big",
                                event->document.len);
    }
    return rc == PUBSUB__BUF_OK
               ? PUBSUB_OK
               : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a document of %zu bytes",
                                  event->document.len);
}
