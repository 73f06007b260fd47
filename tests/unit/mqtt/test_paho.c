/* SPDX-License-Identifier: MIT */
/* The engine over paho.mqtt.c against a real broker: what it does when all is well. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPS (&pubsub__mqtt_paho)

static void test_paho_connects(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    rig_connect(r);
    assert_int_equal(r->connack.version, MQTT_V5);
    assert_false(r->connack.session_present);
    assert_int_equal(r->connack.receive_maximum, 20);
    assert_int_equal(r->connack.maximum_qos, 2);
    assert_true(r->connack.retain_available);
    assert_true(r->connack.ids_available);
    assert_int_equal(r->connack.keep_alive_s, 60);
    rig_disconnect(r, false);
    assert_int_equal(r->lost, 0);
    assert_int_equal(r->failed, 0);
    rig_connect(r); /* the same engine again */
    rig_free(r);    /* while connected */
}

static void test_paho_publishes_each_qos(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    rig_connect(r);
    rig_subscribe(r, "paho/qos/#", 2);
    for (uint8_t version = 0; version < 2; version++) {
        for (uint8_t qos = 0; qos <= 2; qos++) {
            unsigned messages = r->messages;
            size_t published = r->published;
            r->keep = 1;
            assert_true(rig_publish(r, "paho/qos/topic", "hello", qos));
            rig_until_published(r, published + 1);
            rig_until(r, &r->messages, messages + 1);
            assert_int_equal(r->how[r->next_token], MQTT_PUBLISHED);
            assert_true(rig_is(r->last->topic, "paho/qos/topic"));
            assert_true(rig_is(r->last->payload, "hello"));
            assert_int_equal(r->last->qos, qos);
            assert_false(r->last->retain);
            assert_int_equal(r->last->expiry_s, MQTT_EXPIRY_NONE);
            assert_true(r->last->arrived_ns > 0);
            rig_drop(r);
        }
        if (version == 0) { /* and once more with 3.1.1 on the same engine */
            rig_disconnect(r, true);
            r->target.version = MQTT_V311;
            rig_connect(r);
            assert_int_equal(r->connack.version, MQTT_V311);
            assert_false(r->connack.ids_available);
            rig_subscribe(r, "paho/qos/#", 2);
        }
    }
    rig_free(r);
}

static void test_paho_carries_all_properties(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    mqtt_user_property user[40];
    char names[40][16], values[40][16];
    mqtt_filter filter = {.filter = "paho/properties", .qos = 1};
    mqtt_message message = {.topic = pubsub_bytes_of("paho/properties"),
                            .payload = {"a\0b", 3},
                            .content_type = pubsub_bytes_of("text/plain"),
                            .response_topic = pubsub_bytes_of("paho/answers"),
                            .correlation = {"\0\xFF", 2},
                            .user = user,
                            .user_count = 40,
                            .expiry_s = 100,
                            .qos = 1};
    pubsub_error err = PUBSUB_ERROR_INIT;

    for (uint32_t i = 0; i < 40; i++) {
        snprintf(names[i], sizeof(names[i]), "name-%u", i);
        snprintf(values[i], sizeof(values[i]), "%.*s", i == 0 ? 0 : 9, "value-000");
        user[i] = (mqtt_user_property){pubsub_bytes_of(names[i]), pubsub_bytes_of(values[i])};
    }
    r->keep = 1;
    rig_connect(r);
    assert_int_equal(OPS->subscribe(r->engine, &filter, 1, 300000, r, &err), PUBSUB_OK);
    rig_until(r, &r->subscribed, 1);
    r->next_token = 1;
    assert_true(OPS->publish(r->engine, &message, (void *)(uintptr_t)1));
    rig_until(r, &r->messages, 1);
    const mqtt_message *got = r->last;
    assert_int_equal(got->payload.len, 3);
    assert_memory_equal(got->payload.data, "a\0b", 3);
    assert_true(rig_is(got->content_type, "text/plain"));
    assert_true(rig_is(got->response_topic, "paho/answers"));
    assert_int_equal(got->correlation.len, 2);
    assert_memory_equal(got->correlation.data, "\0\xFF", 2);
    assert_in_range(got->expiry_s, 95, 100);
    assert_int_equal(got->id_count, 1);
    assert_int_equal(got->ids[0], 300000);
    assert_true(got->packet_id > 0);
    assert_int_equal(got->user_count, 40);
    for (uint32_t i = 0; i < 40; i++) {
        assert_true(rig_is(got->user[i].name, names[i]));
        assert_true(rig_is(got->user[i].value, values[i]));
    }
    /* Messages outlive their engine. */
    OPS->free(r->engine, false);
    r->engine = NULL;
    assert_true(rig_is(got->content_type, "text/plain"));
    rig_free(r);
}

static void test_paho_tells_subscribe_results(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    mqtt_filter filters[MQTT_FILTERS_MAX];
    char names[MQTT_FILTERS_MAX][24];
    const char *gone[2] = {"paho/many/0", "paho/many/1"};
    pubsub_error err = PUBSUB_ERROR_INIT;

    rig_connect(r);
    for (size_t i = 0; i < MQTT_FILTERS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "paho/many/%zu", i);
        filters[i] = (mqtt_filter){.filter = names[i], .qos = (uint8_t)(i % 3)};
    }
    assert_int_equal(OPS->subscribe(r->engine, filters, MQTT_FILTERS_MAX, 0, r, &err), PUBSUB_OK);
    rig_until(r, &r->subscribed, 1);
    assert_true(r->answered);
    assert_int_equal(r->reason_count, MQTT_FILTERS_MAX);
    for (size_t i = 0; i < MQTT_FILTERS_MAX; i++) {
        assert_int_equal(r->reasons[i], i % 3);
    }
    assert_int_equal(OPS->unsubscribe(r->engine, gone, 2, r, &err), PUBSUB_OK);
    rig_until(r, &r->unsubscribed, 1);
    assert_true(r->answered);
    rig_publish_all(r, "paho/many/0", "", 1, 1);
    rig_publish_all(r, "paho/many/5", "", 1, 1);
    rig_until(r, &r->messages, 1);
    rig_until_published(r, 2);
    assert_int_equal(r->messages, 1);
    rig_free(r);
}

static void test_paho_bounds_what_is_in_flight(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    size_t sent = 0;

    rig_connect(r);
    while (rig_publish(r, "paho/window", "x", 1)) {
        sent++;
    }
    assert_int_equal(sent, 19); /* one less than the server takes */
    rig_until_published(r, 19);
    rig_publish_all(r, "paho/window", "x", 2, 500);
    rig_until_published(r, 519);
    for (size_t i = 1; i <= r->next_token; i++) {
        assert_int_equal(r->answers[i], 1);
        assert_int_equal(r->how[i], MQTT_PUBLISHED);
    }
    rig_free(r);
}

static void test_paho_leaves_sigpipe_alone(void **state)
{
    (void)state;
    struct sigaction now;
    rig *r = rig_new(rig_stock_port());

    rig_connect(r);
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    rig_free(r);
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void test_paho_ends_inside_an_event(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());

    rig_connect(r);
    rig_subscribe(r, "paho/end", 1);
    rig_publish_all(r, "paho/end", "x", 1, 10);
    r->free_when_closed = true;
    rig_disconnect(r, false);
    assert_null(r->engine);
    rig_free(r);
}

/* A child has the library's memory but not its threads, and its locks in whatever state. */
static void test_paho_is_left_alone_by_a_child(void **state)
{
    (void)state;
    rig *r = rig_new(rig_stock_port());
    rig *other = rig_new(rig_stock_port());
    int status = 0;

    r->keep = 1;
    rig_connect(r);
    rig_subscribe(r, "paho/fork", 1);
    rig_publish_all(r, "paho/fork", "x", 1, 1);
    rig_until(r, &r->messages, 1);
    rig_until_published(r, 1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        OPS->nudge(r->engine);
        OPS->message_free(r->last);
        OPS->free(r->engine, true);
        _exit(OPS->connect(other->engine, &other->target, &err) == PUBSUB_ESTATE ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rig_publish_all(r, "paho/fork", "x", 1, 1); /* the parent's is not disturbed */
    rig_until(r, &r->messages, 2);
    rig_free(r);
    rig_free(other);
}

static void test_paho_names_reasons(void **state)
{
    (void)state;
    assert_string_equal(pubsub__mqtt_reason(0x87), "not authorized");
    assert_string_equal(pubsub__mqtt_reason(0xA2), "wildcard subscriptions not supported");
    assert_null(pubsub__mqtt_reason(0xFF));
    assert_null(pubsub__mqtt_reason(3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paho_connects),
        cmocka_unit_test(test_paho_publishes_each_qos),
        cmocka_unit_test(test_paho_carries_all_properties),
        cmocka_unit_test(test_paho_tells_subscribe_results),
        cmocka_unit_test(test_paho_bounds_what_is_in_flight),
        cmocka_unit_test(test_paho_leaves_sigpipe_alone),
        cmocka_unit_test(test_paho_ends_inside_an_event),
        cmocka_unit_test(test_paho_is_left_alone_by_a_child),
        cmocka_unit_test(test_paho_names_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, rig_stop_stock);
}
