/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CONF_H
#define PUBSUB_TESTS_CONF_H

/* The conformance suite: what the library promises, case by case, for every adapter. What an adapter
 * declares in its caps decides which cases run: a case whose needs are refused is skipped, says why,
 * and the refusal itself is proven in suite_refusals.c. At the end a table tells for each feature
 * whether it was proven; a feature that is offered and proven by no case is a failure.
 *
 * A new adapter needs one file like test_local.c, or test_mqtt.c where a broker stands behind it. */

#include "support/broker.h"
#include "support/child.h"
#include "support/net.h"
#include "support/proxy.h"
#include "support/tempdir.h"

#include <pubsub/pubsub.h>

#define F(feature) (UINT64_C(1) << PUBSUB_FEATURE_##feature)

enum {
    CONF_THREAD = 1u << KIT_THREAD,
    CONF_INLINE = 1u << KIT_INLINE,
    CONF_DISPATCH = 1u << KIT_DISPATCH,
    CONF_POLLED = CONF_THREAD | CONF_INLINE,
    CONF_THREADS = CONF_THREAD | CONF_DISPATCH,
    CONF_ALL = CONF_THREAD | CONF_INLINE | CONF_DISPATCH,
    /* So many messages wait for one client at times that a broker with the limits it comes with may
     * drop some: runs on the generous one. */
    CONF_LOAD = 1u << 8,
    /* Breaks the broker or the way to it: has its own, behind a proxy. */
    CONF_FAULT = 1u << 9,
    /* Two plain subscriptions of one topic, each of which gets all. */
    CONF_FANOUT = 1u << 10,
    /* Every member of a group must get some, of messages without keys. */
    CONF_SPREAD = 1u << 11,
    /* Reaches the broker from another process, or measures this one without it. */
    CONF_OUTSIDE = 1u << 12
};

#define CONF_URL_MAX 512

/* The broker behind an adapter. Private ones are started by tests/brokers when a case needs them. */
typedef struct conf_network {
    const char *kind;   /* "mosquitto" */
    const char *scheme; /* of URLs, where it is not that of the broker's own: "redis+streams" */
    /* Added to each URL, "stream=%"; a % becomes a text that is unique to the case. NULL = nothing. */
    const char *query;
    /* Instead of it for cases with CONF_SPREAD, where messages without keys are in order or shared. NULL = as the
     * others. */
    const char *spread;
    /* Variants of a private one with the limits it comes with, for all cases without CONF_LOAD. NULL =
     * they too run on the shared one of PUBSUB_TEST_..._URL, which is generous. */
    const char *stock;
    /* Variants of the one that fault cases break: it keeps over a restart in good order what it
     * confirmed, and over kill -9 what it can. NULL = no fault cases. */
    const char *own;
    /* "advertised.listeners=PLAIN://127.0.0.1" where the broker tells its clients where to connect: the
     * port of the proxy is added. Then no client gets past the proxy. NULL = it does not. */
    const char *advertise;
    /* When a publisher's connection is lost the broker goes on with what it has of it, beside the next
     * connection. So a subscription that begins anew meanwhile may first get the end of what was sent, then
     * what is sent again. */
    bool drains;
    /* What was made at the broker less than so many milliseconds before kill -9 may be gone, whatever was
     * confirmed. 0 = what is made is kept. */
    int64_t writes_down;
    /* Client options with which a peer that falls silent is found within some seconds; NULL = none. */
    const char *attentive;
    /* What the adapter's library reads ahead for a subscription that takes nothing, in bytes: a bound, whatever goes
     * by. 0 = nothing worth speaking of. */
    uint64_t reads_ahead;
} conf_network;

/* What the suite has to know of an adapter. */
typedef struct conf_adapter {
    const char *name;
    const char *label; /* in reports, where one adapter has two sets of promises; NULL = its name */
    /* Where there is no broker: write a URL of a place where nothing is stored. */
    void (*url)(char *url, size_t size);
    /* And one to which no connection can be made; NULL = there is none. */
    void (*dead_url)(char *url, size_t size);
    const conf_network *network; /* NULL = there is no broker */
    /* An expiry is rounded up to a multiple of this many milliseconds; 0 = it is not. */
    int64_t expiry_step;
    /* Each topic is a log of its own: messages of different topics overtake each other. */
    bool topics_apart;
    /* What the broker calls a topic may stand for several of ours, as Kafka's a.b for a/b and a.b. A literal
     * subscription then also gets those messages of the others that do not say which one they are of. */
    bool topics_meet;
    /* from=TIME begins with the block of messages the time falls into: some may be older. */
    bool from_block;
    /* Headers of different names do not keep their order, those of one name do. */
    bool headers_by_name;
    /* A confirmation does not tell the position of what was published. */
    bool blind_receipts;
    /* What a client gives back comes behind what was not delivered yet, and counts as an attempt. The note of
     * PUBSUB_FEATURE_ATTEMPTS has to say so. */
    bool returns_late;
    /* A topic is one queue: all its subscriptions share the messages, in a group or not, and it keeps them
     * while there is none. The note of PUBSUB_FEATURE_GROUP has to say so. */
    bool shared_topics;
    /* Members share partitions: one that holds messages open holds up those behind them until it ends, and what is
     * open when members come may be given to another one, too. The note of PUBSUB_FEATURE_GROUP has to say so. */
    bool moves_open;
    /* The broker is in the process of its clients and ends with it: cases that need it outside (CONF_OUTSIDE)
     * are left out. The note of the confirmation has to say "process". */
    bool inside;
    /* Without `network`: there is a broker all the same, and the way to it takes its time. */
    bool remote;
    /* Over a crash it remembers as settled only what comes before the first open message; the rest comes
     * again. */
    bool commits_prefix;
} conf_adapter;

/* One run of one case. */
typedef struct conf {
    const conf_adapter *adapter;
    kit_net *net;
    kit_net net_storage;
    pubsub_caps caps;
    char url[CONF_URL_MAX];
    char behind[CONF_URL_MAX]; /* fault cases: the same broker through the proxy */
    kit_proxy *proxy;          /* fault cases; as new at the beginning */
    char unique[32];
    kit_list texts;  /* of conf_text */
    uint64_t proven; /* beyond what the case's row says */
    kit_child children[4];
    /* Called at the end, however the case ends, before the clients are freed; NULL = nothing. */
    void (*undo)(void *ctx);
    void *undo_ctx;
} conf;

typedef struct conf_case {
    const char *name;
    unsigned modes;  /* CONF_*, with CONF_LOAD or CONF_FAULT */
    uint64_t needs;  /* features without which it is skipped */
    uint64_t proves; /* features it proves when it passes, as far as they are offered */
    void (*run)(conf *t);
} conf_case;

typedef struct conf_suite {
    const char *name;
    const conf_case *cases; /* ended by a name NULL */
} conf_suite;

#define CONF_CASE(function, modes, needs, proves)                                                  \
    {                                                                                              \
#function, modes, needs, proves, function                                                  \
    }
#define CONF_END                                                                                   \
    {                                                                                              \
        NULL, 0, 0, 0, NULL                                                                        \
    }

/* All suites, ended by a name NULL. */
extern const conf_suite conf_suites[];
extern const kit_role conf_roles[];

/* Run everything, or what a pattern given as argument matches ("order.*"). The result of main. */
int conf_main(const conf_adapter *adapter, int argc, char **argv);
/* The same without arguments: pattern NULL = everything. */
int conf_run(const conf_adapter *adapter, const char *pattern);
/* How many cases that run looked at, each mode counted, also those it skipped. */
unsigned conf_runs(void);
/* Call fn for each case. */
void conf_each(void (*fn)(void *ctx, const char *suite, const conf_case *row), void *ctx);

bool conf_offers(const conf *t, uint64_t features);
/* Leave the case as skipped, saying why. */
void conf_skip(const conf *t, const char *why);
/* It proves these too: that they work, or where they are refused, that they are. */
void conf_proves(conf *t, uint64_t features);
/* Write a URL to which no connection can be made; skips the case where there is none. */
void conf_dead_url(conf *t, char *url, size_t size);
/* Fault cases: kill -9 of the broker; and start it again, or stop it in good order and start it. */
void conf_kill_broker(conf *t);
void conf_restart_broker(conf *t);

/* A printed text that lives as long as the case. */
const char *conf_text(conf *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A topic or pattern below one that is unique to the case. */
const char *conf_topic(conf *t, const char *rest);
/* A name (group, durable) that is unique to the case. */
const char *conf_name(conf *t, const char *name);

kit_peer *conf_peer(conf *t);
kit_peer *conf_peer_with(conf *t, const char *options);

/* Publish prefix0 .. prefix<n-1>. */
void conf_publish_many(kit_peer *peer, const char *topic, const char *prefix, size_t count);
/* The number behind prefix in a payload; SIZE_MAX when it is another one. */
size_t conf_number(const kit_message *message, const char *prefix);
/* How many different numbers 0..count-1 with that prefix a list of subscriptions has together, and how
 * many messages with that prefix in all. */
size_t conf_union(kit_sub *const *subs, size_t sub_count, const char *prefix, size_t count,
                  size_t *total);
/* Wait until it has prefix0 .. prefix<n-1>, and check that each came once and in order. */
void conf_expect_exactly(conf *t, kit_sub *sub, const char *prefix, size_t count);
/* Store one message more and wait until it is there: what was published before and has not come by
 * then will not come. */
void conf_fence(conf *t, kit_peer *publisher, const char *topic, kit_sub *sub);
/* Subscribe to what another client has just let go of: unsubscribe returns before the broker knows. */
kit_sub *conf_subscribe_freed(conf *t, kit_peer *peer, const char *pattern, const char *options);
/* Start child number i (0..3) with a role. */
kit_child *conf_child(conf *t, size_t i, const char *role, const char *const *arguments);

#endif
