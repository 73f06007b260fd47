/* SPDX-License-Identifier: MIT */
#include "http/client_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RETRY_AFTER_MAX_MS ((int64_t)24 * 3600 * 1000)

int64_t http_retry_after(const char *value)
{
    int64_t ms = 0;
    if (value[0] >= '0' && value[0] <= '9' && pubsub__parse_int(value, &ms) == PUBSUB__UNITS_OK) {
        ms = ms > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : ms * 1000;
    } else {
        time_t at = curl_getdate(value, NULL);
        int64_t now = (int64_t)(pubsub__clock_wall_ns() / 1000000u);
        if (at < 0) {
            return -1;
        }
        /* A date in the past means: now. */
        ms = (int64_t)at * 1000 > now ? (int64_t)at * 1000 - now : 0;
    }
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

static pubsub_bytes trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t')) {
        from++;
    }
    while (from < to && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r' || to[-1] == '\n')) {
        to--;
    }
    return (pubsub_bytes){from, (size_t)(to - from)};
}

static bool named(pubsub_bytes name, const char *what)
{
    return name.len == strlen(what) && strncasecmp(name.data, what, name.len) == 0;
}

static void status_line(bridge_http_call *call, const char *line, size_t len)
{
    const char *blank = memchr(line, ' ', len);
    const char *end = line + len;
    int status = 0;
    for (const char *at = blank; at != NULL && ++at < end && *at >= '0' && *at <= '9';) {
        status = status < 1000 ? status * 10 + (*at - '0') : status;
    }
    call->status = status;
    call->retry_after_ms = -1;
    call->follow = false;
    call->head_told = false;
    call->head_done = false;
}

static void note_header(bridge_http_call *call, pubsub_bytes name, pubsub_bytes value)
{
    bool plain = call->request.body.len == 0;
    if (named(name, "retry-after") && value.len < 64) {
        char text[64];
        memcpy(text, value.data, value.len);
        text[value.len] = '\0';
        call->retry_after_ms = http_retry_after(text);
    } else if (named(name, "location") && call->redirects < HTTP_REDIRECTS_MAX) {
        /* 301 to 303 turn other methods into GET, which nobody here means. */
        call->follow = call->status == 307 || call->status == 308 ||
                       (plain && call->status >= 301 && call->status <= 303);
    }
}

size_t http_on_header(char *line, size_t size, size_t count, void *ctx)
{
    bridge_http_call *call = ctx;
    size_t len = size * count;
    const char *colon = NULL;
    if (call->canceled) {
        return len == 0 ? 1 : 0;
    }
    call->heard_ns = call->http->host->now_ns(call->http->host);
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0) {
        status_line(call, line, len);
        return len;
    }
    if (call->head_done || call->status < 200) { /* trailers; an answer before the answer */
        return len;
    }
    colon = memchr(line, ':', len);
    if (colon != NULL) {
        pubsub_bytes name = trimmed(line, colon);
        pubsub_bytes value = trimmed(colon + 1, line + len);
        note_header(call, name, value);
        if (call->request.on_header != NULL) {
            call->request.on_header(call->request.ctx, name, value);
        }
    } else if (len <= 2) {
        call->head_done = true;
    }
    if (call->head_done && !call->follow) {
        call->head_told = true;
        if (call->timer != NULL && call->request.silence_ms > 0) {
            call->http->host->timer_start(call->timer, call->request.silence_ms);
        }
        if (call->request.on_head != NULL) {
            call->request.on_head(call->request.ctx, call->status);
        }
    }
    return call->canceled ? 0 : len;
}

size_t http_on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    bridge_http_call *call = ctx;
    size_t len = size * count;
    size_t skip = call->skip < len ? call->skip : len;
    size_t taken = 0;
    if (call->canceled) {
        return len == 0 ? 1 : 0;
    }
    call->heard_ns = call->http->host->now_ns(call->http->host);
    if (call->follow || call->request.on_body == NULL) {
        return len;
    }
    if (skip < len) {
        taken = call->request.on_body(call->request.ctx, (pubsub_bytes){bytes + skip, len - skip});
    }
    if (call->canceled) {
        return 0;
    }
    if (skip + taken < len) {
        /* libcurl keeps all of it and brings it again, so what was taken is passed over then. */
        call->skip = skip + taken;
        call->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    call->skip -= skip;
    return len;
}
