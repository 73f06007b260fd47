/* SPDX-License-Identifier: MIT */
/* workers=N: several handlers of one subscription at a time, and each key in order all the same. */
#include "conformance/suites.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 8, EACH = 40 };

/* What handlers see, by key; payloads are "<key>:<number>". */
typedef struct watch {
    atomic_int busy[KEYS];
    atomic_int next[KEYS]; /* the number that has to come */
    atomic_int overlaps, disorders, running, most;
    int (*refuses)(struct watch *w, int key, int number, uint32_t attempt);
    atomic_bool failing;
} watch;

static int watch_handler(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    watch *w = sub->ctx;
    int key = 0;
    int number = 0;
    (void)message;
    if (sscanf(copy->payload.data, "%d:%d", &key, &number) != 2 || key < 0 || key >= KEYS) {
        return 0;
    }
    int running = atomic_fetch_add(&w->running, 1) + 1;
    int most = atomic_load(&w->most);
    while (running > most && !atomic_compare_exchange_weak(&w->most, &most, running)) {
    }
    if (atomic_fetch_add(&w->busy[key], 1) != 0) {
        atomic_fetch_add(&w->overlaps, 1);
    }
    if (number % 4 == 0) {
        kit_breathe(); /* so that others overtake if they can */
    }
    int refused = w->refuses != NULL ? w->refuses(w, key, number, copy->attempt) : 0;
    if (!refused && atomic_fetch_add(&w->next[key], 1) != number) {
        atomic_fetch_add(&w->disorders, 1);
    }
    atomic_fetch_sub(&w->busy[key], 1);
    atomic_fetch_sub(&w->running, 1);
    return refused;
}

static void publish_keys(conf *t, kit_peer *peer, const char *topic)
{
    for (size_t i = 0; i < (size_t)KEYS * EACH; i++) {
        pubsub_publication pub =
            kit_publication(topic, conf_text(t, "%zu:%zu", i % KEYS, i / KEYS));
        pub.key = pubsub_bytes_of(conf_text(t, "key-%zu", i % KEYS));
        kit_send(peer, &pub);
    }
    kit_flush(peer);
}

static int handled(watch *w, int from)
{
    int sum = 0;
    for (int key = from; key < KEYS; key++) {
        sum += atomic_load(&w->next[key]);
    }
    return sum;
}

static void expect_order(watch *w)
{
    assert_int_equal(atomic_load(&w->overlaps), 0);
    assert_int_equal(atomic_load(&w->disorders), 0);
}

/* Not on a case's stack: handlers may still run when it has seen enough, or failed. */
static watch *begin_watch(int (*refuses)(watch *w, int key, int number, uint32_t attempt))
{
    static watch one;
    memset(&one, 0, sizeof(one));
    one.refuses = refuses;
    return &one;
}

/* A subscription whose messages come again; where only the client itself can see to that, a plain one. */
static const char *acked(conf *t, const char *rest)
{
    bool durable = conf_offers(t, F(DURABLE));
    if (!conf_offers(t, F(ACK)) || (!durable && !conf_offers(t, F(GROUP)))) {
        return conf_text(t, "workers=4 %s", rest);
    }
    return conf_text(t, "%s=%s workers=4 %s", durable ? "durable" : "group", conf_name(t, "w"),
                     rest);
}

static void keys_keep_their_order(conf *t)
{
    watch *w = begin_watch(NULL);
    const char *topic = conf_topic(t, "a");
    (void)kit_subscribe_with(conf_peer(t), topic, "workers=4", watch_handler, w);
    publish_keys(t, conf_peer(t), topic);
    KIT_AWAIT(t->net, handled(w, 0) == KEYS * EACH);
    expect_order(w);
    assert_true(atomic_load(&w->most) > 1);
}

static int refuse_some(watch *w, int key, int number, uint32_t attempt)
{
    (void)w;
    return attempt <= 2 && (key + number) % 9 == 4 ? 1 : 0;
}

static void keys_keep_their_order_through_retries(conf *t)
{
    watch *w = begin_watch(refuse_some);
    const char *topic = conf_topic(t, "a");
    kit_sub *sub =
        kit_subscribe_with(conf_peer(t), topic, acked(t, "nack_delay=10ms"), watch_handler, w);
    publish_keys(t, conf_peer(t), topic);
    KIT_AWAIT(t->net, handled(w, 0) == KEYS * EACH);
    expect_order(w);
    assert_true(kit_stats(sub->peer).nacked > 0);
}

static int refuse_first_key(watch *w, int key, int number, uint32_t attempt)
{
    (void)number;
    (void)attempt;
    return key == 0 && atomic_load(&w->failing) ? 1 : 0;
}

static void a_key_that_fails_holds_up_itself_only(conf *t)
{
    watch *w = begin_watch(refuse_first_key);
    atomic_store(&w->failing, true);
    const char *topic = conf_topic(t, "a");
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic,
                                      acked(t, "nack_delay=20ms max_attempts=0"), watch_handler, w);
    publish_keys(t, conf_peer(t), topic);
    KIT_AWAIT(t->net, handled(w, 1) == (KEYS - 1) * EACH);
    KIT_AWAIT(t->net, kit_count_of(sub, "0:0") >= 3);
    assert_int_equal(atomic_load(&w->next[0]), 0);
    assert_int_equal(kit_count_of(sub, "0:1"), 0);
    atomic_store(&w->failing, false);
    KIT_AWAIT(t->net, handled(w, 0) == KEYS * EACH);
    expect_order(w);
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

/* How many of each key a child says it has handled, until it is silent or has said so many. */
static int hear_done(kit_child *child, int most, int64_t patience, int done[KEYS])
{
    char line[64];
    int count = 0;
    int key = 0;
    int number = 0;
    while (count < most && kit_child_line(child, line, sizeof(line), patience)) {
        if (sscanf(line, "done %d:%d", &key, &number) == 2 && key >= 0 && key < KEYS) {
            assert_int_equal(number, done[key]);
            done[key]++;
            count++;
        }
    }
    return count;
}

static kit_child *start_worker(conf *t, const char *topic, const char *options, const char *stuck)
{
    const char *const arguments[] = {t->url, topic, options, stuck, NULL};
    kit_child *child = conf_child(t, 0, "work", arguments);
    assert_true(kit_child_expect(child, "ready", KIT_PATIENCE));
    return child;
}

/* Killed with messages in handlers, behind them and in front of them: what was not handled comes again, of
 * each key in order. */
static void killed_in_the_middle_loses_nothing(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = acked(t, "");
    int done[KEYS] = {0};
    watch *w = begin_watch(NULL);
    kit_child *child = start_worker(t, topic, options, "-");
    publish_keys(t, conf_peer(t), topic);
    assert_int_equal(hear_done(child, KEYS * EACH / 3, KIT_PATIENCE, done), KEYS * EACH / 3);
    kit_child_signal(child, SIGKILL);
    assert_int_equal(kit_child_wait(child, KIT_PATIENCE), 128 + SIGKILL);
    (void)hear_done(child, KEYS * EACH, 1, done);
    kit_sub *sub = kit_subscribe_later(conf_peer(t), topic, options, watch_handler, w);
    for (int key = 0; key < KEYS; key++) {
        for (int number = done[key]; number < EACH; number++) {
            KIT_AWAIT(t->net, kit_find(sub, conf_text(t, "%d:%d", key, number)) != NULL);
        }
    }
    assert_int_equal(atomic_load(&w->overlaps), 0);
}

/* A message that stays open does not keep what was settled behind it from being remembered, nor is it
 * remembered as settled with that. */
static void killed_beside_a_stuck_key_repeats_that_key(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = acked(t, "");
    int done[KEYS] = {0};
    watch *w = begin_watch(NULL);
    kit_child *child = start_worker(t, topic, options, "0");
    publish_keys(t, conf_peer(t), topic);
    assert_int_equal(hear_done(child, (KEYS - 1) * EACH, KIT_PATIENCE, done), (KEYS - 1) * EACH);
    kit_child_tell(child, "flush");
    assert_true(kit_child_expect(child, "flushed", KIT_PATIENCE));
    kit_child_signal(child, SIGKILL);
    assert_int_equal(kit_child_wait(child, KIT_PATIENCE), 128 + SIGKILL);
    kit_sub *sub = kit_subscribe_later(conf_peer(t), topic, options, watch_handler, w);
    KIT_AWAIT(t->net, atomic_load(&w->next[0]) == EACH);
    if (!t->adapter->commits_prefix) {
        conf_fence(t, conf_peer(t), topic, sub);
        assert_int_equal(kit_count(sub), EACH + 1);
    }
    expect_order(w);
}

/* ---- others ---------------------------------------------------------------------------------- */

static int answer_together(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    atomic_int *begun = sub->ctx;
    kit_deadline until = kit_in(KIT_PATIENCE);
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    answer.payload = copy->payload;
    (void)atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 3 && !kit_over(until)) {
        kit_breathe();
    }
    return pubsub_message_reply(message, &answer, 0, NULL) == PUBSUB_OK ? 0 : 1;
}

typedef struct asked {
    atomic_int calls;
    pubsub_err code;
} asked;

static void on_reply(void *ctx, pubsub_message *reply, const pubsub_error *error)
{
    asked *one = ctx;
    (void)reply;
    one->code = error != NULL ? error->code : PUBSUB_OK;
    (void)atomic_fetch_add(&one->calls, 1);
}

static void requests_are_answered_side_by_side(conf *t)
{
    const char *topic = conf_topic(t, "service");
    atomic_int begun = 0;
    asked ones[3] = {{.calls = 0}};
    kit_peer *asker = conf_peer(t);
    (void)kit_subscribe_with(conf_peer(t), topic, "workers=3", answer_together, &begun);
    for (size_t i = 0; i < 3; i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_publication pub = kit_publication(topic, "x");
        KIT_OK(pubsub_client_request_async(asker->client, &pub, kit_ms(KIT_PATIENCE), on_reply,
                                           &ones[i], &error),
               &error);
    }
    for (size_t i = 0; i < 3; i++) {
        KIT_AWAIT(t->net, atomic_load(&ones[i].calls) == 1);
        assert_int_equal(ones[i].code, PUBSUB_OK);
    }
}

const conf_case conf_workers[] = {
    CONF_CASE(keys_keep_their_order, CONF_DISPATCH | CONF_LOAD, F(KEY), F(KEY)),
    CONF_CASE(keys_keep_their_order_through_retries, CONF_DISPATCH | CONF_LOAD,
              F(KEY) | F(NACK_DELAY), F(NACK_DELAY)),
    CONF_CASE(a_key_that_fails_holds_up_itself_only, CONF_DISPATCH | CONF_LOAD,
              F(KEY) | F(NACK_DELAY), F(NACK_DELAY)),
    CONF_CASE(killed_in_the_middle_loses_nothing, CONF_DISPATCH | CONF_LOAD,
              F(KEY) | F(ACK) | F(DURABLE), F(ACK)),
    CONF_CASE(killed_beside_a_stuck_key_repeats_that_key, CONF_DISPATCH | CONF_LOAD,
              F(KEY) | F(ACK) | F(DURABLE), F(ACK)),
    CONF_CASE(requests_are_answered_side_by_side, CONF_DISPATCH, F(REQUEST_REPLY), 0),
    CONF_END};
