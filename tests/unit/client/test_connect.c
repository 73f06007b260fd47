/* SPDX-License-Identifier: MIT */
/* Connecting: what local: is too fast or too kind to show. */
#include "unit/client/fixture.h"

#include <pthread.h>
#include <stdio.h>

enum { WAITERS = 4 };

static void test_connect_while_connecting_says_so(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_connects(f->broker, PUBSUB_OK, SCRIPTED_NEVER);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTING);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_connect(peer->client, &error));
    KIT_SAYS(error.text, "connecting");
}

static void test_connect_while_reconnecting_says_so(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_RECONNECTING);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_connect(peer->client, &error));
    KIT_SAYS(error.text, "reconnecting");
}

static void test_connect_while_closing_says_so(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    KIT_OK(pubsub_client_shutdown(peer->client), NULL);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSING);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_connect(peer->client, &error));
    KIT_SAYS(error.text, "closing");
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_ready(peer->client, kit_ms(1000), &error));
    KIT_SAYS(error.text, "closing");
}

static void test_connect_timeout_says_its_number(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, "connect_timeout=67ms");
    uint64_t before = kit_now();
    pubsub_err result = PUBSUB_OK;
    scripted_connects(f->broker, PUBSUB_OK, SCRIPTED_NEVER);
    result = pubsub_client_ready(peer->client, PUBSUB_FOREVER, &error);
    assert_true(result == PUBSUB_ECONNECT || result == PUBSUB_ETIMEDOUT);
    KIT_SAYS(error.text, "67");
    KIT_SAYS(error.text, "connect_timeout");
    assert_true(kit_now() - before >= 67 * 1000000ull);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_DISCONNECT) == 1);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void test_connect_ready_keeps_its_own_time(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, "connect_timeout=10s");
    scripted_connects(f->broker, PUBSUB_OK, SCRIPTED_NEVER);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_ready(peer->client, 20, &error));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTING);
}

typedef struct waiter {
    pthread_t thread;
    pubsub_client *client;
    atomic_int *waiting;
    pubsub_err result;
    pubsub_error error;
} waiter;

static void *wait_ready(void *ctx)
{
    waiter *me = ctx;
    atomic_fetch_add(me->waiting, 1);
    me->result = pubsub_client_ready(me->client, PUBSUB_FOREVER, &me->error);
    return NULL;
}

static void test_connect_every_waiter_gets_the_error(void **state)
{
    fixture *f = *state;
    atomic_int waiting = 0;
    waiter waiters[WAITERS];
    kit_peer *peer = fixture_peer(f, NULL);
    kit_sub *sub = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    scripted_connects(f->broker, PUBSUB_EAUTH, 200);
    for (size_t i = 0; i < WAITERS; i++) {
        waiters[i] = (waiter){.client = peer->client, .waiting = &waiting};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_ready, &waiters[i]), 0);
    }
    AWAIT(f, atomic_load(&waiting) == WAITERS);
    sub = kit_subscribe_later(peer, "a", NULL, NULL, NULL);
    for (size_t i = 0; i < WAITERS; i++) {
        (void)pthread_join(waiters[i].thread, NULL);
        KIT_ERR(PUBSUB_EAUTH, waiters[i].result);
        KIT_SAYS(waiters[i].error.text, "as scripted");
        assert_string_equal(waiters[i].error.adapter, "scripted");
    }
    KIT_ERR(PUBSUB_EAUTH, pubsub_subscription_wait(sub->handle, PUBSUB_FOREVER, NULL, &error));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void test_connect_first_failure_closes_even_if_retryable(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_connects(f->broker, PUBSUB_ECONNECT, 0);
    KIT_ERR(PUBSUB_ECONNECT, pubsub_client_ready(peer->client, PUBSUB_FOREVER, &error));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CONNECT), 1);
}

static void test_connect_works_after_a_failure(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    for (int round = 0; round < 3; round++) {
        scripted_connects(f->broker, PUBSUB_EAUTH, 0);
        KIT_OK(pubsub_client_connect(peer->client, &error), &error);
        AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_CLOSED);
        KIT_ERR(PUBSUB_ESTATE, pubsub_client_ready(peer->client, PUBSUB_FOREVER, &error));
    }
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    KIT_OK(pubsub_client_ready(peer->client, PUBSUB_FOREVER, &error), &error);
    fixture_publish(peer, "m", 3);
    kit_flush(peer);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 3);
}

/* A failure that will not go away ends everything and tells everybody. */
static void test_connect_non_retryable_failure_closes(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    const kit_report *got = NULL;
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 2);
    AWAIT(f, scripted_in_flight(f->broker) == 2);
    scripted_always_fails(f->broker, PUBSUB_EDENIED);
    scripted_drop(f->broker, 0, 1, PUBSUB_ELOST);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_CLOSED);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    got = kit_list_at(&peer->reports, 0);
    assert_int_equal(got->report.outcome, PUBSUB_UNKNOWN);
    got = kit_list_at(&peer->reports, 1);
    assert_int_equal(got->report.outcome, PUBSUB_NOT_SENT);
    KIT_ERR(PUBSUB_EDENIED, pubsub_subscription_wait(sub->handle, 0, NULL, &error));
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_ready(peer->client, 0, &error));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_publish_text(peer->client, "a", "x", &error));
}

static void test_connect_without_reconnect_a_loss_closes(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, "reconnect=no");
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_CLOSED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CONNECT), 1);
}

/* ---- URL and options ----------------------------------------------------------------------- */

static void test_connect_parts_of_the_url_are_options(void **state)
{
    static const struct {
        const char *authority;
        const char *options;
        const char *clash; /* NULL = none */
    } rows[] = {{"", "host=h port=1 user=u password=p tls=yes", NULL},
                {"u:p@h:1", "", NULL},
                {"u:p@h:1", "host=h port=1 user=u password=p", NULL},
                {"h:1", "user=u password=p", NULL},
                {"h", "port=1", NULL},
                {"h:1", "host=other", "host"},
                {"h:1", "port=2", "port"},
                {"u@h", "user=other", "user"},
                {"u:p@h", "password=secret", "password"},
                {"h:1", "scripted.colour=red", NULL}};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char url[128];
        pubsub_error error = PUBSUB_ERROR_INIT;
        kit_peer *peer = NULL;
        pubsub_err result = PUBSUB_OK;
        (void)snprintf(url, sizeof(url),
                       rows[i].authority[0] != '\0' ? "scripted://%s/%s" : "scripted:%s%s",
                       rows[i].authority, scripted_name(f->broker));
        result = kit_peer_try(&f->net, url, rows[i].options, &peer, &error);
        if (rows[i].clash == NULL) {
            KIT_OK(result, &error);
            continue;
        }
        KIT_ERR(PUBSUB_EOPTION, result);
        KIT_SAYS(error.text, rows[i].clash);
        assert_null(strstr(error.text, "secret"));
    }
}

static void test_connect_own_options_are_checked(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *options = kit_options(NULL);
    char url[64];
    kit_peer *peer = NULL;
    pubsub_err result = pubsub_options_set(options, "scripted.color", "red", &error);
    pubsub_options_free(options);
    KIT_ERR(PUBSUB_EOPTION, result);
    KIT_SAYS(error.text, "scripted.colour");
    (void)snprintf(url, sizeof(url), "%s?colour=red", scripted_url(f->broker));
    KIT_OK(kit_peer_try(&f->net, url, "mqtt.will_topic=x", &peer, &error), &error);
    (void)snprintf(url, sizeof(url), "%s?color=red", scripted_url(f->broker));
    KIT_ERR(PUBSUB_EOPTION, kit_peer_try(&f->net, url, NULL, &peer, &error));
    KIT_SAYS(error.text, "colour");
    (void)snprintf(url, sizeof(url), "%s?colour=red", scripted_url(f->broker));
    KIT_ERR(PUBSUB_EOPTION, kit_peer_try(&f->net, url, "scripted.colour=blue", &peer, &error));
    KIT_SAYS(error.text, "colour");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_connect_while_connecting_says_so),
        FIXTURE_TEST(test_connect_while_reconnecting_says_so),
        FIXTURE_TEST(test_connect_while_closing_says_so),
        FIXTURE_TEST(test_connect_timeout_says_its_number),
        FIXTURE_TEST(test_connect_ready_keeps_its_own_time),
        FIXTURE_TEST(test_connect_every_waiter_gets_the_error),
        FIXTURE_TEST(test_connect_first_failure_closes_even_if_retryable),
        FIXTURE_TEST(test_connect_works_after_a_failure),
        FIXTURE_TEST(test_connect_non_retryable_failure_closes),
        FIXTURE_TEST(test_connect_without_reconnect_a_loss_closes),
        FIXTURE_TEST(test_connect_parts_of_the_url_are_options),
        FIXTURE_TEST(test_connect_own_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
