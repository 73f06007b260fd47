/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "http/server_internal.h"

#include <stdio.h>
#include <string.h>

/* One connection: a head, a body, an answer, and again. Nothing here frees a connection but the link's
 * end and the timer, so that a handler may do what it likes in its calls. */

enum {
    OUT_MAX = 32 * 1024 * 1024,
    LINGER_BYTES = 1024 * 1024,
};

/* ---- life ---------------------------------------------------------------------------------- */

void server_conn_request_gone(server_conn *conn)
{
    bridge_request *request = conn->request;
    if (request != NULL) {
        conn->request = NULL;
        request->mount->options.on_gone(request->mount->options.ctx, request);
        server_request_free(request);
    }
}

void server_conn_free(server_conn *conn)
{
    server_listener *listener = conn->listener;
    server_conn_request_gone(conn);
    if (conn->link != NULL) {
        bridge_link_close(conn->link);
    }
    listener->host->timer_free(conn->timer);
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        listener->conns = conn->next;
    }
    listener->conn_count--;
    pubsub__buf_fini(&conn->in);
    pubsub__buf_fini(&conn->out);
    pubsub__free(conn);
    server_conn_count_changed(listener);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void begin_request(server_conn *conn, size_t len)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bridge_request *request = server_request_new(conn, conn->in.data, len);
    const char *why = "";
    pubsub_bytes head = {NULL, len};
    int status = 0;
    if (request == NULL) {
        server_conn_broken(conn);
        return;
    }
    pubsub__buf_drop(&conn->in, len);
    server_conn_no_time(conn);
    head.data = request->bytes;
    status = bridge_head_parse(&request->head, head, &why);
    request->mount = status == 0 ? server_mount_find(conn->listener, request->head.path) : NULL;
    if (status == 0 && request->mount == NULL) {
        status = 404;
        why = "nothing is here";
    } else if (status == 0 && request->mount->ending) {
        status = 503;
        why = "going down";
    } else if (status == 0 && request->head.length > (int64_t)request->mount->options.max_body) {
        status = 413;
        why = "the body is too big";
    }
    if (status != 0) {
        server_request_drop(request);
        server_conn_fail(conn, status, why);
        return;
    }
    request->mount->open++;
    request->complete = !request->head.chunked && request->head.length <= 0;
    conn->request = request;
    conn->state = CONN_BODY;
    request->mount->options.on_head(request->mount->options.ctx, request);
    if (conn->request != request || conn->closing || conn->broken) {
        return;
    }
    if (request->head.expects && conn->in.len == 0 &&
        (request->head.chunked || request->head.length > 0)) {
        if (pubsub__buf_add(&conn->out, go_on, sizeof(go_on) - 1) != PUBSUB__BUF_OK) {
            server_conn_broken(conn);
            return;
        }
        server_conn_send(conn);
        return;
    }
    if (!request->paused) {
        server_conn_time(conn, conn->listener->limits.body);
    }
}

/* True: something was done, look again. */
static bool run_head(server_conn *conn)
{
    size_t limit = conn->listener->limits.head_bytes;
    size_t end = 0;
    size_t skip = 0;
    if (server_conn_has_unsent(conn)) {
        return false; /* the next request is looked at once this one's answer is read */
    }
    while (conn->head_seen == 0 && skip < conn->in.len &&
           (conn->in.data[skip] == '\r' || conn->in.data[skip] == '\n')) {
        skip++;
    }
    pubsub__buf_drop(&conn->in, skip);
    if (conn->in.len == 0) {
        return false;
    }
    if (conn->in.data[0] < '!' || conn->in.data[0] > 'z') {
        server_conn_fail(conn, 400, "this is no HTTP request"); /* a TLS hello, for one */
        return false;
    }
    end = bridge_head_end(conn->in.data, conn->in.len, &conn->head_seen);
    if (end > limit || (end == 0 && conn->in.len >= limit)) {
        server_conn_fail(conn, 431, "the head is too long");
        return false;
    }
    if (end > 0) {
        begin_request(conn, end);
        return true;
    }
    if (!conn->timing) {
        conn->timing = true;
        server_conn_time(conn, conn->listener->limits.head);
    }
    return false;
}

static void body_complete(server_conn *conn)
{
    bridge_request *request = conn->request;
    server_conn_no_time(conn);
    request->complete = true;
    conn->state = CONN_ANSWER;
    if (server_conn_has_unsent(conn)) {
        server_conn_send(conn); /* an answer in pieces has begun: its time goes on */
    }
    request->mount->options.on_end(request->mount->options.ctx, request);
}

static bool give_piece(server_conn *conn, pubsub_bytes piece)
{
    bridge_request *request = conn->request;
    bridge_mount *mount = request->mount;
    request->body += (int64_t)piece.len;
    if (request->body > (int64_t)mount->options.max_body) {
        server_conn_fail(conn, 413, "the body is too big");
        return false;
    }
    mount->options.on_body(mount->options.ctx, request, piece);
    return conn->request == request;
}

/* The bytes stay where they are during the calls; what was used is dropped behind them. */
static bool run_body(server_conn *conn)
{
    bridge_request *request = conn->request;
    pubsub_bytes rest = {conn->in.data, conn->in.len};
    pubsub_bytes piece = {NULL, 0};
    bool is_end = false;
    bool stands = true;
    if (request->paused) {
        return false;
    }
    if (!request->head.chunked) {
        int64_t left = (request->head.length > 0 ? request->head.length : 0) - request->body;
        piece.data = rest.data;
        piece.len = left < (int64_t)rest.len ? (size_t)left : rest.len;
        rest.len -= piece.len;
        is_end = left == (int64_t)piece.len;
    } else {
        bridge_chunk_result result = bridge_chunks_take(&request->chunks, &rest, &piece);
        is_end = result == BRIDGE_CHUNK_END;
        if (result == BRIDGE_CHUNK_BAD) {
            server_conn_fail(conn, 400, "the chunks of the body are broken");
            return false;
        }
    }
    if (piece.len > 0) {
        stands = give_piece(conn, piece);
    }
    size_t used = conn->in.len - rest.len;
    pubsub__buf_drop(&conn->in, used);
    if (stands && is_end) {
        body_complete(conn);
    }
    return used > 0 || is_end;
}

void server_conn_run(server_conn *conn)
{
    bool again = true;
    if (conn->running) {
        return;
    }
    conn->running = true;
    while (again && !conn->closing && !conn->broken) {
        if (conn->state == CONN_HEAD) {
            again = run_head(conn);
        } else if (conn->state == CONN_BODY) {
            again = run_body(conn);
        } else {
            again = false;
        }
    }
    conn->running = false;
    /* One reading more than a head must fit, for what is sent ahead of its turn. */
    bridge_link_read(conn->link, conn->closing || conn->in.len < conn->listener->limits.head_bytes);
}

static void on_bytes(void *ctx, const void *data, size_t len)
{
    server_conn *conn = ctx;
    if (conn->state == CONN_LINGER || conn->closing) {
        conn->lingered += len;
        if (conn->lingered > LINGER_BYTES) {
            server_conn_broken(conn);
        }
        return;
    }
    if (pubsub__buf_add(&conn->in, data, len) != PUBSUB__BUF_OK) {
        server_conn_broken(conn);
        return;
    }
    server_conn_run(conn);
}

static void on_closed(void *ctx)
{
    server_conn *conn = ctx;
    conn->link = NULL;
    server_conn_free(conn);
}

/* ---- new ----------------------------------------------------------------------------------- */

void server_conn_new(server_listener *listener, int fd, const struct in6_addr *address,
                     const char *peer)
{
    static const bridge_link_events events = {on_bytes, server_conn_on_writable, on_closed};
    server_conn *conn = pubsub__calloc(1, sizeof(*conn));
    bridge_link *link = bridge_link_new(listener->port, fd, &events, conn);
    if (conn == NULL || link == NULL ||
        (conn->timer = listener->host->timer_new(listener->host, server_conn_on_timer, conn)) ==
            NULL) {
        if (link != NULL) {
            bridge_link_close(link);
        }
        pubsub__free(conn);
        return;
    }
    conn->listener = listener;
    conn->link = link;
    conn->address = *address;
    (void)snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
    pubsub__buf_init(&conn->in, listener->limits.head_bytes + BRIDGE_LINK_PIECE);
    pubsub__buf_init(&conn->out, OUT_MAX);
    conn->next = listener->conns;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    listener->conns = conn;
    listener->conn_count++;
    server_conn_time(conn, listener->limits.head);
}
