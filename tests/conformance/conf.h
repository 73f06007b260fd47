/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CONF_H
#define PUBSUB_TESTS_CONF_H

/* The conformance suite: what the library promises, case by case, for every adapter. What an adapter
 * declares in its caps decides which cases run: a case whose needs are refused is skipped, says why,
 * and the refusal itself is proven in suite_refusals.c. At the end a table tells for each feature
 * whether it was proven; a feature that is offered and proven by no case is a failure.
 *
 * A new adapter needs one file like test_local.c. */

#include "support/child.h"
#include "support/net.h"
#include "support/tempdir.h"

#include <pubsub/pubsub.h>

#define F(feature) (UINT64_C(1) << PUBSUB_FEATURE_##feature)

enum {
    CONF_THREAD = 1u << KIT_THREAD,
    CONF_INLINE = 1u << KIT_INLINE,
    CONF_DISPATCH = 1u << KIT_DISPATCH,
    CONF_POLLED = CONF_THREAD | CONF_INLINE,
    CONF_THREADS = CONF_THREAD | CONF_DISPATCH,
    CONF_ALL = CONF_THREAD | CONF_INLINE | CONF_DISPATCH
};

#define CONF_URL_MAX 512

/* What the suite has to know of an adapter. */
typedef struct conf_adapter {
    const char *name;
    /* Write a URL of a place where nothing is stored; where several tests share one broker, the URL
     * of that: topics and names are unique to each case. */
    void (*url)(char *url, size_t size);
    /* Write a URL to which no connection can be made; NULL = there is none. */
    void (*dead_url)(char *url, size_t size);
} conf_adapter;

/* One run of one case. */
typedef struct conf {
    const conf_adapter *adapter;
    kit_net *net;
    kit_net net_storage;
    pubsub_caps caps;
    char url[CONF_URL_MAX];
    char unique[32];
    kit_list texts;  /* of conf_text */
    uint64_t proven; /* beyond what the case's row says */
    kit_child children[4];
} conf;

typedef struct conf_case {
    const char *name;
    unsigned modes;
    uint64_t needs;  /* features without which it is skipped */
    uint64_t proves; /* features it proves when it passes */
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

bool conf_offers(const conf *t, uint64_t features);
/* Leave the case as skipped, saying why. */
void conf_skip(const conf *t, const char *why);
void conf_proves(conf *t, uint64_t features);

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
