/* SPDX-License-Identifier: MIT */
/* What is asked for against what the adapter and this server can do. */
#include "unit/client/fixture.h"

#include <stdio.h>

/* The server can do less than the adapter said: without these features. */
static void lower(fixture *f, const pubsub_feature *features, size_t count)
{
    pubsub_caps caps = *scripted_caps(f->broker);
    for (size_t i = 0; i < count; i++) {
        caps.features[features[i]] = (pubsub_cap){PUBSUB_REFUSED, "not on this server"};
    }
    scripted_server_caps(f->broker, &caps);
}

static void lower_one(fixture *f, pubsub_feature feature)
{
    lower(f, &feature, 1);
}

static pubsub_publication with_key(const char *payload)
{
    pubsub_publication pub = kit_publication("t", payload);
    pub.key = pubsub_bytes_of("k");
    return pub;
}

static void test_negotiate_refuses_at_the_call(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = NULL;
    pubsub_publication pub = with_key("x");
    scripted_caps(f->broker)->features[PUBSUB_FEATURE_KEY] =
        (pubsub_cap){PUBSUB_REFUSED, "no keys"};
    scripted_caps(f->broker)->features[PUBSUB_FEATURE_GROUP] =
        (pubsub_cap){PUBSUB_REFUSED, "no groups"};
    peer = fixture_peer(f, NULL);
    KIT_ERR(PUBSUB_ENOTSUP, pubsub_client_publish(peer->client, &pub, 0, &error));
    KIT_SAYS(error.text, "key");
    KIT_SAYS(error.text, "no keys");
    KIT_SAYS(error.text, "scripted");
    KIT_ERR(PUBSUB_ENOTSUP, kit_try_subscribe(peer, "a", "group=g", NULL, &error));
    KIT_SAYS(error.text, "group");
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
    pub.flags = PUBSUB_PUBLISH_DEGRADE;
    KIT_OK(pubsub_client_publish(peer->client, &pub, 0, &error), &error);
    kit_flush(peer);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 1);
}

/* Queued while connecting, impossible on this server: rejected before anything of it is sent. */
static void test_negotiate_rejects_queued_publishes_the_server_cannot_take(void **state)
{
    fixture *f = *state;
    pubsub_publication pub = with_key("keyed");
    const kit_report *got = NULL;
    kit_peer *peer = fixture_peer(f, NULL);
    lower_one(f, PUBSUB_FEATURE_KEY);
    scripted_connects(f->broker, PUBSUB_OK, 30);
    kit_publish(peer, "t", "plain");
    kit_send(peer, &pub);
    kit_publish(peer, "t", "plain");
    AWAIT(f, kit_list_count(&peer->reports) == 3);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBMIT, "plain"), 2);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBMIT, "keyed"), 0);
    for (size_t i = 0; i < 3; i++) {
        got = kit_list_at(&peer->reports, i);
        if (got->report.outcome == PUBSUB_REJECTED) {
            KIT_ERR(PUBSUB_ENOTSUP, got->report.error->code);
            KIT_SAYS(got->report.error->text, "key");
            KIT_SAYS(got->report.error->text, "not on this server");
        }
    }
    assert_int_equal(kit_stats(peer).rejected, 1);
    assert_int_equal(kit_stats(peer).accepted, 2);
}

static void test_negotiate_refuses_at_the_call_once_the_server_is_known(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = with_key("keyed");
    pubsub_caps caps;
    kit_peer *peer = NULL;
    lower_one(f, PUBSUB_FEATURE_KEY);
    peer = fixture_peer(f, NULL);
    KIT_OK(pubsub_client_caps(peer->client, &caps), NULL);
    assert_int_equal(caps.features[PUBSUB_FEATURE_KEY].support, PUBSUB_NATIVE);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_caps(peer->client, &caps), NULL);
    assert_int_equal(caps.features[PUBSUB_FEATURE_KEY].support, PUBSUB_REFUSED);
    KIT_ERR(PUBSUB_ENOTSUP, pubsub_client_publish(peer->client, &pub, 0, &error));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
}

static void test_negotiate_refuses_subscriptions_the_server_cannot_serve(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    kit_sub *plain = NULL;
    kit_sub *grouped = NULL;
    lower_one(f, PUBSUB_FEATURE_GROUP);
    scripted_connects(f->broker, PUBSUB_OK, 30);
    plain = kit_subscribe_later(peer, "a", NULL, NULL, NULL);
    grouped = kit_subscribe_later(peer, "b", "group=g", NULL, NULL);
    KIT_OK(pubsub_subscription_wait(plain->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    KIT_ERR(PUBSUB_ENOTSUP,
            pubsub_subscription_wait(grouped->handle, kit_ms(KIT_PATIENCE), NULL, &error));
    KIT_SAYS(error.text, "group");
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_REFUSED) == 1);
    assert_ptr_equal(kit_event_find(peer, PUBSUB_EVENT_REFUSED, 0)->subscription, grouped->handle);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "b"), 0);
}

static void test_negotiate_degrade_takes_less_from_the_server_and_tells(void **state)
{
    static const pubsub_feature gone[] = {PUBSUB_FEATURE_GROUP, PUBSUB_FEATURE_QOS1,
                                          PUBSUB_FEATURE_KEY};
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_grant grant;
    pubsub_publication pub = with_key("keyed");
    const kit_report *got = NULL;
    kit_peer *peer = fixture_peer(f, NULL);
    kit_sub *sub = NULL;
    lower(f, gone, 3);
    scripted_connects(f->broker, PUBSUB_OK, 30);
    sub = kit_subscribe_later(peer, "a", "group=g qos=1 degrade=allow", NULL, NULL);
    pub.qos = PUBSUB_AT_LEAST_ONCE;
    pub.flags = PUBSUB_PUBLISH_DEGRADE;
    kit_send(peer, &pub);
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), &grant, &error), &error);
    assert_true((grant.refused & PUBSUB_BIT(PUBSUB_FEATURE_GROUP)) != 0);
    assert_true((grant.refused & PUBSUB_BIT(PUBSUB_FEATURE_QOS1)) != 0);
    assert_int_equal(grant.qos, PUBSUB_AT_MOST_ONCE);
    AWAIT(f, kit_list_count(&peer->reports) == 1);
    got = kit_list_at(&peer->reports, 0);
    assert_int_equal(got->report.outcome, PUBSUB_ACCEPTED);
    assert_int_equal(got->report.qos, PUBSUB_AT_MOST_ONCE);
}

static void test_negotiate_grants_say_native_and_emulated(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_grant grant;
    kit_peer *peer = fixture_connected(f, NULL);
    KIT_OK(kit_try_subscribe(peer, "a/#", "group=g max_attempts=3 from=earliest", &grant, &error),
           &error);
    assert_int_equal(grant.native, PUBSUB_BIT(PUBSUB_FEATURE_GROUP) |
                                       PUBSUB_BIT(PUBSUB_FEATURE_PATTERNS) |
                                       PUBSUB_BIT(PUBSUB_FEATURE_FROM_EARLIEST));
    assert_int_equal(grant.emulated, PUBSUB_BIT(PUBSUB_FEATURE_ATTEMPTS));
    assert_int_equal(grant.refused, 0);
    assert_int_equal(grant.qos, PUBSUB_AT_LEAST_ONCE);
}

static void test_negotiate_unset_qos_takes_what_there_is(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_grant grant;
    kit_peer *peer = NULL;
    pubsub_publication pub = kit_publication("t", "x");
    scripted_caps(f->broker)->features[PUBSUB_FEATURE_QOS1].support = PUBSUB_REFUSED;
    peer = fixture_connected(f, NULL);
    KIT_OK(kit_try_subscribe(peer, "a", NULL, &grant, &error), &error);
    assert_int_equal(grant.qos, PUBSUB_AT_MOST_ONCE);
    assert_int_equal(grant.refused, 0);
    assert_int_equal(kit_store(peer, &pub).qos, PUBSUB_AT_MOST_ONCE);
}

static void test_negotiate_limits_of_the_adapter(void **state)
{
    fixture *f = *state;
    static char payload[101];
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("t", "");
    kit_peer *peer = NULL;
    scripted_caps(f->broker)->max_payload = 100;
    scripted_caps(f->broker)->max_topic = 10;
    peer = fixture_connected(f, NULL);
    pub.payload = (pubsub_bytes){payload, 100};
    KIT_OK(pubsub_client_publish(peer->client, &pub, 0, &error), &error);
    pub.payload.len = 101;
    KIT_ERR(PUBSUB_ETOOBIG, pubsub_client_publish(peer->client, &pub, 0, &error));
    KIT_SAYS(error.text, "100");
    pub = kit_publication("0123456789x", "x");
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish(peer->client, &pub, 0, &error));
    KIT_SAYS(error.text, "10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_negotiate_refuses_at_the_call),
        FIXTURE_TEST(test_negotiate_rejects_queued_publishes_the_server_cannot_take),
        FIXTURE_TEST(test_negotiate_refuses_at_the_call_once_the_server_is_known),
        FIXTURE_TEST(test_negotiate_refuses_subscriptions_the_server_cannot_serve),
        FIXTURE_TEST(test_negotiate_degrade_takes_less_from_the_server_and_tells),
        FIXTURE_TEST(test_negotiate_grants_say_native_and_emulated),
        FIXTURE_TEST(test_negotiate_unset_qos_takes_what_there_is),
        FIXTURE_TEST(test_negotiate_limits_of_the_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
