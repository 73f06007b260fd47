/* SPDX-License-Identifier: MIT */
#include "options/resolve.h"

#include "base/alloc.h"

#include "support/cmocka.h"

/* Resolve a URL for adapter amqp with at most two options; NULL names are none. */
static pubsub_err resolve(const char *text, bool tls, const char *const given[4],
                          pubsub_options **out, pubsub_error *err)
{
    pubsub_url *url = NULL;
    pubsub_options *opts = NULL;
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_new(&opts), PUBSUB_OK);
    for (size_t i = 0; i < 4 && given[i] != NULL; i += 2) {
        assert_int_equal(pubsub_options_set(opts, given[i], given[i + 1], NULL), PUBSUB_OK);
    }
    pubsub_err rc = pubsub__options_resolve(out, url, "amqp", tls, opts, err);
    pubsub_options_free(opts);
    pubsub_url_free(url);
    return rc;
}

static void test_resolve_takes_url_and_options(void **state)
{
    (void)state;
    pubsub_options *out = NULL;
    static const char *const given[4] = {"client_id", "me", "connect_timeout", "2s"};
    assert_int_equal(
        resolve("amqp://u:p@h:1234/x?exchange=e&reconnect_max=9s&amqp.token=abc&mqtt.client_id=z",
                true, given, &out, NULL),
        PUBSUB_OK);
    static const char *const expected[][2] = {{"user", "u"},          {"password", "p"},
                                              {"host", "h"},          {"port", "1234"},
                                              {"tls", "yes"},         {"amqp.exchange", "e"},
                                              {"amqp.token", "abc"},  {"reconnect_max", "9s"},
                                              {"client_id", "me"},    {"connect_timeout", "2s"},
                                              {"mqtt.client_id", "z"}};
    size_t count = sizeof(expected) / sizeof(expected[0]);
    assert_int_equal(pubsub_options_count(out), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(pubsub_options_get(out, expected[i][0]), expected[i][1]);
    }
    pubsub_options_free(out);
}

static void test_resolve_of_nothing(void **state)
{
    (void)state;
    pubsub_url *url = NULL;
    pubsub_options *out = NULL;
    assert_int_equal(pubsub_url_parse(&url, "local:", NULL), PUBSUB_OK);
    assert_int_equal(pubsub__options_resolve(&out, url, NULL, false, NULL, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_count(out), 0);
    pubsub_options_free(out);
    pubsub_url_free(url);
}

static void test_resolve_accepts_the_same_value_twice(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *given[4];
    } cases[] = {
        {"amqp://u:p@h:1234", {"user", "u", "password", "p"}},
        {"amqp://u:p@h:1234", {"host", "h", "port", "01234"}},
        {"amqp://h?connect_timeout=5s", {"connect_timeout", "5000"}},
        {"amqp://h?connect_timeout=5s&connect_timeout=5000ms", {NULL}},
        {"amqp://h?exchange=e&amqp.exchange=e", {"amqp.exchange", "e"}},
        {"amqp://u@h?user=u", {NULL}},
        {"amqp://h,h2", {"port", "5"}}, /* the port of those that name none */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub_options *out = NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (resolve(cases[i].url, false, cases[i].given, &out, &err) != PUBSUB_OK) {
            fail_msg("%s: %s", cases[i].url, err.text);
        }
        pubsub_options_free(out);
    }
}

static void test_resolve_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool tls;
        const char *given[4];
        const char *says;
    } cases[] = {
        {"amqp://u@h",
         false,
         {"user", "v"},
         "'user' is given in the URL and as an option, with different values"},
        {"amqp://u:hunter2@h", false, {"password", "hunter3"}, "'password' is given in the URL"},
        {"amqp://h", false, {"host", "g"}, "'host' is given in the URL and as an option"},
        {"amqp://h:1", false, {"port", "2"}, "'port' is given in the URL and as an option"},
        {"amqp://h,g", false, {"host", "h"}, "but the URL has 2 hosts"},
        {"amqps://h", true, {"tls", "no"}, "'tls' is given by the URL's scheme and as an option"},
        {"amqps://h?tls=no",
         true,
         {NULL},
         "'tls' is given in the URL's query and elsewhere in the URL"},
        {"amqp://h?linger=1&linger=2", false, {NULL}, "elsewhere in the URL"},
        {"amqp://h?exchange=a&amqp.exchange=b", false, {NULL}, "'amqp.exchange' is given"},
        {"amqp://h?exchange=a", false, {"amqp.exchange", "b"}, "and as an option"},
        {"amqp://h?exchnge=a",
         false,
         {NULL},
         "unknown query parameter 'exchnge' in the URL, did you mean 'exchange'?"},
        {"amqp://h?conect_timeout=5s", false, {NULL}, "did you mean 'connect_timeout'?"},
        {"amqp://h?x_own=5s", false, {NULL}, "unknown query parameter 'x_own'"},
        {"amqp://h?client_idd=5s", false, {NULL}, "did you mean 'client_id'?"},
        {"amqp://h?mqtt.keepalive=5s", false, {NULL}, "did you mean 'mqtt.keep_alive'?"},
        {"amqp://h?group=g", false, {NULL}, "belongs to a subscribe and cannot stand in a URL"},
        {"amqp://h?mqtt.share_name=g", false, {NULL}, "belongs to a subscribe"},
        {"amqp://h?linger=never", false, {NULL}, "is not a duration"},
        {"amqp://h", false, {"group", "g"}, "belongs to a subscribe, not to a client"},
        {"amqp://%FF@h", false, {NULL}, "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub_options *out = NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_err rc = resolve(cases[i].url, cases[i].tls, cases[i].given, &out, &err);
        if ((rc != PUBSUB_EOPTION && rc != PUBSUB_EUTF8) || out != NULL ||
            strstr(err.text, cases[i].says) == NULL || strstr(err.text, "hunter") != NULL) {
            pubsub_options_free(out);
            fail_msg("%s: %s", cases[i].url, err.text);
        }
    }
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_resolve_without_memory(void **state)
{
    (void)state;
    pubsub_url *url = NULL;
    assert_int_equal(pubsub_url_parse(&url, "amqp://u:p@h:1/x?exchange=e", NULL), PUBSUB_OK);
    int64_t before = pubsub__alloc_live();
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        pubsub_options *out = NULL;
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = pubsub__options_resolve(&out, url, "amqp", true, NULL, NULL);
        pubsub__alloc_fail_at(0);
        done = rc == PUBSUB_OK;
        assert_true(done || rc == PUBSUB_ENOMEM);
        pubsub_options_free(out);
        assert_int_equal(pubsub__alloc_live(), before);
    }
    pubsub_url_free(url);
}

static void test_resolve_own_value_then_clients_then_default(void **state)
{
    (void)state;
    pubsub_options *own = NULL;
    pubsub_options *client = NULL;
    int64_t value = 0;
    assert_int_equal(pubsub_options_new(&own), PUBSUB_OK);
    assert_int_equal(pubsub_options_new(&client), PUBSUB_OK);
    assert_int_equal(pubsub__options_int2(own, client, "prefetch", &value), PUBSUB_OK);
    assert_true(value == 1000);
    assert_int_equal(pubsub_options_set_int(client, "prefetch", 7, NULL), PUBSUB_OK);
    assert_int_equal(pubsub__options_int2(NULL, client, "prefetch", &value), PUBSUB_OK);
    assert_true(value == 7);
    assert_string_equal(pubsub__options_get2(own, client, "prefetch"), "7");
    assert_int_equal(pubsub_options_set_int(own, "prefetch", 8, NULL), PUBSUB_OK);
    assert_int_equal(pubsub__options_int2(own, client, "prefetch", &value), PUBSUB_OK);
    assert_true(value == 8);
    assert_string_equal(pubsub__options_get2(NULL, NULL, "from"), "new");
    pubsub_options_free(own);
    pubsub_options_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve_takes_url_and_options),
        cmocka_unit_test(test_resolve_of_nothing),
        cmocka_unit_test(test_resolve_accepts_the_same_value_twice),
        cmocka_unit_test(test_resolve_refuses),
        cmocka_unit_test(test_resolve_without_memory),
        cmocka_unit_test(test_resolve_own_value_then_clients_then_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
