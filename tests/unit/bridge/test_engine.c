/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "engine/checkpoint.h"
#include "support/cmocka.h"
#include "support/collect.h"
#include "support/wait.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static scripted_bus bus;

static void assert_position(scripted_bridge *b, const char *expected)
{
    char dir[KIT_PATH_MAX + 32];
    char *text = NULL;
    size_t len = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)snprintf(dir, sizeof dir, "%s/positions", b->state);
    assert_int_equal(
        bridge_checkpoint_read(dir, "r1", pubsub_bytes_of("accounts"), &text, &len, &err),
        PUBSUB_OK);
    assert_int_equal(len, strlen(expected));
    if (len > 0) {
        assert_memory_equal(text, expected, len);
    }
    pubsub__free(text);
}

static void test_engine_passes_events_on(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    scripted.last = 500;
    scripted_run(&b);
    assert_int_equal(bridge_engine_route_count(b.engine), 1);
    scripted_until(&b, scripted_is_ended);
    bridge_route_view view = scripted_view(&b);
    assert_int_equal(view.received, 500);
    assert_int_equal(view.published, 500);
    assert_int_equal(view.in_flight, 0);
    assert_int_equal(view.errors, 0);
    assert_string_equal(view.error, "");
    assert_true(view.lag_s >= 0);
    assert_true(bridge_engine_ready(b.engine));
    assert_int_equal(b.events, 500);
    assert_string_equal(b.last_state, "accounts: ended");
    scripted_stop(&b);
    assert_true(b.clean);
    assert_position(&b, "500");
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 500);
    for (size_t i = 0; i < bus.count; i++) {
        assert_int_equal(scripted_number(bus.messages[i]), i + 1);
        assert_true(kit_is(pubsub_message_topic(bus.messages[i]), "t/accounts"));
        assert_int_equal(pubsub_message_header_find(bus.messages[i], "pubsub-id").len, 32);
        assert_true(kit_is(pubsub_message_header_find(bus.messages[i], "pubsub-event"), "create"));
        assert_true(kit_is(pubsub_message_content_type(bus.messages[i]), "application/json"));
        assert_int_equal(pubsub_message_key(bus.messages[i]).len, 2);
    }
    assert_true(kit_is(pubsub_message_payload(bus.messages[6]),
                       "{\"model\":\"accounts\",\"message\":{\"n\":7,\"pad\":\"\"}}"));
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_engine_goes_on_where_it_stopped(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    for (unsigned round = 1; round <= 3; round++) {
        scripted.last = 40 * round;
        scripted_run(&b);
        scripted_until(&b, scripted_is_ended);
        assert_int_equal(scripted.begun_at, 40 * (round - 1) + 1);
        scripted_stop(&b);
    }
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 120);
    /* The same event has the same id whenever it comes. */
    assert_false(kit_same(pubsub_message_header_find(bus.messages[0], "pubsub-id"),
                          pubsub_message_header_find(bus.messages[1], "pubsub-id")));
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

static bool all_told(scripted_bridge *b)
{
    (void)b;
    return scripted.told >= scripted.last * 2;
}

static void test_engine_keeps_a_position_for_each_model(void **state)
{
    (void)state;
    static char other[] = "orders";
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    b.models[1] = other;
    b.route[0].model_count = 2;
    scripted.last = 300;
    scripted.endless = true;
    scripted_run(&b);
    scripted_until(&b, all_told);
    scripted_until(&b, scripted_is_active);
    scripted_stop(&b);
    assert_position(&b, "300");
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 600);
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

/* ---- what is refused ---- */

static void refuse_by_topic(scripted_bridge *b, bridge_on_reject on_reject)
{
    static char topic[] = "t/{/absent}";
    scripted_bridge_init(b, &scripted_replays);
    b->route[0].topic = topic;
    b->route[0].on_reject = on_reject;
    scripted.last = 20;
}

static void test_engine_dead_letters(void **state)
{
    (void)state;
    scripted_bridge b;
    refuse_by_topic(&b, BRIDGE_REJECT_DEAD_LETTER);
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    bridge_route_view view = scripted_view(&b);
    assert_int_equal(view.rejected, 20);
    assert_int_equal(view.dead_lettered, 20);
    assert_int_equal(view.published, 0);
    scripted_stop(&b);
    assert_position(&b, "20");
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 20);
    for (size_t i = 0; i < bus.count; i++) {
        const pubsub_message *m = bus.messages[i];
        assert_int_equal(scripted_number(m), i + 1);
        assert_true(kit_is(pubsub_message_topic(m), "dead/accounts"));
        assert_true(kit_is(pubsub_message_header_find(m, "pubsub-dead-route"), "r1"));
        assert_non_null(pubsub_message_header_find(m, "pubsub-dead-reason").data);
        assert_int_equal(pubsub_message_header_find(m, "pubsub-id").len, 32);
    }
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_engine_skips(void **state)
{
    (void)state;
    scripted_bridge b;
    refuse_by_topic(&b, BRIDGE_REJECT_SKIP);
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    assert_int_equal(scripted_view(&b).skipped, 20);
    scripted_stop(&b);
    assert_position(&b, "20");
    scripted_bridge_fini(&b);
}

/* Refused by the broker's client, not by us. */
static void test_engine_skips_what_is_too_big(void **state)
{
    (void)state;
    static char url[KIT_PATH_MAX + 128];
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    (void)snprintf(url, sizeof url, "%s?local.segment_bytes=64k", b.url);
    b.broker.url = url;
    b.route[0].on_reject = BRIDGE_REJECT_SKIP;
    scripted.pad = 200000;
    scripted.last = 12;
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    assert_int_equal(scripted_view(&b).skipped, 12);
    assert_int_equal(scripted_view(&b).rejected, 12);
    assert_true(b.errors >= 1 && b.errors < 12); /* told once a second */
    scripted_stop(&b);
    assert_position(&b, "12");
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_engine_writes_cloudevents_into_headers(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    b.route[0].format = BRIDGE_FORMAT_CLOUDEVENTS_BINARY;
    scripted.last = 1;
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1);
    const pubsub_message *m = bus.messages[0];
    assert_true(kit_is(pubsub_message_payload(m), "{\"n\":1,\"pad\":\"\"}"));
    assert_true(kit_is(pubsub_message_header_find(m, "ce_specversion"), "1.0"));
    assert_true(kit_is(pubsub_message_header_find(m, "ce_source"), "/script/accounts"));
    assert_true(kit_is(pubsub_message_header_find(m, "ce_type"), "pubsub.create"));
    assert_true(kit_same(pubsub_message_header_find(m, "ce_id"),
                         pubsub_message_header_find(m, "pubsub-id")));
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

static void test_engine_stops_at_what_is_refused(void **state)
{
    (void)state;
    scripted_bridge b;
    refuse_by_topic(&b, BRIDGE_REJECT_STOP);
    scripted_run(&b);
    scripted_until(&b, scripted_is_stopped);
    scripted_for(&b, 150); /* longer than a position waits to be written */
    assert_int_equal(bridge_engine_stopped_count(b.engine), 1);
    assert_non_null(strstr(scripted_view(&b).error, "/absent"));
    assert_int_equal(scripted.stops, 1);
    scripted_stop(&b);
    assert_position(&b, "");
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_engine_stops_when_the_dead_letter_is_refused_too(void **state)
{
    (void)state;
    static char dead[] = "dead/#";
    scripted_bridge b;
    refuse_by_topic(&b, BRIDGE_REJECT_DEAD_LETTER);
    b.route[0].dead_letter = dead;
    scripted_run(&b);
    scripted_until(&b, scripted_is_stopped);
    scripted_stop(&b);
    assert_position(&b, "");
    scripted_bridge_fini(&b);
}

static void test_engine_passes_over_on_purpose(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    b.route[0].changes = 1u << PUBSUB_CHANGE_DELETE;
    scripted.last = 200;
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    assert_int_equal(scripted_view(&b).filtered, 200);
    scripted_stop(&b);
    assert_position(&b, "200");
    scripted_bridge_fini(&b);
}

/* ---- positions that cannot be had ---- */

static void position_file(scripted_bridge *b, char *path, size_t size)
{
    char dir[KIT_PATH_MAX + 32];
    (void)snprintf(dir, sizeof dir, "%s/positions", b->state);
    DIR *d = opendir(dir);
    assert_non_null(d);
    path[0] = '\0';
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".pos") != NULL) {
            (void)snprintf(path, size, "%s/%s", dir, e->d_name);
        }
    }
    (void)closedir(d);
    assert_true(path[0] != '\0');
}

static void test_engine_never_begins_anew_by_itself(void **state)
{
    (void)state;
    scripted_bridge b;
    char path[KIT_PATH_MAX + 300];
    scripted_bridge_init(&b, &scripted_replays);
    scripted.last = 30;
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    scripted_stop(&b);
    position_file(&b, path, sizeof path);
    assert_int_equal(truncate(path, 20), 0);
    scripted_run(&b);
    scripted_until(&b, scripted_is_stopped);
    assert_non_null(strstr(scripted_view(&b).error, path));
    scripted_for(&b, 50);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 30);
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

static bool is_blocked(scripted_bridge *b)
{
    bridge_route_view view = scripted_view(b);
    return view.state == BRIDGE_ROUTE_WAITING && view.in_flight == 0 && scripted.again > 0;
}

static void test_engine_waits_for_the_disk(void **state)
{
    (void)state;
    scripted_bridge b;
    char path[KIT_PATH_MAX + 300];
    scripted_bridge_init(&b, &scripted_replays);
    scripted.last = 10;
    scripted_run(&b);
    scripted_until(&b, scripted_is_ended);
    scripted_stop(&b);
    position_file(&b, path, sizeof path);
    (void)snprintf(path + strlen(path), 5, ".tmp");
    assert_int_equal(mkdir(path, 0700), 0);
    scripted_reset();
    scripted.last = 1000;
    scripted_run(&b);
    scripted_until(&b, is_blocked);
    scripted_for(&b, 50);
    assert_true(scripted_view(&b).received <= b.route[0].in_flight); /* so are the duplicates */
    assert_non_null(strstr(scripted_view(&b).error, "cannot be written"));
    assert_false(bridge_engine_ready(b.engine));
    assert_int_equal(rmdir(path), 0);
    scripted_until(&b, scripted_is_ended);
    scripted_stop(&b);
    assert_position(&b, "1000");
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1000);
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

/* ---- settling, bounds ---- */

static bool settled_all(scripted_bridge *b)
{
    (void)b;
    return scripted.settled_ok + scripted.settled_bad == scripted.last;
}

static void test_engine_settles(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_settles);
    b.source.spool = 0;
    scripted.last = 1000;
    scripted_run(&b);
    scripted_until(&b, settled_all);
    assert_int_equal(scripted.settled_ok, 1000);
    assert_true(scripted.again > 0); /* 50 at a time */
    assert_true(scripted.resumed > 0);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1000);
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
}

static void test_engine_bounds_bytes(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_settles);
    b.route[0].in_flight_bytes = 100000;
    scripted.pad = 60000; /* one is always taken, two are too much */
    scripted.last = 30;
    scripted_run(&b);
    while (!settled_all(&b)) {
        (void)pubsub_host_run(b.host, 0);
        assert_true(scripted_view(&b).in_flight <= 1);
    }
    scripted_stop(&b);
    scripted_bridge_fini(&b);
}

/* ---- life ---- */

static void test_engine_has_its_state_alone(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    scripted_run(&b);
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_null(bridge_engine_new(b.host, &b.config, NULL, NULL, &err));
    assert_int_equal(err.code, PUBSUB_EBUSY);
    assert_non_null(strstr(err.text, b.state));
    scripted_stop(&b);
    scripted_run(&b); /* it was given back */
    scripted_stop(&b);
    scripted_bridge_fini(&b);
}

static void test_engine_starts_again_after_a_failure(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    scripted.fail_starts = 1;
    scripted.last = 5;
    scripted_run(&b);
    assert_int_equal(scripted_view(&b).state, BRIDGE_ROUTE_WAITING);
    assert_string_equal(scripted_view(&b).error, "not yet");
    scripted_until(&b, scripted_is_ended);
    assert_int_equal(scripted.starts, 2);
    scripted_stop(&b);
    scripted_bridge_fini(&b);
}

static bool is_stalled(scripted_bridge *b)
{
    return scripted_view(b).state == BRIDGE_ROUTE_STALLED;
}

/* It tells something all the time, so that a slow machine cannot miss it. */
static bool is_heard_again(scripted_bridge *b)
{
    scripted.last++;
    scripted_go_on();
    return scripted_is_active(b);
}

static void test_engine_sees_that_a_source_is_silent(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    b.route[0].stall = 30;
    scripted.endless = true;
    scripted_run(&b);
    scripted_until(&b, is_stalled);
    assert_false(bridge_engine_ready(b.engine));
    scripted_until(&b, is_heard_again);
    scripted_stop(&b);
    scripted_bridge_fini(&b);
}

static void test_engine_refuses_a_broker_that_lacks_something(void **state)
{
    (void)state;
    scripted_bridge b;
    pubsub_caps caps = {.size = sizeof caps};
    static char url[] = "redis://127.0.0.1:1";
    if (pubsub_caps_offline(url, NULL, &caps, NULL) != PUBSUB_OK) {
        skip();
    }
    scripted_bridge_init(&b, &scripted_replays);
    b.broker.url = url;
    scripted_run(&b);
    scripted_until(&b, scripted_is_stopped);
    assert_non_null(strstr(scripted_view(&b).error, "qos 1"));
    assert_non_null(strstr(scripted_view(&b).error, "pubsub-id"));
    scripted_stop(&b);
    scripted_bridge_fini(&b);
}

static void test_engine_waits_for_a_broker_that_is_away(void **state)
{
    (void)state;
    scripted_bridge b;
    static char url[] = "mqtt://127.0.0.1:1?reconnect_min=10ms&reconnect_max=20ms";
    pubsub_caps caps = {.size = sizeof caps};
    if (pubsub_caps_offline(url, NULL, &caps, NULL) != PUBSUB_OK) {
        skip();
    }
    scripted_bridge_init(&b, &scripted_replays);
    b.broker.url = url;
    b.config.drain = 50;
    scripted.last = 1000;
    scripted_run(&b);
    scripted_until(&b, scripted_is_waiting);
    scripted_for(&b, 50);
    assert_int_equal(scripted_view(&b).in_flight, 50); /* no more than that */
    assert_int_equal(scripted_view(&b).received, 50);
    scripted_stop(&b);
    assert_false(b.clean);
    assert_position(&b, "");
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void on_applied(void *ctx)
{
    scripted_bridge *b = ctx;
    b->done = true;
}

static bool is_applied(scripted_bridge *b)
{
    return b->done;
}

static void test_engine_restarts_only_what_differs(void **state)
{
    (void)state;
    static char second[] = "r2", topic[] = "u/{model}";
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_replays);
    scripted.last = 10;
    scripted.endless = true;
    scripted_run(&b);
    scripted_until(&b, scripted_is_active);
    bridge_config next = b.config;
    bridge_route routes[2] = {b.route[0], b.route[0]};
    routes[0].name = second;
    next.routes = routes;
    next.route_count = 2;
    b.done = false;
    bridge_engine_apply(b.engine, &next, on_applied, &b);
    scripted_until(&b, is_applied);
    scripted_until(&b, scripted_is_active); /* the new one, which is the first now */
    assert_int_equal(scripted.starts, 2);
    assert_int_equal(scripted.stops, 0);
    assert_int_equal(bridge_engine_route_count(b.engine), 2);
    bridge_config last = b.config;
    bridge_route changed = b.route[0];
    changed.topic = topic;
    last.routes = &changed;
    b.done = false;
    bridge_engine_apply(b.engine, &last, on_applied, &b);
    scripted_until(&b, is_applied);
    scripted_until(&b, scripted_is_active);
    assert_int_equal(scripted.stops, 2);
    assert_int_equal(scripted.starts, 3);
    assert_int_equal(scripted.begun_at, 11); /* it has the position of the one before */
    scripted_stop(&b);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_passes_events_on),
        cmocka_unit_test(test_engine_goes_on_where_it_stopped),
        cmocka_unit_test(test_engine_keeps_a_position_for_each_model),
        cmocka_unit_test(test_engine_dead_letters),
        cmocka_unit_test(test_engine_skips),
        cmocka_unit_test(test_engine_skips_what_is_too_big),
        cmocka_unit_test(test_engine_writes_cloudevents_into_headers),
        cmocka_unit_test(test_engine_stops_at_what_is_refused),
        cmocka_unit_test(test_engine_stops_when_the_dead_letter_is_refused_too),
        cmocka_unit_test(test_engine_passes_over_on_purpose),
        cmocka_unit_test(test_engine_never_begins_anew_by_itself),
        cmocka_unit_test(test_engine_waits_for_the_disk),
        cmocka_unit_test(test_engine_settles),
        cmocka_unit_test(test_engine_bounds_bytes),
        cmocka_unit_test(test_engine_has_its_state_alone),
        cmocka_unit_test(test_engine_starts_again_after_a_failure),
        cmocka_unit_test(test_engine_sees_that_a_source_is_silent),
        cmocka_unit_test(test_engine_refuses_a_broker_that_lacks_something),
        cmocka_unit_test(test_engine_waits_for_a_broker_that_is_away),
        cmocka_unit_test(test_engine_restarts_only_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
