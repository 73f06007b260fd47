/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_NET_H
#define PUBSUB_TESTS_NET_H

/* All clients of one test, with what they received. kit_net_free() ends everything a test left, so a
 * test cleans up nothing itself and may fail anywhere.
 *
 * A test runs in one of three modes; its code is the same. In the first two somebody has to poll:
 * KIT_AWAIT does it for all clients of the net. */

#include "support/cmocka.h"
#include "support/collect.h"
#include "support/wait.h"

#include <pubsub/pubsub.h>
#include <stdatomic.h>

typedef enum kit_mode {
    KIT_THREAD = 0,  /* io=thread, the test polls */
    KIT_INLINE = 1,  /* io=inline, the test polls */
    KIT_DISPATCH = 2 /* io=thread, dispatch=thread */
} kit_mode;

typedef struct kit_net kit_net;
typedef struct kit_peer kit_peer;
typedef struct kit_sub kit_sub;

/* What a handler does beyond noting the message; its result is the handler's. It must not use
 * assertions. */
typedef int (*kit_decide_fn)(kit_sub *sub, kit_message *copy, pubsub_message *message);

/* One subscription. The fields of the first group are set by the test before messages come. */
struct kit_sub {
    bool keep;            /* keep a reference of each message in its copy */
    int result;           /* what the handler returns */
    kit_decide_fn decide; /* NULL = return result */
    void *ctx;            /* for decide */

    kit_peer *peer;
    char *pattern;
    pubsub_subscription *handle;
    kit_list inbox;       /* of kit_message */
    atomic_int running;   /* handlers that run now */
    atomic_bool quiet;    /* set by the test: from now on none may run */
    atomic_int intruders; /* how many ran all the same */
    kit_sub *next;
};

/* One client. */
struct kit_peer {
    kit_net *net;
    pubsub_client *client;
    kit_list inbox;   /* of kit_message: the client-wide handler's, when asked for */
    kit_list reports; /* of kit_report */
    kit_list events;  /* of kit_event */
    bool unpolled;    /* nobody polls it while this is set */
    kit_sub *subs;
    kit_peer *next;
};

struct kit_net {
    kit_mode mode;
    kit_peer *peers;
};

const char *kit_mode_name(kit_mode mode);
void kit_net_init(kit_net *net, kit_mode mode);
/* Free every client and handle. */
void kit_net_fini(kit_net *net);
/* Let every client dispatch what is ready; rest a moment when that was nothing. */
void kit_turn(kit_net *net);

/* Wait until cond holds while the clients go on, or fail the test. */
#define KIT_AWAIT(net, cond)                                                                       \
    do {                                                                                           \
        kit_deadline until_ = kit_in(KIT_PATIENCE);                                                \
        while (!(cond)) {                                                                          \
            if (kit_over(until_)) {                                                                \
                fail_msg("waited in vain for: %s", #cond);                                         \
            }                                                                                      \
            kit_turn(net);                                                                         \
        }                                                                                          \
    } while (0)

/* Fail the test with the library's text unless the result is PUBSUB_OK. */
#define KIT_OK(result, error) kit_check_ok((result), (error), #result, __FILE__, __LINE__)
void kit_check_ok(pubsub_err result, const pubsub_error *error, const char *what, const char *file,
                  int line);
/* Fail the test unless the result is code; both are named. */
#define KIT_ERR(code, result) kit_check_err((code), (result), #result, __FILE__, __LINE__)
void kit_check_err(pubsub_err want, pubsub_err got, const char *what, const char *file, int line);
/* Fail the test unless text contains part. */
#define KIT_SAYS(text, part) kit_check_says((text), (part), __FILE__, __LINE__)
void kit_check_says(const char *text, const char *part, const char *file, int line);

/* Options from "name=value name=value"; NULL or "" gives an empty set. The caller frees it. */
pubsub_options *kit_options(const char *text);

/* A client with report and event handlers; the mode's options are added to those given. */
kit_peer *kit_peer_new(kit_net *net, const char *url, const char *options);
/* The same, but without report handler. */
kit_peer *kit_peer_plain(kit_net *net, const char *url, const char *options);
/* Create one for which that may fail; *out is NULL then. */
pubsub_err kit_peer_try(kit_net *net, const char *url, const char *options, kit_peer **out,
                        pubsub_error *error);
/* What connecting a new peer says; fails the test when the answer takes longer than a few seconds. */
pubsub_err kit_try_connect(kit_net *net, const char *url, const char *options, pubsub_error *error);
/* Free its client now; the collectors stay. */
void kit_peer_close(kit_peer *peer);

/* A subscription with a handler that collects; waits until it is subscribed. */
kit_sub *kit_subscribe(kit_peer *peer, const char *pattern, const char *options);
/* The same with a decision, set before the first message can come. */
kit_sub *kit_subscribe_with(kit_peer *peer, const char *pattern, const char *options,
                            kit_decide_fn decide, void *ctx);
/* Wait until it is subscribed, while all clients go on; the subscription itself. */
kit_sub *kit_subscribed(kit_sub *sub);
/* Without waiting. */
kit_sub *kit_subscribe_later(kit_peer *peer, const char *pattern, const char *options,
                             kit_decide_fn decide, void *ctx);
/* Without handler, for next; waits until it is subscribed. */
kit_sub *kit_pull(kit_peer *peer, const char *pattern, const char *options);
/* What subscribe and, if that works, waiting for it return; a success is ended again. */
pubsub_err kit_try_subscribe(kit_peer *peer, const char *pattern, const char *options,
                             pubsub_grant *grant, pubsub_error *error);
/* A collector for pubsub_client_on_message and hand-made subscribe calls; ctx is a kit_sub. */
int kit_collect(void *ctx, pubsub_message *message);
/* A kit_sub of this peer without a subscription yet. */
kit_sub *kit_sub_new(kit_peer *peer, const char *pattern);
/* From now on no handler of it may run. */
void kit_quiet(kit_sub *sub);

size_t kit_count(kit_sub *sub);
kit_message *kit_at(kit_sub *sub, size_t index);          /* fails the test when out of range */
size_t kit_count_of(kit_sub *sub, const char *payload);   /* messages with that payload */
kit_message *kit_find(kit_sub *sub, const char *payload); /* the first one, NULL = none */
size_t kit_events_of(kit_peer *peer, pubsub_event_type type);
kit_event *kit_event_find(kit_peer *peer, pubsub_event_type type, size_t nth); /* 0 = the first */
bool kit_went_through(kit_peer *peer, pubsub_state state);
pubsub_stats kit_stats(kit_peer *peer);

pubsub_publication kit_publication(const char *topic, const char *payload);
/* Queue a message; fails the test when that does not work. */
void kit_publish(kit_peer *peer, const char *topic, const char *payload);
void kit_send(kit_peer *peer, const pubsub_publication *publication);
/* Publish and wait for the outcome, which must be accepted. */
pubsub_receipt kit_store(kit_peer *peer, const pubsub_publication *publication);
pubsub_receipt kit_store_text(kit_peer *peer, const char *topic, const char *payload);
void kit_flush(kit_peer *peer);

#endif
