/* SPDX-License-Identifier: MIT */
#include "http/server_internal.h"

#include <stdio.h>
#include <string.h>

/* What a connection says. An answer goes out at once: to wait until the loop says that the socket takes
 * it would cost a turn of the loop and four calls of the system. The next request is never looked
 * at from inside an answer, because whoever answers may have more to answer. */

enum {
    OUT_KEEP = 64 * 1024, /* a bigger buffer is given back once it is empty */
    LINGER_MS = 1000,
};

/* True: nothing is left to send. */
static bool write_piece(server_conn *conn)
{
    size_t piece = conn->out.len - conn->out_sent;
    int sent = 1;
    if (piece > 0) {
        piece = piece < BRIDGE_LINK_PIECE ? piece : BRIDGE_LINK_PIECE;
        sent = bridge_link_write(conn->link, conn->out.data + conn->out_sent, piece);
        if (sent < 0) {
            server_conn_broken(conn);
            return false;
        }
        conn->out_sent += piece;
        conn->unsent = sent == 0;
        server_conn_time(conn, conn->listener->limits.idle);
    }
    if (conn->out_sent < conn->out.len) {
        bridge_link_want_write(conn->link);
    }
    return !server_conn_has_unsent(conn);
}

static void all_sent(server_conn *conn)
{
    size_t max = conn->out.max;
    pubsub__buf_reset(&conn->out);
    conn->out_sent = 0;
    if (conn->out.cap > OUT_KEEP) {
        pubsub__buf_fini(&conn->out);
        pubsub__buf_init(&conn->out, max);
    }
    if (conn->closing) {
        conn->state = CONN_LINGER;
        bridge_link_end(conn->link);
        bridge_link_read(conn->link, true);
        server_conn_time(conn, LINGER_MS);
        return;
    }
    server_conn_no_time(conn);
    if (conn->state == CONN_HEAD) {
        server_conn_time(conn, conn->listener->limits.idle);
    } else if (conn->state == CONN_BODY && !conn->request->paused) {
        server_conn_time(conn, conn->listener->limits.body); /* behind a "100 Continue" */
    }
}

void server_conn_on_writable(void *ctx)
{
    server_conn *conn = ctx;
    if (conn->broken || conn->state == CONN_LINGER) {
        return;
    }
    conn->unsent = false;
    if (write_piece(conn)) {
        all_sent(conn);
        server_conn_run(conn);
    }
}

void server_conn_send(server_conn *conn)
{
    if (!conn->broken) {
        server_conn_time(conn, conn->listener->limits.idle);
        bridge_link_want_write(conn->link);
    }
}

/* The end of an answer. */
static void send_now(server_conn *conn)
{
    if (conn->broken || conn->state == CONN_LINGER) {
        return;
    }
    if (conn->unsent) {
        server_conn_send(conn);
    } else if (write_piece(conn)) {
        all_sent(conn);
        if (!conn->closing && !conn->running && conn->in.len > 0) {
            bridge_link_want_write(conn->link); /* to go on with what came ahead of its turn */
        }
    }
}

void server_conn_fail(server_conn *conn, int status, const char *text)
{
    char body[160];
    bool is_begun = conn->request != NULL && conn->request->begun;
    conn->closing = true;
    server_conn_request_gone(conn);
    conn->state = CONN_ANSWER;
    (void)snprintf(body, sizeof(body), "%s\n", text);
    if (is_begun) {
        server_conn_broken(conn); /* in the middle of an answer nothing else can be said */
        return;
    }
    if (!server_put_head(conn, status,
                         status == 503
                             ? "Content-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
                             : "Content-Type: text/plain; charset=utf-8\r\n",
                         (int64_t)strlen(body), false, false) ||
        pubsub__buf_add_text(&conn->out, body) != PUBSUB__BUF_OK) {
        server_conn_broken(conn);
        return;
    }
    send_now(conn);
}

void server_conn_answered(server_conn *conn)
{
    bridge_request *request = conn->request;
    conn->request = NULL;
    if (!request->complete || !request->head.keep_alive || conn->listener->closing) {
        conn->closing = true;
    }
    conn->state = conn->closing ? CONN_ANSWER : CONN_HEAD;
    conn->timing = false;
    conn->head_seen = 0;
    server_request_free(request);
    send_now(conn);
}
