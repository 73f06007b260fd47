/* SPDX-License-Identifier: MIT */
/* The broker connector: what it relays, what it checks, what it refuses. */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "connectors/table.h"
#include "engine/pipe.h"
#include "support/cmocka.h"
#include "support/collect.h"
#include "support/wait.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static scripted_bus bus;

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

/* A bridge from one bus, whose URL is told, to another. */
static void begin(scripted_bridge *b, char *source, size_t size)
{
    scripted_bridge_init(b, &scripted_settles);
    (void)snprintf(source, size, "local:%s/source", b->dir);
    set_broker_source(b, source);
}

static void end(scripted_bridge *b)
{
    scripted_forget(&bus);
    pubsub_settings_free(b->source.settings, b->source.setting_count);
    scripted_bridge_fini(b);
    assert_int_equal(pubsub__alloc_live(), 0);
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
    begin(&b, source, sizeof source);
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
    end(&b);
}

static void test_broker_spool_believes_only_itself(void **state)
{
    (void)state;
    static char topic[] = "{model}/{topic}";
    scripted_bridge b;
    char source[KIT_PATH_MAX + 64];
    begin(&b, source, sizeof source);
    b.source.spool = 1;
    b.route[0].topic = topic;
    publish_claims(source);
    scripted_run(&b);
    relay_until(&b, 1);
    scripted_stop(&b);
    scripted_read(b.url, &bus);
    assert_int_equal(bus.count, 1);
    assert_true(kit_is(pubsub_message_topic(bus.messages[0]), "in/even/in/even"));
    end(&b);
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

/* An instance that checks. */
typedef struct checker {
    pubsub_setting_value *values;
    size_t count;
    pubsub_host *host;
    void *self;
} checker;

static void check_begin(checker *c, const char *url, findings *out)
{
    static const char *const names[] = {"url"};
    static const char *const models[] = {"a/#"};
    const char *texts[] = {url};
    pubsub_error err = PUBSUB_ERROR_INIT;
    memset(c, 0, sizeof *c);
    memset(out, 0, sizeof *out);
    assert_int_equal(
        pubsub_settings_new(&bridge_connector_broker, names, texts, 1, &c->values, &c->count, &err),
        PUBSUB_OK);
    assert_int_equal(pubsub_host_new(&c->host, &err), PUBSUB_OK);
    pubsub_connector_init init = {sizeof init, c->host,   "s",      "r", models,
                                  1,           c->values, c->count, 10};
    assert_int_equal(bridge_connector_broker.initialize(&c->self, &init, &err), PUBSUB_OK);
    bridge_connector_broker.check(c->self, on_finding, on_checked, out);
}

static void check_end(checker *c)
{
    pubsub_host_free(c->host);
    pubsub_settings_free(c->values, c->count);
}

static void check(const char *url, findings *out)
{
    checker c;
    check_begin(&c, url, out);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!out->done && !kit_over(deadline)) {
        (void)pubsub_host_run(c.host, 1);
    }
    assert_true(out->done);
    bridge_connector_broker.fini(c.self);
    check_end(&c);
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
    pubsub_caps caps = {.size = sizeof caps};
    checker c;
    findings found;
    char url[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int mute = socket(AF_INET, SOCK_STREAM, 0); /* takes connections and says nothing */
    assert_int_equal(bind(mute, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(mute, 5), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof url, "mqtt://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    if (pubsub_caps_offline(url, NULL, &caps, NULL) != PUBSUB_OK) {
        (void)close(mute);
        skip();
    }
    check_begin(&c, url, &found);
    (void)pubsub_host_run(c.host, 50);
    assert_false(found.done);
    bridge_connector_broker.fini(c.self);
    (void)close(mute);
    (void)pubsub_host_run(c.host, 50);
    assert_false(found.done);
    check_end(&c);
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
        cmocka_unit_test(test_broker_relays_all_of_a_message),
        cmocka_unit_test(test_broker_spool_believes_only_itself),
        cmocka_unit_test(test_broker_check_touches_the_source),
        cmocka_unit_test(test_broker_check_may_be_given_up),
        cmocka_unit_test(test_broker_refuses_bad_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
