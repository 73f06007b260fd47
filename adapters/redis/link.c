/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"

#include <string.h>

/* Which connections there are, and what a lost one takes with it. */

static redis_link *find(const redis_self *self, uint32_t number)
{
    redis_link *link = self->links;
    while (link != NULL && link->number != number) {
        link = link->next;
    }
    return link;
}

redis_conn *pubsub__redis_main(const redis_self *self)
{
    return self->main != NULL && pubsub__redis_conn_is_up(self->main->conn) ? self->main->conn
                                                                            : NULL;
}

static redis_link *add(redis_self *self, uint32_t number, redis_link_kind kind, redis_sub *sub)
{
    redis_link *link = pubsub__calloc(1, sizeof(*link));
    if (link != NULL) {
        link->self = self;
        link->number = number;
        link->kind = kind;
        link->sub = sub;
        link->next = self->links;
        self->links = link;
    }
    return link;
}

redis_link *pubsub__redis_link_new(redis_self *self, redis_link_kind kind, redis_sub *sub)
{
    uint32_t number = pubsub_sink_link_new(self->sink);
    redis_link *link = number == 0 ? NULL : add(self, number, kind, sub);
    if (number != 0 && link == NULL) {
        pubsub_sink_link_free(self->sink, number);
    }
    return link;
}

static void drop(redis_link *link, bool silent)
{
    redis_conn *conn = link->conn;
    link->conn = NULL;
    pubsub__redis_conn_free(conn, silent && link->kind != REDIS_LINK_HUB);
    if (link->kind == REDIS_LINK_HUB) {
        pubsub__redis_hub_lost(link->self);
    } else if (link->kind == REDIS_LINK_READER && link->sub != NULL) {
        pubsub__redis_stream_lost(link->sub);
    }
}

void pubsub__redis_link_free(redis_link *link)
{
    redis_self *self = link->self;
    drop(link, true);
    for (redis_link **at = &self->links; *at != NULL; at = &(*at)->next) {
        if (*at == link) {
            *at = link->next;
            break;
        }
    }
    self->hub = self->hub == link ? NULL : self->hub;
    self->main = self->main == link ? NULL : self->main;
    if (link->number != 0) {
        pubsub_sink_link_free(self->sink, link->number);
    }
    pubsub__free(link);
}

/* ---- commands of subscriptions on main ------------------------------------------------------------ */

redis_op *pubsub__redis_op_new(redis_self *self, redis_sub *sub,
                               void (*fn)(redis_op *op, const redis_reply *reply))
{
    redis_op *op = pubsub__calloc(1, sizeof(*op));
    if (op != NULL) {
        op->self = self;
        op->sub = sub;
        op->fn = fn;
        op->next = self->ops;
        if (op->next != NULL) {
            op->next->prev = op;
        }
        self->ops = op;
    }
    return op;
}

void pubsub__redis_op_free(redis_op *op)
{
    if (op->prev != NULL) { /* there may be many, and the oldest goes first */
        op->prev->next = op->next;
    } else {
        op->self->ops = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    pubsub__free(op->data);
    pubsub__free(op);
}

void pubsub__redis_on_op(void *ctx, const redis_reply *reply, bool sent)
{
    redis_op *op = ctx;
    (void)sent;
    op->fn(op, reply);
    pubsub__redis_op_free(op);
}

void pubsub__redis_ops_leave(redis_sub *sub)
{
    for (redis_op *op = sub->self->ops; op != NULL; op = op->next) {
        op->sub = op->sub == sub ? NULL : op->sub;
    }
}

/* ---- what happens to a connection ----------------------------------------------------------------- */

static void main_ready(redis_link *link)
{
    redis_self *self = link->self;
    pubsub_sink_caps(self->sink, &self->caps);
    pubsub_sink_link_up(self->sink, link->number);
    for (redis_link *other = self->links; other != NULL; other = other->next) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (other->wanted && pubsub__redis_connect(self, other->number, &err) != PUBSUB_OK) {
            pubsub_sink_link_down(self->sink, other->number, &err);
        }
    }
}

static void on_storage(void *ctx, const redis_reply *reply, bool sent)
{
    redis_link *link = ctx;
    (void)sent;
    if (reply != NULL) {
        pubsub__redis_caps_storage(link->self, reply);
    }
}

static void on_bulk(void *ctx, const redis_reply *reply, bool sent)
{
    redis_link *link = ctx;
    (void)sent;
    if (reply != NULL) {
        pubsub__redis_caps_bulk(link->self, reply);
        main_ready(link);
    }
}

static void on_up(void *ctx)
{
    redis_link *link = ctx;
    redis_self *self = link->self;
    if (link->kind == REDIS_LINK_MAIN) {
        (void)pubsub__redis_caps(self->config, &self->caps, NULL);
        bool ok = pubsub__redis_conn_say(link->conn, on_storage, link, "CONFIG", "GET", "*append*",
                                         NULL) &&
                  pubsub__redis_conn_say(link->conn, on_bulk, link, "CONFIG", "GET",
                                         "proto-max-bulk-len", NULL);
        if (!ok) {
            main_ready(link);
        }
        pubsub__redis_conn_flush(link->conn);
        return;
    }
    if (link->kind == REDIS_LINK_HUB) {
        pubsub__redis_conn_subscriber(link->conn);
        pubsub__redis_hub_up(self);
    }
    pubsub_sink_link_up(self->sink, link->number);
    pubsub__redis_turn(self);
}

/* Acks that were lost with main leave open what their readers have; they begin again. */
static void readers_down(redis_self *self, const pubsub_error *err)
{
    for (redis_link *link = self->links; link != NULL; link = link->next) {
        if (link->kind == REDIS_LINK_READER && link->conn != NULL) {
            drop(link, true);
            pubsub_sink_link_down(self->sink, link->number, err);
        }
    }
}

/* The core has given it up: whoever comes later needs another one. */
static void hub_over(redis_link *link, const pubsub_error *err)
{
    for (redis_sub *sub = link->self->subs; sub != NULL; sub = sub->next) {
        if (sub->listening) { /* lives on another link */
            pubsub__redis_refuse(sub, err);
        }
    }
    pubsub__redis_link_free(link);
}

/* The last link is closed because the client wanted it so. */
static void all_over(redis_link *link)
{
    redis_self *self = link->self;
    pubsub__redis_outcomes(self);
    drop(link, true);
    self->closing = false;
    pubsub__redis_link_free(link);
    pubsub_timer_free(self->timer);
    self->timer = NULL;
    pubsub_sink_closed(self->sink);
}

static void on_down(void *ctx, const pubsub_error *err)
{
    redis_link *link = ctx;
    redis_self *self = link->self;
    if (link->ending) {
        all_over(link);
        return;
    }
    pubsub__redis_outcomes(self);
    drop(link, true);
    if (link->kind == REDIS_LINK_MAIN) {
        self->acks = self->in_flight = 0;
        self->begun = false;
        self->queued.code = PUBSUB_OK;
        self->retry_ns = 0; /* what was full may be another server now */
        pubsub_timer_stop(self->timer);
        pubsub__redis_forget_topics(self);
        readers_down(self, err);
    }
    pubsub_sink_link_down(self->sink, link->number, err);
    if (link->kind == REDIS_LINK_HUB && !pubsub_err_is_retryable(err->code)) {
        hub_over(link, err);
    }
}

static void on_push(void *ctx, const redis_reply *reply)
{
    redis_link *link = ctx;
    pubsub__redis_hub_push(link->self, reply);
}

static void on_idle(void *ctx)
{
    redis_link *link = ctx;
    if (link->kind == REDIS_LINK_HUB) {
        pubsub__redis_hub_idle(link->self);
    } else {
        pubsub__redis_outcomes(link->self);
        pubsub__redis_go_on(link->self);
    }
    pubsub__redis_turn(link->self);
}

static void on_ended(void *ctx)
{
    all_over(ctx);
}

/* All connections go: what is read from one server cannot be acked on another. */
static void on_replica(void *ctx, const pubsub_error *err)
{
    redis_self *self = ((redis_link *)ctx)->self;
    self->wants_master = true;
    if (self->main != NULL && self->main->conn != NULL) {
        pubsub__redis_conn_fail(self->main->conn, err); /* and the readers of streams with it */
    }
    for (redis_link *link = self->links; link != NULL; link = link->next) {
        if (link->conn != NULL) {
            pubsub__redis_conn_fail(link->conn, err);
        }
    }
}

static const redis_conn_events events = {.up = on_up,
                                         .down = on_down,
                                         .replica = on_replica,
                                         .push = on_push,
                                         .idle = on_idle,
                                         .ended = on_ended};

/* ---- members of the adapter ----------------------------------------------------------------------- */

pubsub_err pubsub__redis_connect(void *ctx, uint32_t number, pubsub_error *err)
{
    redis_self *self = ctx;
    redis_link *link = find(self, number);
    if (link == NULL && number == 0) {
        self->closing = false;
        link = self->main = add(self, 0, REDIS_LINK_MAIN, NULL);
    }
    if (self->timer == NULL) {
        self->timer = pubsub_timer_new(self->sink, pubsub__redis_on_timer, self);
    }
    if (link == NULL || self->timer == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
    }
    link->wanted = number != 0 && pubsub__redis_main(self) == NULL;
    if (link->wanted) {
        return PUBSUB_OK; /* when main is up */
    }
    redis_conn_setup setup = {.sink = self->sink,
                              .user = pubsub_options_get(self->config->options, "user"),
                              .password = pubsub_options_get(self->config->options, "password"),
                              .name = self->name,
                              .database = self->database,
                              .keep_alive = self->keep_alive,
                              .movable = pubsub_url_host_count(self->config->url) > 1,
                              .master = self->wants_master,
                              .events = &events,
                              .ctx = link};
    pubsub_error why = PUBSUB_ERROR_INIT;
    link->conn = pubsub__redis_conn_open(&setup, &why);
    if (link->conn == NULL) {
        if (err != NULL) {
            *err = why;
        }
        return why.code != PUBSUB_OK ? why.code : PUBSUB_ENOMEM;
    }
    return PUBSUB_OK;
}

void pubsub__redis_disconnect(void *ctx, uint32_t number, bool final)
{
    redis_self *self = ctx;
    redis_link *link = find(self, number);
    if (link == NULL) {
        return;
    }
    link->wanted = false;
    drop(link, false); /* what was published gets its outcome */
    pubsub__redis_outcomes(self);
    if (number == 0 && final) {
        for (redis_link *other = self->links; other != NULL; other = other->next) {
            drop(other, true);
        }
        pubsub_timer_free(self->timer);
        self->timer = NULL;
        if (self->hub != NULL) {
            pubsub__redis_link_free(self->hub);
        }
    }
}

void pubsub__redis_close(void *ctx, pubsub_duration_ms left)
{
    redis_self *self = ctx;
    (void)left;
    self->closing = true;
    if (self->hub != NULL) {
        pubsub__redis_link_free(self->hub);
    }
    if (self->main == NULL || self->main->conn == NULL) {
        pubsub_timer_free(self->timer);
        self->timer = NULL;
        pubsub_sink_closed(self->sink);
        return;
    }
    self->main->ending = true;
    self->main->number = 0;
    pubsub__redis_conn_end(self->main->conn);
}

void pubsub__redis_turn(void *ctx)
{
    redis_self *self = ctx;
    for (redis_link *link = self->links; link != NULL; link = link->next) {
        pubsub__redis_conn_flush(link->conn);
    }
}
