/* SPDX-License-Identifier: MIT */
/* Files that are right: what becomes of them. */
#include "config/reader.h"

#include "base/alloc.h"
#include "support/cmocka.h"
#include "unit/bridge/config_files.h"

#include <pubsub/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static bridge_config *load_with(const char *text, const bridge_overrides *overrides)
{
    bridge_findings findings = {0};
    bridge_config *config =
        bridge_config_read("/etc/bridge.yaml", text, strlen(text), overrides, &findings);
    if (config == NULL) {
        fail_msg("%u:%u: %s: %s", findings.items[0].mark.line, findings.items[0].mark.column,
                 findings.items[0].path, findings.items[0].text);
    }
    assert_int_equal(findings.count, 0);
    bridge_findings_fini(&findings);
    return config;
}

static bridge_config *load(const char *text)
{
    return load_with(text, NULL);
}

static const char *setting(const bridge_config *config, const char *name)
{
    const pubsub_setting_value *value =
        pubsub_setting_find(config->sources[0].settings, config->sources[0].setting_count, name);
    return value != NULL ? value->text : NULL;
}

static void test_config_fills_in_defaults(void **state)
{
    (void)state;
    int64_t live = pubsub__alloc_live();
    bridge_config *config = load(BROKERS SOURCES ROUTES);
    assert_string_equal(config->file, "/etc/bridge.yaml");
    assert_string_equal(config->state, "/var/lib/pubsub-bridge");
    assert_null(config->listen);
    assert_int_equal(config->log_level, PUBSUB_LOG_INFO);
    assert_false(config->log_json);
    assert_int_equal(config->drain, 10000);
    assert_int_equal(config->broker_count, 1);
    assert_string_equal(config->brokers[0].name, "main");
    assert_string_equal(config->brokers[0].url, "local:/tmp/x");
    assert_null(config->brokers[0].options);
    assert_int_equal(config->brokers[0].mark.line, 1);
    assert_int_equal(config->brokers[0].mark.column, 11);
    assert_int_equal(config->source_count, 1);
    assert_string_equal(config->sources[0].connector->name, "fake");
    assert_int_equal(config->sources[0].spool, -1);
    assert_int_equal(config->sources[0].spool_size, 1 << 30);
    assert_string_equal(setting(config, "limit"), "100");
    const bridge_route *route = &config->routes[0];
    assert_int_equal(config->route_count, 1);
    assert_string_equal(route->name, "db.accounts.main");
    assert_int_equal(route->source, 0);
    assert_int_equal(route->broker, 0);
    assert_int_equal(route->model_count, 1);
    assert_string_equal(route->models[0], "accounts");
    assert_string_equal(route->topic, "/v1/subutest");
    assert_int_equal(route->format, BRIDGE_FORMAT_EVENT);
    assert_int_equal(route->changes, 0xF);
    assert_int_equal(route->where_count, 0);
    assert_int_equal(route->qos, PUBSUB_QOS_UNSET);
    assert_false(route->retain);
    assert_true(route->key);
    assert_false(route->degrade);
    assert_int_equal(route->expiry, 0);
    assert_int_equal(route->in_flight, 1000);
    assert_int_equal(route->in_flight_bytes, 8 << 20);
    assert_int_equal(route->on_reject, BRIDGE_REJECT_DEAD_LETTER);
    assert_string_equal(route->dead_letter, "$dead/{source}/{model}");
    assert_int_equal(route->stall, 90000); /* three heartbeats */
    bridge_config_free(config);
    assert_int_equal(pubsub__alloc_live(), live);
    bridge_config_free(NULL);
}

static void test_config_reads_everything(void **state)
{
    (void)state;
    bridge_config *config = load(
        "state: data\nlisten: 9100\nlog: {level: debug, format: json}\ndrain: 1m\n"
        "brokers:\n  main: local:/tmp/x\n  other: {url: 'local:/tmp/y', queue_messages: 5}\n"
        "sources:\n  db:\n    connector: ${FAKE_CONNECTOR}\n    url: http://h\n    spool: yes\n"
        "    spool_size: 2M\n    heartbeat: 0\n    secret: [one, two]\n"
        "    selector:\n      type: Demo\n      n: [1, '1', true, ~, yes]\n"
        "routes:\n"
        "  - name: first\n    source: db\n    models: [a, b*]\n    broker: other\n"
        "    topic: 'x/{model}/{{{/a/b}'\n    format: cloudevents-binary\n"
        "    changes: [create, delete]\n    where: {type: Demo, /a~1b: 1, c/d~e: ~}\n    qos: 0\n"
        "    retain: yes\n    key: no\n    degrade: allow\n    expiry: 1h\n    in_flight: 5\n"
        "    in_flight_bytes: 64k\n    on_reject: skip\n    dead_letter: dead\n    stall: 5s\n"
        "  - {model: a, broker: main, topic: t, changes: update}\n");
    assert_string_equal(config->state, "/etc/data"); /* beside the file */
    assert_string_equal(config->listen, "127.0.0.1:9100");
    assert_int_equal(config->log_level, PUBSUB_LOG_DEBUG);
    assert_true(config->log_json);
    assert_int_equal(config->drain, 60000);
    assert_string_equal(pubsub_options_get(config->brokers[1].options, "queue_messages"), "5");
    assert_int_equal(config->sources[0].spool, 1);
    assert_int_equal(config->sources[0].spool_size, 2 << 20);
    assert_string_equal(setting(config, "selector"),
                        "{\"type\":\"Demo\",\"n\":[1,\"1\",true,null,\"yes\"]}");
    assert_string_equal(setting(config, "secret"), "one");
    const bridge_route *route = &config->routes[0];
    assert_string_equal(route->name, "first");
    assert_int_equal(route->broker, 1);
    assert_int_equal(route->model_count, 2);
    assert_string_equal(route->models[1], "b*");
    assert_string_equal(route->topic, "x/{model}/{{{/a/b}");
    assert_int_equal(route->format, BRIDGE_FORMAT_CLOUDEVENTS_BINARY);
    assert_int_equal(route->changes, 1u << PUBSUB_CHANGE_CREATE | 1u << PUBSUB_CHANGE_DELETE);
    static const char *const where[][2] = {{"/type", "Demo"}, {"/a~1b", "1"}, {"/c~1d~0e", "null"}};
    assert_int_equal(route->where_count, COUNT(where));
    for (size_t i = 0; i < COUNT(where); i++) {
        assert_string_equal(route->where[i].pointer, where[i][0]);
        assert_string_equal(route->where[i].value, where[i][1]);
    }
    assert_int_equal(route->qos, PUBSUB_AT_MOST_ONCE);
    assert_true(route->retain && !route->key && route->degrade);
    assert_int_equal(route->expiry, 3600000);
    assert_int_equal(route->in_flight, 5);
    assert_int_equal(route->in_flight_bytes, 65536);
    assert_int_equal(route->on_reject, BRIDGE_REJECT_SKIP);
    assert_string_equal(route->dead_letter, "dead");
    assert_int_equal(route->stall, 5000);
    assert_int_equal(route->mark.line, 20);
    assert_string_equal(config->routes[1].name, "db.a.main");
    assert_int_equal(config->routes[1].changes, 1u << PUBSUB_CHANGE_UPDATE);
    assert_int_equal(config->routes[1].stall, 0); /* heartbeats are off */
    bridge_config_free(config);
}

static void test_config_listens_on_loopback_unless_told(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"9100", "127.0.0.1:9100"},       {"':9100'", "127.0.0.1:9100"},  {"'[::1]:0'", "[::1]:0"},
        {"0.0.0.0:9100", "0.0.0.0:9100"}, {"h.example:1", "h.example:1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[500];
        (void)snprintf(text, sizeof(text), "listen: %s\n" BROKERS SOURCES ROUTES, cases[i][0]);
        bridge_config *config = load(text);
        assert_string_equal(config->listen, cases[i][1]);
        bridge_config_free(config);
    }
}

static void test_config_makes_names_for_routes(void **state)
{
    (void)state;
    bridge_config *config =
        load(BROKERS SOURCES
             "routes:\n"
             "- {models: ['a/#', b], topic: t}\n"
             "- {models: ['a_#', b], topic: t}\n"
             "- {model: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
             ", topic: t}\n");
    assert_memory_equal(config->routes[0].name, "db.a__.b.main-", 14);
    assert_memory_equal(config->routes[1].name, "db.a__.b.main-", 14);
    assert_string_not_equal(config->routes[0].name, config->routes[1].name);
    assert_int_equal(strlen(config->routes[2].name), BRIDGE_ROUTE_NAME_MAX);
    bridge_config_free(config);
}

/* ---- values from outside ------------------------------------------------------------------- */

static void test_config_expands_the_environment(void **state)
{
    (void)state;
    (void)setenv("T_USER", "a: {b}\n- c", 1);
    (void)setenv("T_EMPTY", "", 1);
    (void)unsetenv("T_NOT");
    bridge_config *config =
        load(BROKERS "sources: {db: {connector: '${FAKE_CONNECTOR}', user: '${T_USER}',\n"
                     "  url: 'http://${T_NOT:-h}${T_EMPTY:-1}${T_EMPTY}$$/$x$'}}\n" ROUTES);
    assert_string_equal(setting(config, "user"), "a: {b}\n- c"); /* a value, not YAML */
    assert_string_equal(setting(config, "url"), "http://h1$/$x$");
    bridge_config_free(config);
}

static void test_config_values_from_outside_are_no_structures(void **state)
{
    (void)state;
    (void)setenv("T_JSON", "{\"a\":1}", 1);
    bridge_config *config = load(BROKERS "sources: {db: {connector: '${FAKE_CONNECTOR}', url: u,\n"
                                         "  selector: '${T_JSON}'}}\n" ROUTES);
    assert_string_equal(setting(config, "selector"), "\"{\\\"a\\\":1}\"");
    bridge_config_free(config);
    config = load(BROKERS "sources: {db: {connector: '${FAKE_CONNECTOR}', url: u,\n"
                          "  selector: '{\"a\":1}'}}\n" ROUTES);
    assert_string_equal(setting(config, "selector"), "{\"a\":1}"); /* JSON in the file itself */
    bridge_config_free(config);
}

static void write_secret(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_config_reads_secrets(void **state)
{
    char path[300];
    char text[1000];
    (void)snprintf(path, sizeof(path), "%s/secret", (const char *)*state);
    write_secret(path, "geheim\r\n", 0600);
    (void)setenv("T_SECRET", "local:/tmp/z", 1);
    (void)snprintf(text, sizeof(text),
                   "brokers: {main: {env: T_SECRET}}\n"
                   "sources: {db: {connector: '${FAKE_CONNECTOR}', url: u,\n"
                   "  password: {file: '%s'}, secret: [{file: '%s'}, two]}}\n" ROUTES,
                   path, path);
    bridge_config *config = load(text);
    assert_string_equal(setting(config, "password"), "geheim");
    assert_string_equal(setting(config, "secret"), "geheim");
    assert_string_equal(config->brokers[0].url, "local:/tmp/z");
    bridge_config_free(config);
}

static void test_config_load_takes_names_beside_the_file(void **state)
{
    char path[300];
    bridge_findings findings;
    (void)snprintf(path, sizeof(path), "%s/word", (const char *)*state);
    write_secret(path, "geheim", 0640);
    (void)snprintf(path, sizeof(path), "%s/bridge.yaml", (const char *)*state);
    write_secret(path,
                 BROKERS "sources: {db: {connector: '${FAKE_CONNECTOR}', url: u,\n"
                         "  password: {file: word}}}\n" ROUTES,
                 0644);
    bridge_config *config = bridge_config_load(path, NULL, &findings);
    assert_non_null(config);
    assert_string_equal(setting(config, "password"), "geheim");
    bridge_config_free(config);
    bridge_findings_fini(&findings);
    assert_null(bridge_config_load("/nonexistent/x", NULL, &findings));
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].text, "cannot read the file: No such file or directory");
    bridge_findings_fini(&findings);
}

static void test_config_takes_aliases(void **state)
{
    (void)state;
    bridge_config *config =
        load("brokers:\n  one: &b {url: 'local:/tmp/x', queue_messages: 7}\n  two: *b\n" SOURCES
             "routes: [{model: &m a, topic: *m, broker: one}]\n");
    assert_string_equal(pubsub_options_get(config->brokers[1].options, "queue_messages"), "7");
    assert_string_equal(config->routes[0].topic, "a");
    bridge_config_free(config);
}

/* ---- flags --------------------------------------------------------------------------------- */

static void test_config_broker_flag_replaces_every_broker(void **state)
{
    (void)state;
    static const bridge_overrides overrides = {.broker = "local:/tmp/new"};
    bridge_config *config = load_with(
        BROKERS SOURCES "routes: [{model: a, topic: t, broker: main}, {model: b, topic: t}]\n",
        &overrides);
    assert_int_equal(config->broker_count, 2);
    assert_string_equal(config->brokers[1].name, "--broker");
    assert_string_equal(config->brokers[1].url, "local:/tmp/new");
    assert_int_equal(config->routes[0].broker, 1);
    assert_int_equal(config->routes[1].broker, 1);
    /* Positions are stored under the same name as without the flag. */
    assert_string_equal(config->routes[0].name, "db.a.main");
    bridge_config_free(config);
    config = load_with(SOURCES ROUTES, &overrides);
    assert_int_equal(config->broker_count, 1);
    assert_string_equal(config->routes[0].name, "db.accounts");
    bridge_config_free(config);
}

static void test_config_set_changes_the_file(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "routes[0].topic=one",
        "routes.second.topic=$two",
        "routes.db.c.d.main.topic=three",
        "sources.db.url=http://new",
        "brokers.main=local:/tmp/set",
        "log.level=error",
        "sources.db.password=a=b",
        "routes[0].qos=1",
        "listen=1",
        "sources.db.selector={\"a\":1}",
    };
    const bridge_overrides overrides = {.sets = sets, .set_count = COUNT(sets)};
    bridge_config *config = load_with(
        BROKERS SOURCES "routes: [{model: a, topic: t}, {model: b, topic: t, name: second},"
                        " {model: c.d, topic: t}]\n",
        &overrides);
    assert_string_equal(config->routes[0].topic, "one");
    assert_string_equal(config->routes[1].topic, "$two");
    assert_string_equal(config->routes[2].topic, "three");
    assert_int_equal(config->routes[0].qos, 1);
    assert_string_equal(setting(config, "url"), "http://new");
    assert_string_equal(setting(config, "password"), "a=b");
    assert_string_equal(setting(config, "selector"), "{\"a\":1}");
    assert_string_equal(config->brokers[0].url, "local:/tmp/set");
    assert_int_equal(config->log_level, PUBSUB_LOG_ERROR);
    assert_string_equal(config->listen, "127.0.0.1:1");
    bridge_config_free(config);
}

/* ---- reload -------------------------------------------------------------------------------- */

static void assert_same(const char *a, const char *b, bool expected)
{
    bridge_config *one = load(a);
    bridge_config *two = load(b);
    if (bridge_config_same_route(one, 0, two, 0) != expected) {
        fail_msg("%s", b);
    }
    bridge_config_free(one);
    bridge_config_free(two);
}

static void test_config_same_route(void **state)
{
    (void)state;
    static const char before[] = BROKERS SOURCES "routes: [{name: n, model: a, topic: t}]\n";
    assert_same(before, before, true);
    assert_same(before,
                "log: {level: debug}\ndrain: 1s\n# moved\n" BROKERS SOURCES
                "routes: [{topic: t, name: n, models: [a], key: yes}, {model: b, topic: u}]\n",
                true);
    static const char *const routes[] = {
        "model: a, topic: u",
        "model: b, topic: t",
        "models: [a, b], topic: t",
        "model: a, topic: t, qos: 1",
        "model: a, topic: t, where: {a: b}",
        "model: a, topic: t, changes: create",
        "model: a, topic: t, stall: 1s",
        "model: a, topic: t, dead_letter: x",
        "model: a, topic: t, in_flight: 7",
    };
    for (size_t i = 0; i < COUNT(routes); i++) {
        char after[500];
        (void)snprintf(after, sizeof(after), BROKERS SOURCES "routes: [{name: n, %s}]\n",
                       routes[i]);
        assert_same(before, after, false);
    }
    assert_same(before,
                "brokers: {main: 'local:/tmp/y'}\n" SOURCES
                "routes: [{name: n, model: a, topic: t}]\n",
                false);
    assert_same(before,
                "brokers: {main: {url: 'local:/tmp/x', queue_messages: 9}}\n" SOURCES
                "routes: [{name: n, model: a, topic: t}]\n",
                false);
    assert_same(before,
                BROKERS "sources: {db: {connector: '${FAKE_CONNECTOR}', url: other}}\n"
                        "routes: [{name: n, model: a, topic: t}]\n",
                false);
    assert_same(before,
                "state: /elsewhere\n" BROKERS SOURCES "routes: [{name: n, model: a, topic: t}]\n",
                false);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void test_config_without_memory(void **state)
{
    (void)state;
    static const char text[] =
        BROKERS SOURCES "listen: 1\nroutes: [{models: [a, 'b/c'], topic: t, where: {a/b: c}}]\n";
    for (uint64_t nth = 1;; nth++) {
        bridge_findings findings = {0};
        int64_t live = pubsub__alloc_live();
        pubsub__alloc_fail_at(nth);
        bridge_config *config = bridge_config_read("f", text, strlen(text), NULL, &findings);
        pubsub__alloc_fail_at(0);
        assert_true(config != NULL || findings.count + findings.more > 0);
        bridge_config_free(config);
        bridge_findings_fini(&findings);
        assert_int_equal(pubsub__alloc_live(), live);
        if (config != NULL && nth > 300) {
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_fills_in_defaults),
        cmocka_unit_test(test_config_reads_everything),
        cmocka_unit_test(test_config_listens_on_loopback_unless_told),
        cmocka_unit_test(test_config_makes_names_for_routes),
        cmocka_unit_test(test_config_expands_the_environment),
        cmocka_unit_test(test_config_values_from_outside_are_no_structures),
        cmocka_unit_test(test_config_reads_secrets),
        cmocka_unit_test(test_config_load_takes_names_beside_the_file),
        cmocka_unit_test(test_config_takes_aliases),
        cmocka_unit_test(test_config_broker_flag_replaces_every_broker),
        cmocka_unit_test(test_config_set_changes_the_file),
        cmocka_unit_test(test_config_same_route),
        cmocka_unit_test(test_config_without_memory),
    };
    return cmocka_run_group_tests(tests, config_set_up, config_tear_down);
}
