/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "connectors/table.h"
#include "engine/pipe.h"
#include "engine/spool.h"
#include "support/cmocka.h"
#include "support/collect.h"
#include "support/wait.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* The broker is away: events are settled as soon as they are in the spool, and arrive after a restart
 * with a broker. */
static void test_spool_keeps_events_while_the_broker_is_away(void **state)
{
    (void)state;
    static char away[] = "mqtt://127.0.0.1:1?reconnect_min=10ms&reconnect_max=20ms";
    pubsub_caps caps = {.size = sizeof caps};
    scripted_bridge b;
    if (pubsub_caps_offline(away, NULL, &caps, NULL) != PUBSUB_OK) {
        skip();
    }
    scripted_bridge_init(&b, &scripted_settles);
    b.source.spool = 1;
    b.broker.url = away;
    b.config.drain = 20;
    scripted.last = 400;
    scripted_run(&b);
    scripted_until(&b, all_settled);
    assert_int_equal(scripted.settled_bad, 0);
    assert_true(scripted_view(&b).spooled == 400);
    scripted_stop(&b);
    scripted_reset(); /* the source has nothing more to tell */
    scripted.endless = true;
    b.broker.url = b.url;
    b.config.drain = 5000;
    scripted.last = 0;
    scripted_run(&b);
    while (scripted_view(&b).published < 400) {
        (void)pubsub_host_run(b.host, 1);
    }
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
    static char away[] = "mqtt://127.0.0.1:1?reconnect_min=10ms&reconnect_max=20ms";
    pubsub_caps caps = {.size = sizeof caps};
    scripted_bridge b;
    if (pubsub_caps_offline(away, NULL, &caps, NULL) != PUBSUB_OK) {
        skip();
    }
    scripted_bridge_init(&b, &scripted_settles);
    b.source.spool = 1;
    b.source.spool_size = 4 << 20;
    b.broker.url = away;
    b.config.drain = 20;
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
    scripted_stop(&b);
    scripted_reset();
    scripted.endless = true;
    b.broker.url = b.url;
    b.config.drain = 5000;
    scripted_run(&b);
    while (scripted_view(&b).published < kept) {
        (void)pubsub_host_run(b.host, 1);
    }
    /* What was not settled when the bridge stopped may or may not be in it. */
    assert_int_equal(scripted_view(&b).rejected, 0);
    scripted.pad = 50000;
    scripted.last = 300;
    scripted_go_on();
    while (scripted.settled_ok < 300) {
        (void)pubsub_host_run(b.host, 1);
    }
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

/* ---- the broker connector ---- */

static void set_broker_source(scripted_bridge *b, const char *url)
{
    static char pattern[] = "in/#", topic[] = "out/{topic}";
    static const char *const names[] = {"url", "from"};
    const char *texts[] = {url, "earliest"};
    pubsub_error err = PUBSUB_ERROR_INIT;
    b->source.connector = &bridge_connector_broker;
    b->models[0] = pattern;
    b->route[0].topic = topic;
    b->route[0].format = BRIDGE_FORMAT_RAW;
    if (pubsub_settings_new(&bridge_connector_broker, names, texts, 2, &b->source.settings,
                            &b->source.setting_count, &err) != PUBSUB_OK) {
        fail_msg("%s", err.text);
    }
}

/* A message that claims what only the bridge says in its spool. */
static void publish_claims(const char *url)
{
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_header headers[] = {{pubsub_bytes_of(SPOOL_MODEL), pubsub_bytes_of("secret")},
                               {pubsub_bytes_of(SPOOL_TOPIC), pubsub_bytes_of("secret")},
                               {pubsub_bytes_of(SPOOL_TIME), pubsub_bytes_of("1")}};
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    assert_int_equal(pubsub_client_new(&client, url, NULL, &err), PUBSUB_OK);
    pub.topic = pubsub_bytes_of("in/even");
    pub.payload = pubsub_bytes_of("\"n\":1");
    pub.headers = headers;
    pub.header_count = 3;
    assert_int_equal(pubsub_client_publish(client, &pub, -1, &err), PUBSUB_OK);
    assert_int_equal(pubsub_client_end(client, kit_ms(KIT_PATIENCE), &err), PUBSUB_OK);
    pubsub_client_free(client);
}

static void publish(const char *url, unsigned first, unsigned last)
{
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_client_new(&client, url, NULL, &err), PUBSUB_OK);
    for (unsigned i = first; i <= last; i++) {
        char payload[32];
        pubsub_header headers[] = {{pubsub_bytes_of("x-trace"), pubsub_bytes_of("abc")},
                                   {pubsub_bytes_of("pubsub-event"), pubsub_bytes_of("delete")},
                                   {pubsub_bytes_of("pubsub-id"), pubsub_bytes_of("id-1")}};
        pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
        (void)snprintf(payload, sizeof payload, "\"n\":%u", i);
        pub.topic = pubsub_bytes_of(i % 2 == 0 ? "in/even" : "in/odd/x");
        pub.payload = pubsub_bytes_of(payload);
        pub.key = pubsub_bytes_of("k");
        pub.content_type = pubsub_bytes_of("text/x-n");
        pub.reply_to = pubsub_bytes_of("answers");
        pub.correlation = pubsub_bytes_of("c7");
        pub.headers = headers;
        pub.header_count = i == 1 ? 3 : 2;
        assert_int_equal(pubsub_client_publish(client, &pub, -1, &err), PUBSUB_OK);
    }
    assert_int_equal(pubsub_client_end(client, kit_ms(KIT_PATIENCE), &err), PUBSUB_OK);
    pubsub_client_free(client);
}

static void relay_until(scripted_bridge *b, uint64_t count)
{
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (scripted_view(b).published < count && !kit_over(deadline)) {
        (void)pubsub_host_run(b->host, 1);
    }
    assert_int_equal(scripted_view(b).published, count);
}

static void test_broker_relays_all_of_a_message(void **state)
{
    (void)state;
    scripted_bridge b;
    char source[KIT_PATH_MAX + 64];
    scripted_bridge_init(&b, &scripted_settles);
    (void)snprintf(source, sizeof source, "local:%s/source", b.dir);
    set_broker_source(&b, source);
    publish(source, 1, 1000);
    scripted_run(&b);
    relay_until(&b, 1000);
    scripted_until(&b, scripted_is_active);
    scripted_stop(&b);
    assert_true(b.clean);
    publish(source, 1001, 1200); /* kept under the durable name while the bridge is away */
    scripted_run(&b);
    relay_until(&b, 200);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1200);
    for (size_t i = 0; i < bus.count; i++) {
        const pubsub_message *m = bus.messages[i];
        assert_int_equal(scripted_number(m), i + 1);
        assert_true(kit_is(pubsub_message_topic(m), i % 2 == 1 ? "out/in/even" : "out/in/odd/x"));
        assert_true(kit_is(pubsub_message_key(m), "k"));
        assert_true(kit_is(pubsub_message_content_type(m), "text/x-n"));
        assert_true(kit_is(pubsub_message_reply_to(m), "answers"));
        assert_true(kit_is(pubsub_message_correlation(m), "c7"));
        assert_true(kit_is(pubsub_message_header_find(m, "x-trace"), "abc"));
        assert_true(kit_is(pubsub_message_header_find(m, "pubsub-event"), "delete"));
        assert_int_equal(pubsub_message_header_count(m), 3);
    }
    assert_true(kit_is(pubsub_message_header_find(bus.messages[0], "pubsub-id"), "id-1"));
    pubsub_bytes id = pubsub_message_header_find(bus.messages[2], "pubsub-id");
    assert_true(id.len > 9 && memcmp(id.data, "in/odd/x@", 9) == 0);
    scripted_forget(&bus);
    pubsub_settings_free(b.source.settings, b.source.setting_count);
    scripted_bridge_fini(&b);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_spool_believes_only_itself(void **state)
{
    (void)state;
    static char topic[] = "{model}/{topic}";
    scripted_bridge b;
    char source[KIT_PATH_MAX + 64];
    scripted_bridge_init(&b, &scripted_settles);
    (void)snprintf(source, sizeof source, "local:%s/source", b.dir);
    set_broker_source(&b, source);
    b.source.spool = 1;
    b.route[0].topic = topic;
    publish_claims(source);
    scripted_run(&b);
    relay_until(&b, 1);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1);
    assert_true(kit_is(pubsub_message_topic(bus.messages[0]), "in/even/in/even"));
    scripted_forget(&bus);
    pubsub_settings_free(b.source.settings, b.source.setting_count);
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

typedef struct findings {
    unsigned good;
    unsigned bad;
    bool done;
    char text[256];
} findings;

static void on_finding(void *ctx, const pubsub_error *finding)
{
    findings *f = ctx;
    *(finding->code == PUBSUB_OK ? &f->good : &f->bad) += 1;
    (void)snprintf(f->text, sizeof f->text, "%s", finding->text);
}

static void on_checked(void *ctx)
{
    findings *f = ctx;
    f->done = true;
}

static void check(const char *url, findings *out)
{
    static const char *const names[] = {"url"};
    static const char *const models[] = {"a/#"};
    const char *texts[] = {url};
    pubsub_setting_value *values = NULL;
    size_t count = 0;
    pubsub_host *host = NULL;
    void *self = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    memset(out, 0, sizeof *out);
    assert_int_equal(
        pubsub_settings_new(&bridge_connector_broker, names, texts, 1, &values, &count, &err),
        PUBSUB_OK);
    assert_int_equal(pubsub_host_new(&host, &err), PUBSUB_OK);
    pubsub_connector_init init = {sizeof init, host, "s", "r", models, 1, values, count, 10};
    assert_int_equal(bridge_connector_broker.initialize(&self, &init, &err), PUBSUB_OK);
    bridge_connector_broker.check(self, on_finding, on_checked, out);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!out->done && !kit_over(deadline)) {
        (void)pubsub_host_run(host, 1);
    }
    assert_true(out->done);
    bridge_connector_broker.fini(self);
    pubsub_host_free(host);
    pubsub_settings_free(values, count);
}

static void test_broker_check_touches_the_source(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char url[KIT_PATH_MAX + 16];
    findings found;
    kit_dir_new(dir);
    (void)snprintf(url, sizeof url, "local:%s/bus", dir);
    check(url, &found);
    assert_int_equal(found.bad, 0);
    assert_int_equal(found.good, 0); /* nothing is lost there by nature */
    pubsub_caps caps = {.size = sizeof caps};
    if (pubsub_caps_offline("redis://127.0.0.1:1", NULL, &caps, NULL) == PUBSUB_OK) {
        check("redis://127.0.0.1:1", &found);
        assert_int_equal(found.bad, 1);
        assert_true(found.good >= 2); /* no acks, nothing kept */
    }
    kit_dir_remove(dir);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* Whoever has waited long enough for an answer may finish the instance: nothing of it is called then. */
static void test_broker_check_may_be_given_up(void **state)
{
    (void)state;
    static const char *const names[] = {"url"};
    static const char *const models[] = {"a/#"};
    pubsub_caps caps = {.size = sizeof caps};
    pubsub_setting_value *values = NULL;
    size_t count = 0;
    pubsub_host *host = NULL;
    void *self = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    findings found = {0, 0, false, ""};
    char url[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int mute = socket(AF_INET, SOCK_STREAM, 0); /* takes connections and says nothing */
    assert_int_equal(bind(mute, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(mute, 5), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof url, "mqtt://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    const char *texts[] = {url};
    if (pubsub_caps_offline(url, NULL, &caps, NULL) != PUBSUB_OK) {
        (void)close(mute);
        skip();
    }
    assert_int_equal(
        pubsub_settings_new(&bridge_connector_broker, names, texts, 1, &values, &count, &err),
        PUBSUB_OK);
    assert_int_equal(pubsub_host_new(&host, &err), PUBSUB_OK);
    pubsub_connector_init init = {sizeof init, host, "s", "r", models, 1, values, count, 10};
    assert_int_equal(bridge_connector_broker.initialize(&self, &init, &err), PUBSUB_OK);
    bridge_connector_broker.check(self, on_finding, on_checked, &found);
    (void)pubsub_host_run(host, 50);
    assert_false(found.done);
    bridge_connector_broker.fini(self);
    (void)close(mute);
    (void)pubsub_host_run(host, 50);
    assert_false(found.done);
    pubsub_host_free(host);
    pubsub_settings_free(values, count);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_broker_refuses_bad_settings(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"option", "nonsense", "name=value"},
        {"option", "prefetc=1", "prefetch"},
        {"from", "someday", ""},
        {"url", "nope://x", "nope"},
    };
    static const char *const models[] = {"a/#"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pubsub_setting_value values[] = {{"url", "local:/tmp/x", 0}, {cases[i][0], cases[i][1], 0}};
        bool url = strcmp(cases[i][0], "url") == 0;
        void *self = NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_host *host = NULL;
        assert_int_equal(pubsub_host_new(&host, &err), PUBSUB_OK);
        pubsub_connector_init init = {
            sizeof init, host, "s", "r", models, 1, url ? &values[1] : values, url ? 1 : 2, 10};
        pubsub_err rc = bridge_connector_broker.initialize(&self, &init, &err);
        if (strcmp(cases[i][0], "from") == 0) { /* known only when subscribing */
            assert_int_equal(rc, PUBSUB_OK);
            bridge_connector_broker.fini(self);
        } else {
            assert_int_not_equal(rc, PUBSUB_OK);
            assert_null(self);
            assert_non_null(strstr(err.text, cases[i][2]));
        }
        pubsub_host_free(host);
    }
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
        cmocka_unit_test(test_broker_relays_all_of_a_message),
        cmocka_unit_test(test_spool_believes_only_itself),
        cmocka_unit_test(test_spool_stays_in_its_state_directory),
        cmocka_unit_test(test_broker_check_touches_the_source),
        cmocka_unit_test(test_broker_check_may_be_given_up),
        cmocka_unit_test(test_broker_refuses_bad_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
