/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_REDIS_CONN_H
#define PUBSUB_REDIS_CONN_H

/* One connection: commands go out in order, replies come back in the same order. Commands only gather; they
 * leave with pubsub__redis_conn_flush, in one write. */

#include "redis/resp.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>
#include <pubsub/spi/transport.h>

typedef struct redis_conn redis_conn;

/* What became of a command. reply NULL: the connection was lost first; sent tells whether any byte of the
 * command may have left. */
typedef void (*redis_reply_fn)(void *ctx, const redis_reply *reply, bool sent);

typedef struct redis_conn_events {
    /* Greeted: logged in, database chosen, the server serves. */
    void (*up)(void *ctx);
    /* The server is a replica: it refused a change, and has answered everything it was asked before that was
     * known. Only with `movable`. */
    void (*replica)(void *ctx, const pubsub_error *err);
    /* It is over; the connection is closed already and may be freed. */
    void (*down)(void *ctx, const pubsub_error *err);
    /* A message in subscriber mode: "message" or "pmessage". */
    void (*push)(void *ctx, const redis_reply *reply);
    /* All replies of one read were given. */
    void (*idle)(void *ctx);
    /* Everything was sent, after pubsub__redis_conn_end. */
    void (*ended)(void *ctx);
} redis_conn_events;

typedef struct redis_conn_setup {
    pubsub_sink *sink;
    const char *user;     /* NULL = only a password */
    const char *password; /* NULL = no login */
    const char *name;     /* for CLIENT SETNAME */
    uint64_t database;
    pubsub_duration_ms keep_alive; /* 0 = never */
    bool movable;                  /* there are other hosts, one of which may be the master */
    bool master;                   /* a replica is of no use: not up with one */
    const redis_conn_events *events;
    void *ctx;
} redis_conn_setup;

/* NULL with the reason in err. setup's texts have to outlive the connection. */
redis_conn *pubsub__redis_conn_open(const redis_conn_setup *setup, pubsub_error *err);
/* Drop it without a word; no event follows, waiting commands get no answer if `silent`. */
void pubsub__redis_conn_free(redis_conn *conn, bool silent);
/* It cannot be used any more: `down` follows at once. */
void pubsub__redis_conn_fail(redis_conn *conn, const pubsub_error *err);
/* Close when every command has its reply; `ended` or `down` follows. */
void pubsub__redis_conn_end(redis_conn *conn);

bool pubsub__redis_conn_is_up(const redis_conn *conn);
/* The server's number of the connection, 0 = it does not tell. */
uint64_t pubsub__redis_conn_id(const redis_conn *conn);
/* From now on messages may come unasked. */
void pubsub__redis_conn_subscriber(redis_conn *conn);
/* A reply may take so much longer than keep_alive: the server blocks for us. */
void pubsub__redis_conn_patience(redis_conn *conn, pubsub_duration_ms more);

/* A command begins: the buffer to append it to. Then _end with what waits for its reply. */
pubsub__buf *pubsub__redis_conn_begin(redis_conn *conn);
/* ok false: cut the command off again. False: no memory, nothing will be sent. fn NULL: nobody cares. */
bool pubsub__redis_conn_done(redis_conn *conn, bool ok, redis_reply_fn fn, void *ctx);
/* The short form for commands made of texts, ended by NULL. */
bool pubsub__redis_conn_say(redis_conn *conn, redis_reply_fn fn, void *ctx, ...);
/* The same for bytes. */
bool pubsub__redis_conn_command(redis_conn *conn, redis_reply_fn fn, void *ctx,
                                const pubsub_bytes *words, size_t count);

/* Whoever waits for a reply gets none; for connections that one subscription has for itself. */
void pubsub__redis_conn_forget(redis_conn *conn);

/* Commands without a reply, and bytes that wait to be sent. */
size_t pubsub__redis_conn_waiting(const redis_conn *conn);
size_t pubsub__redis_conn_queued(const redis_conn *conn);
void pubsub__redis_conn_flush(redis_conn *conn);

/* What is answered in place of READONLY when another host may take it. */
extern const redis_reply pubsub__redis_replica;

/* error.c: what the server's error means to us. */
pubsub_err pubsub__redis_error(const redis_reply *reply, pubsub_error *err);
pubsub_err pubsub__redis_error_text(const char *text, size_t len, pubsub_error *err);

#endif
