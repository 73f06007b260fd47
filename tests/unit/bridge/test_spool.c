/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "engine/spool.h"
#include "support/cmocka.h"
#include "support/collect.h"
#include "support/wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static scripted_bus bus;

static bool all_published(scripted_bridge *b)
{
    return scripted_view(b).published >= scripted.last;
}

static void test_spool_is_used_where_it_is_needed(void **state)
{
    (void)state;
    pubsub_connector hurries = scripted_settles;
    hurries.flags |= PUBSUB_CONNECTOR_HURRIES;
    bridge_source source = {.connector = &scripted_replays, .spool = -1};
    assert_false(bridge_spool_needed(&source));
    source.spool = 1;
    assert_true(bridge_spool_needed(&source));
    source.connector = &scripted_plain;
    source.spool = -1;
    assert_true(bridge_spool_needed(&source));
    source.spool = 0;
    assert_false(bridge_spool_needed(&source));
    source.connector = &scripted_settles;
    source.spool = -1;
    assert_false(bridge_spool_needed(&source));
    source.connector = &hurries;
    assert_true(bridge_spool_needed(&source));
    char *path = bridge_spool_path("/s", "../a b");
    assert_string_equal(path, "/s/spool/%2e.%2fa%20b");
    pubsub__free(path);
}

static void test_spool_passes_events_on_unchanged(void **state)
{
    (void)state;
    scripted_bridge b;
    scripted_bridge_init(&b, &scripted_plain);
    scripted.last = 300;
    scripted.endless = true;
    scripted_run(&b);
    scripted_until(&b, all_published);
    scripted_until(&b, scripted_is_active);
    bridge_route_view view = scripted_view(&b);
    assert_int_equal(view.received, 300);
    assert_int_equal(view.published, 300);
    assert_int_equal(view.spooled, 0);
    assert_true(view.lag_s >= 0);
    assert_int_equal(b.events, 300);
    assert_string_equal(b.last_state, "accounts: active");
    scripted_stop(&b);
    assert_true(b.clean);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 300);
    for (size_t i = 0; i < bus.count; i++) {
        const pubsub_message *m = bus.messages[i];
        assert_int_equal(scripted_number(m), i + 1);
        assert_true(kit_is(pubsub_message_topic(m), "t/accounts"));
        assert_true(kit_is(pubsub_message_header_find(m, "pubsub-event"), "create"));
        assert_int_equal(pubsub_message_header_count(m), 2);
        assert_int_equal(pubsub_message_key(m).len, 2);
    }
    assert_true(kit_is(pubsub_message_payload(bus.messages[6]),
                       "{\"model\":\"accounts\",\"message\":{\"n\":7,\"pad\":\"\"}}"));
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool all_settled(scripted_bridge *b)
{
    (void)b;
    return scripted.settled_ok >= scripted.last;
}

/* A bridge with a spool whose broker is away; false where the library has no MQTT. */
static bool begin_away(scripted_bridge *b)
{
    static char away[] = "mqtt://127.0.0.1:1?reconnect_min=10ms&reconnect_max=20ms";
    pubsub_caps caps = {.size = sizeof caps};
    if (pubsub_caps_offline(away, NULL, &caps, NULL) != PUBSUB_OK) {
        return false;
    }
    scripted_bridge_init(b, &scripted_settles);
    b->source.spool = 1;
    b->broker.url = away;
    b->config.drain = 20;
    return true;
}

/* The bridge starts again with a broker, and a source that has nothing more to tell: until so many are out. */
static void come_back(scripted_bridge *b, uint64_t kept)
{
    scripted_stop(b);
    scripted_reset();
    scripted.endless = true;
    b->broker.url = b->url;
    b->config.drain = 5000;
    scripted_run(b);
    kit_deadline deadline = kit_in(6 * KIT_PATIENCE);
    while (scripted_view(b).published < kept) {
        assert_false(kit_over(deadline));
        (void)pubsub_host_run(b->host, 1);
    }
}

/* The broker is away: events are settled as soon as they are in the spool, and arrive after a restart
 * with a broker. */
static void test_spool_keeps_events_while_the_broker_is_away(void **state)
{
    (void)state;
    scripted_bridge b;
    if (!begin_away(&b)) {
        skip();
    }
    scripted.last = 400;
    scripted_run(&b);
    scripted_until(&b, all_settled);
    assert_int_equal(scripted.settled_bad, 0);
    assert_true(scripted_view(&b).spooled == 400);
    come_back(&b, 400);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 400);
    scripted_forget(&bus);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* A full spool makes the source wait; nothing is dropped, and it goes on when there is room. */
static void test_spool_full_makes_the_source_wait(void **state)
{
    (void)state;
    scripted_bridge b;
    if (!begin_away(&b)) {
        skip();
    }
    b.source.spool_size = 4 << 20;
    b.route[0].in_flight_bytes = 4u << 20;
    scripted.pad = 50000;
    scripted.last = 300; /* 15 MB */
    scripted_run(&b);
    uint64_t before = 1;
    while (before != scripted.settled_ok || before == 0) {
        before = scripted.settled_ok;
        scripted_for(&b, 300);
    }
    assert_true(scripted.settled_ok < 100);
    assert_int_equal(scripted.settled_bad, 0);
    uint64_t kept = scripted.settled_ok;
    come_back(&b, kept);
    /* What was not settled when the bridge stopped may or may not be in it. */
    assert_int_equal(scripted_view(&b).rejected, 0);
    scripted.pad = 50000;
    scripted.last = 300;
    scripted_go_on();
    scripted_until(&b, all_settled);
    scripted_stop(&b);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void on_over(void *ctx)
{
    bool *over = ctx;
    *over = true;
}

/* A source that has an end ends the route, once all of it is out of the spool. */
static void test_spool_is_over_when_it_is_empty(void **state)
{
    (void)state;
    scripted_bridge b;
    bool over = false;
    scripted_bridge_init(&b, &scripted_plain);
    scripted.last = 300;
    scripted_run(&b);
    bridge_engine_on_over(b.engine, on_over, &over);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!over && !kit_over(deadline)) {
        (void)pubsub_host_run(b.host, 1);
    }
    assert_true(over);
    assert_true(bridge_engine_is_over(b.engine));
    assert_int_equal(scripted_view(&b).published, 300);
    scripted_stop(&b);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void on_applied(void *ctx)
{
    bool *applied = ctx;
    *applied = true;
}

/* Another `state` is for the next start: a running bridge has the lock of the one it was started with. */
static void test_spool_stays_in_its_state_directory(void **state)
{
    (void)state;
    static char topic[] = "u/{model}";
    scripted_bridge b;
    char other[KIT_PATH_MAX + 16];
    char *path = NULL;
    bool applied = false;
    scripted_bridge_init(&b, &scripted_plain);
    scripted.endless = true;
    scripted_run(&b);
    scripted_until(&b, scripted_is_active);
    bridge_config next = b.config;
    bridge_route changed = b.route[0];
    (void)snprintf(other, sizeof other, "%s/other", b.dir);
    changed.topic = topic;
    next.state = other;
    next.routes = &changed;
    bridge_engine_apply(b.engine, &next, on_applied, &applied);
    while (!applied) {
        (void)pubsub_host_run(b.host, 1);
    }
    scripted_until(&b, scripted_is_active);
    path = bridge_spool_path(b.state, "r1");
    assert_int_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(other, F_OK), 0);
    pubsub__free(path);
    scripted_stop(&b);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool_is_used_where_it_is_needed),
        cmocka_unit_test(test_spool_passes_events_on_unchanged),
        cmocka_unit_test(test_spool_keeps_events_while_the_broker_is_away),
        cmocka_unit_test(test_spool_full_makes_the_source_wait),
        cmocka_unit_test(test_spool_is_over_when_it_is_empty),
        cmocka_unit_test(test_spool_stays_in_its_state_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
