/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_SCRIPTED_ADAPTER_H
#define PUBSUB_TESTS_SCRIPTED_ADAPTER_H

/* A broker that does what a test tells it, under the scheme `scripted:`, to show the core what a
 * real one shows only when something breaks. One client at a time.
 *
 * The plan (scripted_connects, scripted_hold, ...) may be changed at any time. Actions (scripted_drop,
 * scripted_deliver, ...) run on the client's I/O thread and return when they are done; they need a
 * client whose loop runs, that is one that was connected. Everything the core asks the adapter for is
 * written into a journal. */

#include "support/net.h"

#include <pubsub/pubsub.h>
#include <pubsub/spi/adapter.h>

typedef struct scripted scripted;

/* A broker for the clients of this net; released by scripted_free after kit_net_fini. */
scripted *scripted_new(kit_net *net);
void scripted_free(scripted *broker);
/* "scripted:NAME" */
const char *scripted_url(const scripted *broker);
const char *scripted_name(const scripted *broker);

/* What it can do; at first everything but qos 2 and delay, with nack delay, attempts and dead letter
 * emulated. To be changed before a client exists. */
pubsub_caps *scripted_caps(scripted *broker);

/* ---- the plan ------------------------------------------------------------------------------ */

#define SCRIPTED_NEVER ((int64_t)-1)

/* What comes of the next connect of link 0 that has no answer yet: PUBSUB_OK or a failure, after
 * delay_ms (SCRIPTED_NEVER = no answer at all). Without a plan it works at once. */
void scripted_connects(scripted *broker, pubsub_err code, int64_t delay_ms);
/* The same answer to every connect from now on; PUBSUB_OK ends that. */
void scripted_always_fails(scripted *broker, pubsub_err code);
/* What the server says it can do, at the next link_up. */
void scripted_server_caps(scripted *broker, const pubsub_caps *caps);
/* Take only so many publishes more; SIZE_MAX = all. */
void scripted_take(scripted *broker, size_t count);
/* Keep publishes in flight instead of accepting them at once. */
void scripted_hold(scripted *broker, bool hold);
/* Answer no subscribe. */
void scripted_hold_subscribes(scripted *broker, bool hold);
/* Refuse subscribes of this pattern; PUBSUB_OK = no longer. One pattern at a time. */
void scripted_refuse(scripted *broker, const char *pattern, pubsub_err code);
/* Say "resumed" to each subscribe from now on. */
void scripted_resumes(scripted *broker, bool resumes);
/* Say "may have missed messages" to each subscribe that is not the first. */
void scripted_gaps(scripted *broker, bool gaps);
/* Subscriptions of which nacks go to the broker; which it delivers again after a lost link. */
void scripted_native_nack(scripted *broker, bool native);
void scripted_redelivers(scripted *broker, bool redelivers);
/* Answer each request that is not held, with its own payload, on the inbox it names. */
void scripted_echoes(scripted *broker, bool echoes);
/* What stands before a ':' in the payload of a message is its key. */
void scripted_keys(scripted *broker, bool keys);
/* Acks linger after a flush until scripted_flushed. */
void scripted_lingers(scripted *broker, bool lingers);
/* Each subscription gets a link of its own. */
void scripted_own_links(scripted *broker, bool own);
/* Answer close after so long; SCRIPTED_NEVER = not at all. */
void scripted_slow_close(scripted *broker, int64_t delay_ms);
/* Respect credit: messages beyond it stay here until `credit` is called. */
void scripted_respect_credit(scripted *broker, bool respect);

/* ---- actions ------------------------------------------------------------------------------- */

/* Lose a link. Of what is in flight (link 0) the first `unknown` publishes end as unknown, the rest as
 * not sent. */
void scripted_drop(scripted *broker, uint32_t link, size_t unknown, pubsub_err code);
/* Accept the oldest publishes in flight, at most so many. Returns how many. */
size_t scripted_accept(scripted *broker, size_t count);
/* End the oldest publish in flight. */
void scripted_answer(scripted *broker, pubsub_outcome outcome, pubsub_err code);
/* Accept the oldest publish in flight and say that nobody received it. */
void scripted_nobody(scripted *broker);
/* Answer a request: one message to the subscription with that pattern. */
void scripted_reply(scripted *broker, const char *inbox, const char *correlation,
                    const char *payload);
/* Say that more can be taken. */
void scripted_writable(scripted *broker);
/* Answer a subscribe that was held. */
void scripted_grant(scripted *broker, const char *pattern);

typedef struct scripted_message {
    const char *topic; /* NULL = the pattern */
    const char *payload;
    uint64_t token;
    uint32_t flags;   /* PUBSUB_SPI_* */
    uint32_t attempt; /* 0 = the broker does not count */
    int32_t qos;
    uint64_t expires_ns;
} scripted_message;

/* Deliver messages in one block to the subscription with that pattern. */
void scripted_deliver(scripted *broker, const char *pattern, const scripted_message *messages,
                      size_t count);
/* One message of qos 1. */
void scripted_deliver_one(scripted *broker, const char *pattern, const char *payload,
                          uint64_t token);
/* The broker ends a subscription. */
void scripted_lose(scripted *broker, const char *pattern, pubsub_err code);
/* Take back the messages with tokens from..to; returns how many, *left = how many are still out. */
size_t scripted_recall(scripted *broker, const char *pattern, uint64_t from, uint64_t to,
                       size_t *left);
/* The broker's library lost link 0 and will bring it back by itself, or has. */
void scripted_pause(scripted *broker, bool pause);
/* All acks so far are with the broker. */
void scripted_flushed(scripted *broker);
/* Something failed that belongs to no call. */
void scripted_error(scripted *broker, pubsub_err code);
void scripted_gap(scripted *broker, const char *pattern, const char *reason, uint64_t missed);

/* ---- the journal --------------------------------------------------------------------------- */

typedef enum scripted_kind {
    SCRIPTED_CONNECT,     /* number: link */
    SCRIPTED_DISCONNECT,  /* number: link */
    SCRIPTED_SUBSCRIBE,   /* text: pattern, number: subscribes before */
    SCRIPTED_UNSUBSCRIBE, /* text: pattern, number: forget */
    SCRIPTED_SUBMIT,      /* text: payload, topic, headers, ..., number: sends before */
    SCRIPTED_ACK,         /* text: pattern, number: token */
    SCRIPTED_NACK,        /* text: pattern, number: token, delay_ms */
    SCRIPTED_RELEASE,     /* text: pattern, number: token */
    SCRIPTED_CREDIT,      /* text: pattern */
    SCRIPTED_FLUSH,
    SCRIPTED_CLOSE,
    SCRIPTED_FINI
} scripted_kind;

typedef struct scripted_note {
    scripted_kind kind;
    uint64_t number;
    int64_t delay_ms;
    uint64_t at_ns;
    char text[128];
    char topic[128];
    char headers[1024]; /* "name=value;" each */
    char reply_to[64];
    char correlation[64];
} scripted_note;

size_t scripted_count(scripted *broker, scripted_kind kind);
/* How many notes of this kind have this text. */
size_t scripted_count_text(scripted *broker, scripted_kind kind, const char *text);
/* How many of this kind have this number. */
size_t scripted_count_number(scripted *broker, scripted_kind kind, uint64_t number);
/* The nth of its kind, 0 = the first; fails the test when there are not so many. */
scripted_note scripted_nth(scripted *broker, scripted_kind kind, size_t nth);
/* Where in the journal the nth of its kind stands; SIZE_MAX when there are not so many. */
size_t scripted_where(scripted *broker, scripted_kind kind, size_t nth);
/* Publishes in flight now. */
size_t scripted_in_flight(scripted *broker);

#endif
