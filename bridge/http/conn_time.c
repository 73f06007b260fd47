/* SPDX-License-Identifier: MIT */
#include "http/server_internal.h"

/* The time a connection is given for what it does now. It changes several times with each request and
 * hardly ever runs out, so the host's timer is left alone as long as it comes early enough: then it is
 * set again for the rest. */

#define NS_PER_MS UINT64_C(1000000)

static void arm(server_conn *conn, uint64_t due_ns, pubsub_duration_ms ms)
{
    conn->armed_ns = due_ns;
    conn->listener->host->timer_start(conn->timer, ms);
}

void server_conn_time(server_conn *conn, pubsub_duration_ms ms)
{
    pubsub_host *host = conn->listener->host;
    conn->due_ns = host->now_ns(host) + (uint64_t)ms * NS_PER_MS;
    if (conn->armed_ns == 0 || ms == 0 || conn->due_ns < conn->armed_ns) {
        arm(conn, conn->due_ns, ms);
    }
}

void server_conn_no_time(server_conn *conn)
{
    conn->due_ns = 0;
}

/* Whether it is over now; else the timer is set again if need be. */
static bool is_over(server_conn *conn)
{
    pubsub_host *host = conn->listener->host;
    uint64_t now = host->now_ns(host);
    conn->armed_ns = 0;
    if (conn->due_ns > now) {
        arm(conn, conn->due_ns, (pubsub_duration_ms)((conn->due_ns - now) / NS_PER_MS + 1));
    }
    return conn->due_ns != 0 && conn->due_ns <= now;
}

void server_conn_on_timer(void *ctx)
{
    server_conn *conn = ctx;
    bool is_reading = conn->state == CONN_HEAD || conn->state == CONN_BODY;
    if (!conn->broken && !is_over(conn)) {
        return;
    }
    if (conn->broken || server_conn_has_unsent(conn) || !is_reading ||
        (conn->state == CONN_HEAD && !conn->timing)) {
        server_conn_free(conn);
        return;
    }
    server_conn_fail(
        conn, 408, conn->state == CONN_HEAD ? "the head took too long" : "the body took too long");
}

void server_conn_broken(server_conn *conn)
{
    conn->broken = true;
    conn->closing = true;
    server_conn_time(conn, 0);
}
