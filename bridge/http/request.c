/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "http/server_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    UNSENT_MAX = 256 * 1024, /* of an answer in pieces */
    POOL_MAX = 256,
    POOL_ROOM = 1024, /* bytes of a head in those of the pool */
};

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return status < 300 ? "OK" : status < 500 ? "Refused" : "Failed";
}

/* RFC 9110 section 5.6.7, in English whatever the locale. Made once a second. */
static const char *date_of(server_listener *listener)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = (time_t)(pubsub__clock_wall_ns() / 1000000000u);
    struct tm tm;
    if (now != listener->date_s) {
        memset(&tm, 0, sizeof(tm));
        (void)gmtime_r(&now, &tm);
        (void)snprintf(listener->date, sizeof(listener->date),
                       "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + tm.tm_wday * 3,
                       tm.tm_mday, months + tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
        listener->date_s = now;
    }
    return listener->date;
}

static bool put_status(pubsub__buf *out, int status)
{
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    return pubsub__buf_add(out, line, sizeof(line) - 1) == PUBSUB__BUF_OK;
}

/* length -1 = not known. Put together by hand: there is one for each request. */
bool server_put_head(server_conn *conn, int status, const char *headers, int64_t length,
                     bool chunked, bool keep)
{
    char size[48] = "";
    const char *pieces[7] = {reason_of(status),
                             "\r\n",
                             date_of(conn->listener),
                             headers != NULL ? headers : "",
                             size,
                             chunked ? "Transfer-Encoding: chunked\r\n" : "",
                             keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n"};
    bool ok = put_status(&conn->out, status);
    if (length == 0 && status != 204 && status != 304) {
        pieces[4] = "Content-Length: 0\r\n";
    } else if (length > 0 && status != 204 && status != 304) {
        (void)snprintf(size, sizeof(size), "Content-Length: %lld\r\n", (long long)length);
    }
    for (size_t i = 0; ok && i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        ok = pubsub__buf_add_text(&conn->out, pieces[i]) == PUBSUB__BUF_OK;
    }
    return ok;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* They are large, because a head may have many fields, and there is one for each request: so many are kept
 * as are used at a time, and what a short head does not use is never touched. */
bridge_request *server_request_new(server_conn *conn, const void *head, size_t len)
{
    server_listener *listener = conn->listener;
    bridge_request *request = listener->pool;
    size_t room = len < POOL_ROOM ? POOL_ROOM : len;
    if (request != NULL && len <= request->room) {
        listener->pool = request->next;
        listener->pooled--;
        room = request->room;
    } else {
        request = pubsub__alloc(sizeof(*request) + room);
    }
    if (request != NULL) {
        memset(request, 0, offsetof(bridge_request, head));
        request->conn = conn;
        request->room = room;
        memcpy(request->bytes, head, len);
    }
    return request;
}

void server_request_drop(bridge_request *request)
{
    server_listener *listener = request->conn->listener;
    if (request->room != POOL_ROOM || listener->pooled == POOL_MAX) {
        pubsub__free(request);
        return;
    }
    request->next = listener->pool;
    listener->pool = request;
    listener->pooled++;
}

void server_request_free(bridge_request *request)
{
    bridge_mount *mount = request->mount;
    server_request_drop(request);
    server_mount_released(mount);
}

void server_pool_free(server_listener *listener)
{
    while (listener->pool != NULL) {
        bridge_request *request = listener->pool;
        listener->pool = request->next;
        pubsub__free(request);
    }
    listener->pooled = 0;
}

/* ---- looking ------------------------------------------------------------------------------- */

pubsub_bytes bridge_request_method(const bridge_request *request)
{
    return request->head.method;
}

pubsub_bytes bridge_request_path(const bridge_request *request)
{
    return request->head.path;
}

pubsub_bytes bridge_request_query(const bridge_request *request)
{
    return request->head.query;
}

pubsub_bytes bridge_request_header(const bridge_request *request, const char *name, size_t *count)
{
    return bridge_head_find(&request->head, name, count);
}

const char *bridge_request_peer(const bridge_request *request)
{
    return request->conn->peer;
}

int64_t bridge_request_length(const bridge_request *request)
{
    return request->head.chunked ? -1 : request->head.length < 0 ? 0 : request->head.length;
}

void bridge_request_set(bridge_request *request, void *data)
{
    request->data = data;
}

void *bridge_request_get(const bridge_request *request)
{
    return request->data;
}

void bridge_request_pause(bridge_request *request, bool pause)
{
    server_conn *conn = request->conn;
    if (request->paused == pause || conn->state != CONN_BODY) {
        return;
    }
    request->paused = pause;
    if (pause) {
        server_conn_no_time(conn);
    } else {
        server_conn_time(conn, conn->listener->limits.body);
        server_conn_run(conn);
    }
}

/* ---- answering ----------------------------------------------------------------------------- */

static bool may_keep(const bridge_request *request)
{
    return request->complete && request->head.keep_alive && !request->conn->listener->closing &&
           !request->conn->closing;
}

static bool is_head(const bridge_request *request)
{
    return bridge_bytes_are(request->head.method, "HEAD");
}

/* What cannot be put together, for want of memory, ends the connection. */
static void put(server_conn *conn, bool is_done)
{
    if (!is_done) {
        server_conn_broken(conn);
    }
}

void bridge_request_answer(bridge_request *request, int status, const char *headers,
                           pubsub_bytes body)
{
    server_conn *conn = request->conn;
    put(conn, server_put_head(conn, status, headers, (int64_t)body.len, false, may_keep(request)));
    if (!is_head(request) && body.len > 0 && !conn->broken) {
        put(conn, pubsub__buf_add(&conn->out, body.data, body.len) == PUBSUB__BUF_OK);
    }
    server_conn_answered(conn);
}

void bridge_request_answer_text(bridge_request *request, int status, const char *headers,
                                const char *text)
{
    char lines[512];
    char body[512];
    pubsub_bytes bytes = {body, 0};
    (void)snprintf(lines, sizeof(lines), "Content-Type: text/plain; charset=utf-8\r\n%s",
                   headers != NULL ? headers : "");
    (void)snprintf(body, sizeof(body), "%s\n", text);
    bytes.len = strlen(body);
    bridge_request_answer(request, status, lines, bytes);
}

void bridge_request_begin(bridge_request *request, int status, const char *headers)
{
    server_conn *conn = request->conn;
    request->begun = true;
    request->chunked = may_keep(request);
    put(conn, server_put_head(conn, status, headers, -1, request->chunked, request->chunked));
    server_conn_send(conn);
}

bool bridge_request_send(bridge_request *request, pubsub_bytes piece)
{
    server_conn *conn = request->conn;
    if (bridge_request_unsent(request) + piece.len > UNSENT_MAX && conn->out.len > 0) {
        return false;
    }
    if (piece.len == 0 || is_head(request) || conn->broken) {
        return true;
    }
    if (request->chunked) {
        put(conn, pubsub__buf_printf(&conn->out, "%zx\r\n", piece.len) == PUBSUB__BUF_OK &&
                      pubsub__buf_add(&conn->out, piece.data, piece.len) == PUBSUB__BUF_OK &&
                      pubsub__buf_add_text(&conn->out, "\r\n") == PUBSUB__BUF_OK);
    } else {
        put(conn, pubsub__buf_add(&conn->out, piece.data, piece.len) == PUBSUB__BUF_OK);
    }
    server_conn_send(conn);
    return true;
}

size_t bridge_request_unsent(const bridge_request *request)
{
    return request->conn->out.len - request->conn->out_sent;
}

void bridge_request_finish(bridge_request *request)
{
    server_conn *conn = request->conn;
    if (request->chunked) {
        put(conn,
            is_head(request) || pubsub__buf_add_text(&conn->out, "0\r\n\r\n") == PUBSUB__BUF_OK);
    } else {
        conn->closing = true;
    }
    server_conn_answered(conn);
}
