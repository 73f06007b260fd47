/* SPDX-License-Identifier: MIT */
/* Requests: who gets which answer, and every way to end without one. */
#include "unit/client/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one request of a test ------------------------------------------------------------------- */

typedef struct asked {
    atomic_int calls;
    char payload[64];
    pubsub_error error;
    pubsub_message *kept; /* when keep */
    bool keep;
} asked;

static void on_reply(void *ctx, pubsub_message *reply, const pubsub_error *error)
{
    asked *one = ctx;
    if (reply != NULL) {
        pubsub_bytes payload = pubsub_message_payload(reply);
        (void)snprintf(one->payload, sizeof(one->payload), "%.*s", (int)payload.len,
                       payload.len > 0 ? (const char *)payload.data : "");
        one->kept = one->keep ? pubsub_message_ref(reply) : NULL;
    }
    if (error != NULL) {
        one->error = *error;
    }
    (void)atomic_fetch_add(&one->calls, 1);
}

static void ask(kit_peer *peer, const char *payload, int64_t timeout, asked *one)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("service", payload);
    KIT_OK(pubsub_client_request_async(peer->client, &pub, timeout, on_reply, one, &error), &error);
}

/* The nth request that left. */
static scripted_note sent(fixture *f, size_t nth)
{
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBMIT) > nth);
    return scripted_nth(f->broker, SCRIPTED_SUBMIT, nth);
}

static void answer(fixture *f, const scripted_note *request, const char *payload)
{
    scripted_reply(f->broker, request->reply_to, request->correlation, payload);
}

/* A thread that asks and waits. */
typedef struct asker {
    pthread_t thread;
    kit_peer *peer;
    int64_t timeout;
    const char *payload;
    pubsub_err rc;
    pubsub_error error;
    char answer[64];
    atomic_bool over;
} asker;

static void *ask_and_wait(void *ctx)
{
    asker *self = ctx;
    pubsub_publication pub = kit_publication("service", self->payload);
    pubsub_message *reply = NULL;
    self->rc = pubsub_client_request(self->peer->client, &pub, self->timeout, &reply, &self->error);
    if (reply != NULL) {
        pubsub_bytes payload = pubsub_message_payload(reply);
        (void)snprintf(self->answer, sizeof(self->answer), "%.*s", (int)payload.len,
                       payload.len > 0 ? (const char *)payload.data : "");
        pubsub_message_unref(reply);
    }
    atomic_store(&self->over, true);
    return NULL;
}

static void asker_start(asker *self, kit_peer *peer, const char *payload, int64_t timeout)
{
    memset(self, 0, sizeof(*self));
    self->peer = peer;
    self->payload = payload;
    self->timeout = timeout;
    assert_int_equal(pthread_create(&self->thread, NULL, ask_and_wait, self), 0);
}

static void asker_join(asker *self)
{
    assert_int_equal(pthread_join(self->thread, NULL), 0);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void test_request_waits_for_its_answer(void **state)
{
    fixture *f = *state;
    asker waiter;
    kit_peer *peer = fixture_connected(f, NULL);
    asker_start(&waiter, peer, "ping", kit_ms(KIT_PATIENCE));
    scripted_note request = sent(f, 0);
    assert_string_equal(request.topic, "service");
    assert_string_equal(request.text, "ping");
    assert_int_equal(strncmp(request.reply_to, "$inbox/", 7), 0);
    answer(f, &request, "pong");
    asker_join(&waiter);
    KIT_OK(waiter.rc, &waiter.error);
    assert_string_equal(waiter.answer, "pong");
    assert_int_equal(kit_stats(peer).requests, 0);
}

static void test_request_is_sent_after_its_inbox(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asked two = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold_subscribes(f->broker, true);
    ask(peer, "first", -1, &one);
    ask(peer, "second", -1, &two);
    kit_publish(peer, "other", "plain");
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBMIT) == 1);
    assert_string_equal(sent(f, 0).text, "plain");
    scripted_grant(f->broker, scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 0).text);
    scripted_note first = sent(f, 1);
    scripted_note second = sent(f, 2);
    assert_string_equal(first.text, "first");
    assert_string_equal(first.reply_to, second.reply_to);
    assert_string_not_equal(first.correlation, second.correlation);
    answer(f, &second, "b");
    answer(f, &first, "a");
    AWAIT(f, atomic_load(&one.calls) == 1 && atomic_load(&two.calls) == 1);
    assert_string_equal(one.payload, "a");
    assert_string_equal(two.payload, "b");
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 1);
}

static void test_request_inbox_is_nobody_elses(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, "inbox=my/own");
    ask(peer, "x", -1, &one);
    scripted_note request = sent(f, 0);
    const char *patterns[] = {request.reply_to};
    assert_int_equal(strncmp(request.reply_to, "my/own/", 7), 0);
    KIT_ERR(PUBSUB_ENOTFOUND, pubsub_client_unsubscribe(peer->client, patterns, 1, 0, NULL));
    scripted_gap(f->broker, request.reply_to, "as scripted", 1);
    answer(f, &request, "y");
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(kit_list_count(&peer->inbox), 0);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED), 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_GAP), 0);
    assert_int_equal(kit_stats(peer).ready, 0);
}

static void test_request_answer_may_be_kept(void **state)
{
    fixture *f = *state;
    asked one = {.keep = true};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_echoes(f->broker, true);
    ask(peer, "kept", -1, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    kit_peer_close(peer);
    assert_true(kit_is(pubsub_message_payload(one.kept), "kept"));
    pubsub_message_unref(one.kept);
}

/* Kept answers take no credit: any number of them leaves room for the next. */
static void test_request_kept_answers_stop_nothing(void **state)
{
    enum { COUNT = 20 };
    fixture *f = *state;
    asked ones[COUNT];
    kit_peer *peer = fixture_connected(f, "prefetch=4 prefetch_bytes=1K");
    memset(ones, 0, sizeof(ones));
    scripted_echoes(f->broker, true);
    for (size_t i = 0; i < COUNT; i++) {
        ones[i].keep = true;
        ask(peer, "0123456789012345678901234567890123456789012345678901234567890", -1, &ones[i]);
        AWAIT(f, atomic_load(&ones[i].calls) == 1);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_non_null(ones[i].kept);
        pubsub_message_unref(ones[i].kept);
    }
    assert_int_equal(kit_stats(peer).overflowed, 0);
}

/* ---- answers nobody waits for ---------------------------------------------------------------- */

static void test_request_stray_answers_are_counted(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asked two = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    char correlation[128];
    ask(peer, "x", -1, &one);
    ask(peer, "late", 20, &two);
    scripted_note request = sent(f, 0);
    scripted_note late = sent(f, 1);
    (void)snprintf(correlation, sizeof(correlation), "%s9", request.correlation);
    scripted_reply(f->broker, request.reply_to, "", "no correlation");
    scripted_reply(f->broker, request.reply_to, "another", "strange");
    scripted_reply(f->broker, request.reply_to, correlation, "unknown");
    request.correlation[0] = request.correlation[0] == 'x' ? 'y' : 'x';
    answer(f, &request, "of another client");
    (void)snprintf(correlation, sizeof(correlation), "%.9s99999999999999999999999999",
                   late.correlation);
    scripted_reply(f->broker, request.reply_to, correlation, "too long");
    assert_int_equal(kit_stats(peer).stray_replies, 5);
    AWAIT(f, atomic_load(&two.calls) == 1);
    assert_int_equal(two.error.code, PUBSUB_ETIMEDOUT);
    answer(f, &late, "late");
    request = sent(f, 0);
    answer(f, &request, "right");
    answer(f, &request, "twice");
    AWAIT(f, atomic_load(&one.calls) == 1);
    AWAIT(f, kit_stats(peer).stray_replies == 7);
    assert_string_equal(one.payload, "right");
    assert_int_equal(atomic_load(&one.calls), 1);
    assert_int_equal(atomic_load(&two.calls), 1);
}

/* ---- ends without an answer ------------------------------------------------------------------ */

static void test_request_times_out(void **state)
{
    fixture *f = *state;
    asker waiter;
    asked slow = {.keep = false};
    asked quick = {.keep = false};
    uint64_t before = kit_now();
    kit_peer *peer = fixture_connected(f, NULL);
    ask(peer, "slow", 80, &slow);
    ask(peer, "quick", 30, &quick);
    AWAIT(f, atomic_load(&quick.calls) == 1);
    assert_int_equal(atomic_load(&slow.calls), 0);
    AWAIT(f, atomic_load(&slow.calls) == 1);
    assert_true(kit_now() - before >= 80 * UINT64_C(1000000));
    assert_int_equal(slow.error.code, PUBSUB_ETIMEDOUT);
    KIT_SAYS(slow.error.text, "80 ms");
    asker_start(&waiter, peer, "x", 30);
    asker_join(&waiter);
    assert_int_equal(waiter.rc, PUBSUB_ETIMEDOUT);
    KIT_SAYS(waiter.error.text, "30 ms");
    assert_int_equal(kit_stats(peer).requests, 0);
}

static void test_request_that_is_over_is_not_sent(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold_subscribes(f->broker, true);
    ask(peer, "x", 20, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_ETIMEDOUT);
    scripted_grant(f->broker, scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 0).text);
    kit_flush(peer);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    assert_int_equal(kit_stats(peer).dropped, 1);
}

static void test_request_ends_with_the_client(void **state)
{
    fixture *f = *state;
    asker waiter;
    asked sent_one = {.keep = false};
    asked held_one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    ask(peer, "sent", -1, &sent_one);
    asker_start(&waiter, peer, "waits", -1);
    (void)sent(f, 1);
    scripted_hold_subscribes(f->broker, true);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 2);
    ask(peer, "held", -1, &held_one);
    (void)pubsub_client_end(peer->client, 50, &error);
    asker_join(&waiter);
    assert_int_equal(waiter.rc, PUBSUB_ECLOSED);
    assert_int_equal(atomic_load(&sent_one.calls), 1);
    assert_int_equal(atomic_load(&held_one.calls), 1);
    assert_int_equal(sent_one.error.code, PUBSUB_ECLOSED);
    assert_int_equal(held_one.error.code, PUBSUB_ECLOSED);
    pubsub_publication pub = kit_publication("service", "too late");
    KIT_ERR(PUBSUB_ECLOSED,
            pubsub_client_request_async(peer->client, &pub, 10, on_reply, &sent_one, NULL));
    assert_int_equal(atomic_load(&sent_one.calls), 1);
}

static void test_request_ends_with_free(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    ask(peer, "x", -1, &one);
    (void)sent(f, 0);
    kit_peer_close(peer);
    assert_int_equal(atomic_load(&one.calls), 1);
    assert_int_equal(one.error.code, PUBSUB_ECLOSED);
}

static void test_request_ends_when_connecting_fails(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asker waiter;
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_connects(f->broker, PUBSUB_EAUTH, 30);
    ask(peer, "x", -1, &one);
    asker_start(&waiter, peer, "y", -1);
    asker_join(&waiter);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_EAUTH);
    assert_true(waiter.rc == PUBSUB_EAUTH || waiter.rc == PUBSUB_ECLOSED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
}

/* Not "the client is closed": the inbox is made before anything is opened. */
static void test_request_that_opens_says_why_it_cannot(void **state)
{
    fixture *f = *state;
    pubsub_publication pub = kit_publication("service", "x");
    for (int i = 0; i < 20; i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_message *reply = NULL;
        kit_peer *peer = fixture_peer(f, NULL);
        scripted_connects(f->broker, PUBSUB_EAUTH, 0);
        KIT_ERR(PUBSUB_EAUTH, pubsub_client_request(peer->client, &pub, -1, &reply, &error));
        kit_peer_close(peer);
    }
}

static void test_request_survives_a_lost_link(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asked two = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    ask(peer, "before", -1, &one);
    scripted_note request = sent(f, 0);
    fixture_cut(f, peer, 0);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 2);
    ask(peer, "after", -1, &two);
    scripted_note second = sent(f, 1);
    assert_string_equal(request.reply_to, second.reply_to);
    answer(f, &request, "a");
    answer(f, &second, "b");
    AWAIT(f, atomic_load(&one.calls) == 1 && atomic_load(&two.calls) == 1);
    assert_string_equal(one.payload, "a");
    assert_string_equal(two.payload, "b");
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED), 0);
}

static void test_request_without_reconnect_fails_with_the_link(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, "reconnect=no");
    ask(peer, "x", -1, &one);
    (void)sent(f, 0);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_ELOST);
}

static void test_request_that_is_rejected_ends_at_once(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asker waiter;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    ask(peer, "x", -1, &one);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_answer(f->broker, PUBSUB_REJECTED, PUBSUB_EDENIED);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_EDENIED);
    asker_start(&waiter, peer, "y", -1);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_answer(f->broker, PUBSUB_REJECTED, PUBSUB_EREJECTED);
    asker_join(&waiter);
    assert_int_equal(waiter.rc, PUBSUB_EREJECTED);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_ERROR), 0);
    assert_int_equal(kit_list_count(&peer->reports), 0);
}

static void test_request_nobody_receives_ends_at_once(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    ask(peer, "x", -1, &one);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_nobody(f->broker);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_ENORESPONDER);
    assert_true(pubsub_err_is_retryable(one.error.code));
    KIT_SAYS(one.error.text, "service");
}

static void test_request_answer_before_the_outcome(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    ask(peer, "x", -1, &one);
    scripted_note request = sent(f, 0);
    answer(f, &request, "early");
    AWAIT(f, atomic_load(&one.calls) == 1);
    scripted_nobody(f->broker);
    kit_flush(peer);
    assert_string_equal(one.payload, "early");
    assert_int_equal(one.error.code, PUBSUB_OK);
    assert_int_equal(atomic_load(&one.calls), 1);
}

static void test_request_inbox_refused_and_asked_for_again(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asked two = {.keep = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold_subscribes(f->broker, true);
    ask(peer, "x", -1, &one);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 1);
    scripted_note inbox = scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 0);
    scripted_refuse(f->broker, inbox.text, PUBSUB_EDENIED);
    scripted_grant(f->broker, inbox.text);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_EDENIED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_REFUSED), 0);
    scripted_refuse(f->broker, "", PUBSUB_OK);
    scripted_hold_subscribes(f->broker, false);
    scripted_echoes(f->broker, true);
    ask(peer, "y", -1, &two);
    AWAIT(f, atomic_load(&two.calls) == 1);
    assert_string_equal(two.payload, "y");
}

static void test_request_after_connecting_again(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    asked two = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_echoes(f->broker, true);
    ask(peer, "one", -1, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    ask(peer, "two", -1, &two);
    AWAIT(f, atomic_load(&two.calls) == 1);
    assert_string_equal(two.payload, "two");
}

/* ---- bounds and wrong use -------------------------------------------------------------------- */

static void test_request_number_is_bounded(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("service", "x");
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold_subscribes(f->broker, true); /* so that none leaves */
    for (int i = 0; i < PUBSUB_REQUESTS_MAX; i++) {
        KIT_OK(pubsub_client_request_async(peer->client, &pub, i % 2 == 0 ? -1 : 60000 + i % 977,
                                           on_reply, &one, &error),
               &error);
    }
    assert_int_equal(kit_stats(peer).requests, PUBSUB_REQUESTS_MAX);
    KIT_ERR(PUBSUB_EAGAIN,
            pubsub_client_request_async(peer->client, &pub, -1, on_reply, &one, &error));
    KIT_SAYS(error.text, "16384 requests");
    (void)pubsub_client_end(peer->client, 10, &error);
    assert_int_equal(atomic_load(&one.calls), PUBSUB_REQUESTS_MAX);
}

static void test_request_queue_full(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_message *reply = NULL;
    pubsub_publication pub = kit_publication("service", "x");
    kit_peer *peer = fixture_connected(f, "queue_messages=1");
    scripted_hold(f->broker, true);
    ask(peer, "x", -1, &one);
    KIT_ERR(PUBSUB_EAGAIN,
            pubsub_client_request_async(peer->client, &pub, -1, on_reply, &one, &error));
    KIT_SAYS(error.text, "queue is full");
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_request(peer->client, &pub, 20, &reply, &error));
    assert_int_equal(kit_stats(peer).requests, 1);
    kit_peer_close(peer);
    assert_int_equal(atomic_load(&one.calls), 1);
}

static void test_request_wrong_use(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_message *reply = NULL;
    pubsub_publication pub = kit_publication("service", "x");
    kit_peer *peer = fixture_connected(f, NULL);
    pubsub_client *client = peer->client;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request(NULL, &pub, 1, &reply, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request(client, NULL, 1, &reply, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request(client, &pub, 1, NULL, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request(client, &pub, 0, &reply, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request_async(client, &pub, 1, NULL, NULL, &error));
    pub.reply_to = pubsub_bytes_of("elsewhere");
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request(client, &pub, 1, &reply, &error));
    KIT_SAYS(error.text, "set by the library");
    pub = kit_publication("service", "x");
    pub.correlation = pubsub_bytes_of("c");
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_request_async(client, &pub, 1, on_reply, &one, &error));
    pub = kit_publication("a/+/c", "x");
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_request_async(client, &pub, 1, on_reply, &one, &error));
    assert_int_equal(atomic_load(&one.calls), 0);
    assert_int_equal(kit_stats(peer).requests, 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 0);
}

static void test_request_inbox_option_is_a_topic(void **state)
{
    fixture *f = *state;
    kit_peer *peer = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EOPTION,
            kit_peer_try(&f->net, scripted_url(f->broker), "inbox=a/#", &peer, &error));
    KIT_SAYS(error.text, "inbox");
}

static void test_request_needs_the_features(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("service", "x");
    pubsub_caps less = *scripted_caps(f->broker);
    kit_peer *peer = fixture_peer(f, "degrade=allow");
    less.features[PUBSUB_FEATURE_REPLY_TO].support = PUBSUB_REFUSED;
    scripted_server_caps(f->broker, &less);
    ask(peer, "queued before it was known", -1, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    assert_int_equal(one.error.code, PUBSUB_ENOTSUP);
    KIT_ERR(PUBSUB_ENOTSUP,
            pubsub_client_request_async(peer->client, &pub, 1, on_reply, &one, &error));
    KIT_SAYS(error.text, "reply-to");
    assert_null(strstr(error.text, "degrade"));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
}

static void test_request_refused_by_the_adapter(void **state)
{
    fixture *f = *state;
    asked one = {.keep = false};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("service", "x");
    scripted_caps(f->broker)->features[PUBSUB_FEATURE_REQUEST_REPLY].support = PUBSUB_REFUSED;
    kit_peer *peer = fixture_peer(f, "degrade=allow");
    KIT_ERR(PUBSUB_ENOTSUP,
            pubsub_client_request_async(peer->client, &pub, 1, on_reply, &one, &error));
    KIT_SAYS(error.text, "request-reply");
}

/* ---- handlers -------------------------------------------------------------------------------- */

typedef struct inside {
    pubsub_err blocking;
    pubsub_err reply;
    asked one;
} inside;

static int ask_inside(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    inside *in = sub->ctx;
    pubsub_message *reply = NULL;
    pubsub_publication pub = kit_publication("service", "inside");
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    (void)copy;
    in->blocking = pubsub_client_request(sub->peer->client, &pub, 10, &reply, NULL);
    in->reply = pubsub_message_reply(message, &answer, 0, NULL);
    (void)pubsub_client_request_async(sub->peer->client, &pub, -1, on_reply, &in->one, NULL);
    return 0;
}

static void test_request_in_a_handler(void **state)
{
    fixture *f = *state;
    inside in;
    kit_peer *peer = fixture_connected(f, NULL);
    memset(&in, 0, sizeof(in));
    scripted_echoes(f->broker, true);
    (void)kit_subscribe_with(peer, "a", NULL, ask_inside, &in);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, atomic_load(&in.one.calls) == 1);
    assert_int_equal(in.blocking, PUBSUB_ESTATE);
    assert_int_equal(in.reply, PUBSUB_EINVAL);
    assert_string_equal(in.one.payload, "inside");
}

static void test_request_reply_repeats_the_correlation(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    asked one = {.keep = true};
    sub->keep = true;
    scripted_deliver_one(f->broker, "a", "not a request", 1);
    AWAIT(f, kit_count(sub) == 1);
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pub.payload = pubsub_bytes_of("x");
    KIT_ERR(PUBSUB_EINVAL, pubsub_message_reply(kit_at(sub, 0)->ref, &pub, 0, &error));
    KIT_SAYS(error.text, "no reply_to");
    pub.topic = pubsub_bytes_of("t");
    KIT_ERR(PUBSUB_EINVAL, pubsub_message_reply(kit_at(sub, 0)->ref, &pub, 0, &error));
    KIT_SAYS(error.text, "come from its request");
    KIT_ERR(PUBSUB_EINVAL, pubsub_message_reply(NULL, &pub, 0, &error));
    scripted_echoes(f->broker, true);
    ask(peer, "x", -1, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    KIT_ERR(PUBSUB_ESTATE, pubsub_message_ack(one.kept));
    pubsub_message_unref(one.kept);
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct crowd {
    kit_peer *peer;
    int number;
    int wrong;
} crowd;

static void *ask_often(void *ctx)
{
    crowd *self = ctx;
    for (int i = 0; i < 200; i++) {
        char text[32];
        pubsub_message *reply = NULL;
        (void)snprintf(text, sizeof(text), "%d-%d", self->number, i);
        pubsub_publication pub = kit_publication("service", text);
        pubsub_err rc =
            pubsub_client_request(self->peer->client, &pub, kit_ms(KIT_PATIENCE), &reply, NULL);
        self->wrong += rc != PUBSUB_OK || !kit_is(pubsub_message_payload(reply), text);
        pubsub_message_unref(reply);
    }
    return NULL;
}

static void test_request_from_several_threads(void **state)
{
    enum { THREADS = 6 };
    fixture *f = *state;
    pthread_t threads[THREADS];
    crowd crowds[THREADS];
    asked ones[100];
    kit_peer *peer = fixture_peer(f, NULL); /* all race for the inbox and the connection */
    memset(ones, 0, sizeof(ones));
    scripted_echoes(f->broker, true);
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){peer, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &crowds[i]), 0);
    }
    for (size_t i = 0; i < 100; i++) {
        ask(peer, "async", kit_ms(KIT_PATIENCE), &ones[i]);
        (void)pubsub_client_poll(peer->client, 0, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(crowds[i].wrong, 0);
    }
    for (size_t i = 0; i < 100; i++) {
        AWAIT(f, atomic_load(&ones[i].calls) == 1);
        assert_string_equal(ones[i].payload, "async");
    }
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 1);
    assert_int_equal(kit_stats(peer).stray_replies, 0);
    assert_int_equal(kit_stats(peer).requests, 0);
}

/* ---- inline ---------------------------------------------------------------------------------- */

static void test_request_inline(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_message *reply = NULL;
    asked one = {.keep = false};
    asked late = {.keep = false};
    pubsub_publication pub = kit_publication("service", "hello");
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_echoes(f->broker, true);
    KIT_OK(pubsub_client_request(peer->client, &pub, kit_ms(KIT_PATIENCE), &reply, &error), &error);
    assert_true(kit_is(pubsub_message_payload(reply), "hello"));
    pubsub_message_unref(reply);
    ask(peer, "async", -1, &one);
    AWAIT(f, atomic_load(&one.calls) == 1);
    scripted_echoes(f->broker, false);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_request(peer->client, &pub, 30, &reply, &error));
    ask(peer, "late", 30, &late);
    while (atomic_load(&late.calls) == 0) { /* its time alone ends the poll */
        assert_true(pubsub_client_poll(peer->client, kit_ms(KIT_PATIENCE), &error) > 0);
    }
    assert_int_equal(late.error.code, PUBSUB_ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_request_waits_for_its_answer),
        FIXTURE_TEST(test_request_is_sent_after_its_inbox),
        FIXTURE_TEST(test_request_inbox_is_nobody_elses),
        FIXTURE_TEST(test_request_answer_may_be_kept),
        FIXTURE_TEST(test_request_kept_answers_stop_nothing),
        FIXTURE_TEST(test_request_stray_answers_are_counted),
        FIXTURE_TEST(test_request_times_out),
        FIXTURE_TEST(test_request_that_is_over_is_not_sent),
        FIXTURE_TEST(test_request_ends_with_the_client),
        FIXTURE_TEST(test_request_ends_with_free),
        FIXTURE_TEST(test_request_ends_when_connecting_fails),
        FIXTURE_TEST(test_request_that_opens_says_why_it_cannot),
        FIXTURE_TEST(test_request_survives_a_lost_link),
        FIXTURE_TEST(test_request_without_reconnect_fails_with_the_link),
        FIXTURE_TEST(test_request_that_is_rejected_ends_at_once),
        FIXTURE_TEST(test_request_nobody_receives_ends_at_once),
        FIXTURE_TEST(test_request_answer_before_the_outcome),
        FIXTURE_TEST(test_request_inbox_refused_and_asked_for_again),
        FIXTURE_TEST(test_request_after_connecting_again),
        FIXTURE_TEST(test_request_number_is_bounded),
        FIXTURE_TEST(test_request_queue_full),
        FIXTURE_TEST(test_request_wrong_use),
        FIXTURE_TEST(test_request_inbox_option_is_a_topic),
        FIXTURE_TEST(test_request_needs_the_features),
        FIXTURE_TEST(test_request_refused_by_the_adapter),
        FIXTURE_TEST(test_request_in_a_handler),
        FIXTURE_TEST(test_request_reply_repeats_the_correlation),
        FIXTURE_TEST(test_request_from_several_threads),
        FIXTURE_INLINE_TEST(test_request_inline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
