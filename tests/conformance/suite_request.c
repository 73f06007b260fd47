/* SPDX-License-Identifier: MIT */
/* Requests and their answers. */
#include "conformance/suites.h"

#include <stdio.h>

/* ---- a service and those who ask it ---------------------------------------------------------- */

/* Answers "re:" and the payload. */
static int serve(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    char text[96];
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    int len = snprintf(text, sizeof(text), "re:%.*s", (int)copy->payload.len,
                       copy->payload.len > 0 ? (const char *)copy->payload.data : "");
    (void)sub;
    answer.payload = (pubsub_bytes){text, (size_t)len};
    return pubsub_message_reply(message, &answer, 0, NULL) == PUBSUB_OK ? 0 : 1;
}

typedef struct asked {
    atomic_int calls;
    char answer[96];
    pubsub_err code;
} asked;

static void on_reply(void *ctx, pubsub_message *reply, const pubsub_error *error)
{
    asked *one = ctx;
    if (reply != NULL) {
        pubsub_bytes payload = pubsub_message_payload(reply);
        (void)snprintf(one->answer, sizeof(one->answer), "%.*s", (int)payload.len,
                       payload.len > 0 ? (const char *)payload.data : "");
    }
    one->code = error != NULL ? error->code : PUBSUB_OK;
    (void)atomic_fetch_add(&one->calls, 1);
}

static void ask(kit_peer *peer, const char *topic, const char *payload, int64_t timeout, asked *one)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication(topic, payload);
    KIT_OK(pubsub_client_request_async(peer->client, &pub, timeout, on_reply, one, &error), &error);
}

static bool all_over(asked *ones, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&ones[i].calls) == 0) {
            return false;
        }
    }
    return true;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void a_request_gets_its_answer(conf *t)
{
    const char *topic = conf_topic(t, "service");
    kit_sub *service = kit_subscribe_with(conf_peer(t), topic, NULL, serve, NULL);
    kit_peer *asker = conf_peer(t);
    asked one = {.code = PUBSUB_EINTERNAL};
    asked two = {.code = PUBSUB_EINTERNAL};
    ask(asker, topic, "ping", kit_ms(KIT_PATIENCE), &one);
    KIT_AWAIT(t->net, atomic_load(&one.calls) == 1);
    assert_int_equal(one.code, PUBSUB_OK);
    assert_string_equal(one.answer, "re:ping");
    ask(asker, topic, "", kit_ms(KIT_PATIENCE), &two);
    KIT_AWAIT(t->net, atomic_load(&two.calls) == 1);
    assert_string_equal(two.answer, "re:");
    assert_int_equal(kit_count(service), 2);
    assert_true(kit_at(service, 0)->correlation.len > 0);
    assert_true(kit_same(kit_at(service, 0)->reply_to, kit_at(service, 1)->reply_to));
    assert_false(kit_same(kit_at(service, 0)->correlation, kit_at(service, 1)->correlation));
    assert_int_equal(kit_list_count(&asker->inbox), 0);
    assert_int_equal(kit_events_of(asker, PUBSUB_EVENT_SUBSCRIBED), 0);
}

static void a_thread_waits_for_its_answer(conf *t)
{
    const char *topic = conf_topic(t, "service");
    pubsub_publication pub = kit_publication(topic, "ping");
    kit_peer *asker = conf_peer(t);
    (void)kit_subscribe_with(conf_peer(t), topic, NULL, serve, NULL);
    for (int i = 0; i < 20; i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_message *reply = NULL;
        KIT_OK(pubsub_client_request(asker->client, &pub, kit_ms(KIT_PATIENCE), &reply, &error),
               &error);
        assert_true(kit_is(pubsub_message_payload(reply), "re:ping"));
        pubsub_message_unref(reply);
    }
}

static void another_process_answers(conf *t)
{
    const char *topic = conf_topic(t, "service");
    const char *const arguments[] = {t->url, topic, NULL};
    kit_child *child = conf_child(t, 0, "serve", arguments);
    pubsub_publication pub = kit_publication(topic, "ping");
    kit_peer *asker = conf_peer(t);
    assert_true(kit_child_expect(child, "ready", KIT_PATIENCE));
    for (int i = 0; i < 20; i++) { /* nobody polls here */
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_message *reply = NULL;
        KIT_OK(pubsub_client_request(asker->client, &pub, kit_ms(KIT_PATIENCE), &reply, &error),
               &error);
        assert_true(kit_is(pubsub_message_payload(reply), "re:ping"));
        pubsub_message_unref(reply);
    }
}

/* An answer is a message like any other: who knows where it goes and what it repeats can send it. */
static void a_plain_publish_can_answer(conf *t)
{
    const char *topic = conf_topic(t, "service");
    kit_sub *service = kit_subscribe(conf_peer(t), topic, NULL);
    kit_peer *asker = conf_peer(t);
    asked one = {.code = PUBSUB_EINTERNAL};
    ask(asker, topic, "x", kit_ms(KIT_PATIENCE), &one);
    KIT_AWAIT(t->net, kit_count(service) == 1);
    const kit_message *request = kit_at(service, 0);
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    answer.topic = request->reply_to;
    answer.payload = pubsub_bytes_of("without");
    kit_send(service->peer, &answer);
    answer.correlation = pubsub_bytes_of("strange");
    kit_send(service->peer, &answer);
    answer.correlation = request->correlation;
    answer.payload = pubsub_bytes_of("right");
    kit_send(service->peer, &answer);
    kit_send(service->peer, &answer);
    KIT_AWAIT(t->net, atomic_load(&one.calls) == 1);
    assert_string_equal(one.answer, "right");
    KIT_AWAIT(t->net, kit_stats(asker).stray_replies == 3);
    assert_int_equal(atomic_load(&one.calls), 1);
}

static void many_at_once_each_get_their_own(conf *t)
{
    enum { COUNT = 300, ASKERS = 3 };
    const char *topic = conf_topic(t, "service");
    asked *ones = test_calloc((size_t)ASKERS * COUNT, sizeof(*ones));
    (void)kit_subscribe_with(conf_peer(t), topic, NULL, serve, NULL);
    kit_peer *askers[ASKERS];
    for (size_t a = 0; a < ASKERS; a++) {
        askers[a] = conf_peer(t);
        for (size_t i = 0; i < COUNT; i++) {
            ask(askers[a], topic, conf_text(t, "%zu/%zu", a, i), kit_ms(KIT_PATIENCE),
                &ones[a * COUNT + i]);
        }
    }
    KIT_AWAIT(t->net, all_over(ones, (size_t)ASKERS * COUNT));
    for (size_t a = 0; a < ASKERS; a++) {
        for (size_t i = 0; i < COUNT; i++) {
            assert_string_equal(ones[a * COUNT + i].answer, conf_text(t, "re:%zu/%zu", a, i));
            assert_int_equal(atomic_load(&ones[a * COUNT + i].calls), 1);
        }
        assert_int_equal(kit_stats(askers[a]).requests, 0);
    }
    test_free(ones);
}

static void a_request_nobody_answers_times_out(conf *t)
{
    const char *topic = conf_topic(t, "service");
    pubsub_publication pub = kit_publication(topic, "x");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_message *reply = NULL;
    kit_sub *service = kit_subscribe(conf_peer(t), topic, NULL); /* hears and says nothing */
    kit_peer *asker = conf_peer(t);
    asked one = {.code = PUBSUB_OK};
    ask(asker, topic, "x", 500, &one);
    KIT_AWAIT(t->net, atomic_load(&one.calls) == 1);
    assert_int_equal(one.code, PUBSUB_ETIMEDOUT);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_request(asker->client, &pub, 500, &reply, &error));
    assert_null(reply);
    KIT_AWAIT(t->net, kit_count(service) == 2);
    /* Late, and to nobody any more. */
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    answer.topic = kit_at(service, 0)->reply_to;
    answer.correlation = kit_at(service, 0)->correlation;
    kit_send(service->peer, &answer);
    KIT_AWAIT(t->net, kit_stats(asker).stray_replies == 1);
}

static void nobody_there_is_an_error(conf *t)
{
    pubsub_publication pub = kit_publication(conf_topic(t, "nobody"), "x");
    pubsub_message *reply = NULL;
    pubsub_err rc = pubsub_client_request(conf_peer(t)->client, &pub, 100, &reply, NULL);
    assert_true(rc == PUBSUB_ETIMEDOUT || rc == PUBSUB_ENORESPONDER);
    assert_null(reply);
}

static void services_of_a_group_share_requests(conf *t)
{
    enum { COUNT = 100 };
    const char *topic = conf_topic(t, "service");
    const char *options = conf_text(t, "group=%s prefetch=5", conf_name(t, "g"));
    asked *ones = test_calloc(COUNT, sizeof(*ones));
    kit_sub *services[2];
    kit_peer *asker = conf_peer(t);
    size_t total = 0;
    services[0] = kit_subscribe_with(conf_peer(t), topic, options, serve, NULL);
    services[1] = kit_subscribe_with(conf_peer(t), topic, options, serve, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        ask(asker, topic, conf_text(t, "m%zu", i), kit_ms(KIT_PATIENCE), &ones[i]);
    }
    KIT_AWAIT(t->net, all_over(ones, COUNT));
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(ones[i].answer, conf_text(t, "re:m%zu", i));
    }
    assert_int_equal(conf_union(services, 2, "m", COUNT, &total), COUNT);
    assert_int_equal(total, COUNT);
    assert_int_equal(kit_stats(asker).stray_replies, 0);
    test_free(ones);
}

static void only_requests_can_be_answered(conf *t)
{
    const char *topic = conf_topic(t, "service");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_pull(peer, topic, NULL);
    pubsub_message *message = NULL;
    kit_publish(peer, topic, "no request");
    KIT_OK(pubsub_subscription_next(sub->handle, kit_ms(KIT_PATIENCE), &message, &error), &error);
    KIT_ERR(PUBSUB_EINVAL, pubsub_message_reply(message, &answer, 0, &error));
    KIT_SAYS(error.text, "reply_to");
    (void)pubsub_message_ack(message);
    pubsub_message_unref(message);
}

static void requests_end_with_their_client(conf *t)
{
    const char *topic = conf_topic(t, "service");
    kit_sub *service = kit_subscribe(conf_peer(t), topic, NULL);
    kit_peer *asker = conf_peer(t);
    asked one = {.code = PUBSUB_OK};
    ask(asker, topic, "x", PUBSUB_FOREVER, &one);
    KIT_AWAIT(t->net, kit_count(service) == 1);
    KIT_OK(pubsub_client_end(asker->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(atomic_load(&one.calls), 1);
    assert_int_equal(one.code, PUBSUB_ECLOSED);
}

const conf_case conf_request[] = {
    CONF_CASE(a_request_gets_its_answer, CONF_ALL, F(REQUEST_REPLY), F(REQUEST_REPLY)),
    CONF_CASE(a_thread_waits_for_its_answer, CONF_DISPATCH, F(REQUEST_REPLY), F(REQUEST_REPLY)),
    CONF_CASE(another_process_answers, CONF_POLLED | CONF_OUTSIDE, F(REQUEST_REPLY),
              F(REQUEST_REPLY)),
    CONF_CASE(a_plain_publish_can_answer, CONF_POLLED, F(REQUEST_REPLY), F(REPLY_TO)),
    CONF_CASE(many_at_once_each_get_their_own, CONF_ALL, F(REQUEST_REPLY), F(REQUEST_REPLY)),
    CONF_CASE(a_request_nobody_answers_times_out, CONF_ALL, F(REQUEST_REPLY), 0),
    CONF_CASE(nobody_there_is_an_error, CONF_ALL, F(REQUEST_REPLY), 0),
    CONF_CASE(services_of_a_group_share_requests, CONF_ALL, F(REQUEST_REPLY) | F(GROUP), 0),
    CONF_CASE(only_requests_can_be_answered, CONF_POLLED, F(REQUEST_REPLY), 0),
    CONF_CASE(requests_end_with_their_client, CONF_ALL, F(REQUEST_REPLY), 0),
    CONF_END};
