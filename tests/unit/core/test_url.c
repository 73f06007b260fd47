/* SPDX-License-Identifier: MIT */
#include <pubsub/url.h>

#include "base/alloc.h"

#include "support/cmocka.h"

#include <stdio.h>

static pubsub_url *parse(const char *text)
{
    pubsub_url *url = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub_url_parse(&url, text, &err) != PUBSUB_OK) {
        fail_msg("'%s': %s", text, err.text);
    }
    return url;
}

/* One host at most; more are tested by themselves. NULL = not there. */
typedef struct good_case {
    const char *text;
    const char *scheme;
    const char *user;
    const char *password;
    const char *host;
    unsigned port;
    const char *path;
    const char *redacted; /* NULL = as the text */
} good_case;

static const good_case good[] = {
    {"local:", "local", NULL, NULL, NULL, 0, "", NULL},
    {"local:name", "local", NULL, NULL, NULL, 0, "name", NULL},
    {"local:./rel/dir", "local", NULL, NULL, NULL, 0, "./rel/dir", NULL},
    {"local:/abs/dir", "local", NULL, NULL, NULL, 0, "/abs/dir", NULL},
    {"local:///abs/dir", "local", NULL, NULL, NULL, 0, "/abs/dir", NULL},
    {"local://host/dir", "local", NULL, NULL, "host", 0, "/dir", NULL},
    {"local:/my dir", "local", NULL, NULL, NULL, 0, "/my dir", "local:/my%20dir"},
    {"local:/a%3Fb%23c", "local", NULL, NULL, NULL, 0, "/a?b#c", NULL},
    {"local:/%2Fx", "local", NULL, NULL, NULL, 0, "//x", NULL},
    {"local:a:b@c,d", "local", NULL, NULL, NULL, 0, "a:b@c,d", NULL},
    {"MQTT://Host", "mqtt", NULL, NULL, "Host", 0, "", "mqtt://Host"},
    {"mqtt://h", "mqtt", NULL, NULL, "h", 0, "", NULL},
    {"mqtt://h/", "mqtt", NULL, NULL, "h", 0, "/", NULL},
    {"mqtt://", "mqtt", NULL, NULL, NULL, 0, "", NULL},
    {"mqtt://h:1", "mqtt", NULL, NULL, "h", 1, "", NULL},
    {"mqtt://h:65535", "mqtt", NULL, NULL, "h", 65535, "", NULL},
    {"mqtt://h:01883", "mqtt", NULL, NULL, "h", 1883, "", "mqtt://h:1883"},
    {"mqtt://u@h", "mqtt", "u", NULL, "h", 0, "", NULL},
    {"mqtt://u:p@h", "mqtt", "u", "p", "h", 0, "", "mqtt://u:***@h"},
    {"mqtt://u:@h", "mqtt", "u", "", "h", 0, "", "mqtt://u:***@h"},
    {"redis://:p@h", "redis", NULL, "p", "h", 0, "", "redis://:***@h"},
    {"mqtt://u%40x:p%3A%2F%40@h", "mqtt", "u@x", "p:/@", "h", 0, "", "mqtt://u%40x:***@h"},
    {"mqtt://u:a:b@h", "mqtt", "u", "a:b", "h", 0, "", "mqtt://u:***@h"},
    {"mqtt://[::1]:1883/x", "mqtt", NULL, NULL, "::1", 1883, "/x", NULL},
    {"mqtt://[fe80::1%25eth0]", "mqtt", NULL, NULL, "fe80::1%eth0", 0, "", NULL},
    {"mqtt://[::ffff:10.0.0.1]", "mqtt", NULL, NULL, "::ffff:10.0.0.1", 0, "", NULL},
    {"redis://%2Frun%2Fredis.sock", "redis", NULL, NULL, "/run/redis.sock", 0, "", NULL},
    {"redis+streams://h", "redis+streams", NULL, NULL, "h", 0, "", NULL},
    {"amqp://h/%2Fvhost", "amqp", NULL, NULL, "h", 0, "//vhost", "amqp://h//vhost"},
    {"amqp://h/caf\xC3\xA9", "amqp", NULL, NULL, "h", 0, "/caf\xC3\xA9", NULL},
};

static void assert_text(const char *got, const char *expected)
{
    if (expected == NULL) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, expected);
    }
}

static void test_url_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const good_case *c = &good[i];
        char shown[256];
        uint16_t port = 0;
        pubsub_url *url = parse(c->text);
        assert_text(pubsub_url_scheme(url), c->scheme);
        assert_text(pubsub_url_user(url), c->user);
        assert_text(pubsub_url_password(url), c->password);
        assert_text(pubsub_url_host(url, 0, &port), c->host);
        assert_int_equal(pubsub_url_host_count(url), c->host == NULL ? 0 : 1);
        assert_int_equal(port, c->port);
        assert_text(pubsub_url_path(url), c->path);
        assert_text(pubsub_url_redacted(url, shown, sizeof(shown)),
                    c->redacted == NULL ? c->text : c->redacted);
        pubsub_url_free(url);
    }
}

static void test_url_hosts(void **state)
{
    (void)state;
    pubsub_url *url = parse("kafka://u:p@a:1,b,[::1]:3/x?y=z");
    uint16_t port = 9;
    assert_int_equal(pubsub_url_host_count(url), 3);
    assert_string_equal(pubsub_url_host(url, 0, &port), "a");
    assert_int_equal(port, 1);
    assert_string_equal(pubsub_url_host(url, 1, &port), "b");
    assert_int_equal(port, 0);
    assert_string_equal(pubsub_url_host(url, 2, NULL), "::1");
    assert_null(pubsub_url_host(url, 3, &port));
    char shown[64];
    assert_string_equal(pubsub_url_redacted(url, shown, sizeof(shown)),
                        "kafka://u:***@a:1,b,[::1]:3/x?y=z");
    pubsub_url_free(url);
}

static void test_url_query(void **state)
{
    (void)state;
    pubsub_url *url = parse("local:x?a=1&b=&c&a=2&d%26=%3D+%20&e=x=y&f=/?");
    static const char *const expected[][2] = {{"a", "1"},    {"b", ""},    {"c", ""},  {"a", "2"},
                                              {"d&", "=+ "}, {"e", "x=y"}, {"f", "/?"}};
    size_t count = sizeof(expected) / sizeof(expected[0]);
    assert_int_equal(pubsub_url_query_count(url), count);
    for (size_t i = 0; i < count; i++) {
        const char *value = NULL;
        assert_string_equal(pubsub_url_query_at(url, i, &value), expected[i][0]);
        assert_string_equal(value, expected[i][1]);
    }
    assert_null(pubsub_url_query_at(url, count, NULL));
    assert_string_equal(pubsub_url_query(url, "a"), "1");
    assert_null(pubsub_url_query(url, "z"));
    pubsub_url_free(url);
    url = parse("local:?");
    assert_int_equal(pubsub_url_query_count(url), 0);
    pubsub_url_free(url);
}

static void test_url_rejects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", "expected a scheme and ':', as in 'local:' or 'mqtt://host' at byte 0"},
        {"local", "at byte 5"},
        {":x", "at byte 0"},
        {"//host", "at byte 0"},
        {"/dir", "at byte 0"},
        {"1a:x", "begins with a letter"},
        {"lo cal:x", "at byte 2"},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddd:x", "too long"},
        {"mqtt://:1883", "empty host at byte 7"},
        {"mqtt://u@", "empty host at byte 9"},
        {"mqtt://a,,b", "empty host at byte 9"},
        {"mqtt://a,", "empty host at byte 9"},
        {"mqtt://h:", "a port is missing behind ':' at byte 9"},
        {"mqtt://h:0", "not in 1..65535 at byte 9"},
        {"mqtt://h:65536", "not in 1..65535"},
        {"mqtt://h:99999999999999999999", "not in 1..65535"},
        {"mqtt://h:18x3", "not a number at byte 11"},
        {"mqtt://h:-1", "not a number"},
        {"mqtt://[::1", "'[' without ']' at byte 7"},
        {"mqtt://[]", "empty host"},
        {"mqtt://[::1]x", "behind ']' at byte 12"},
        {"mqtt://[::!]", "no IPv6 address has (%25 begins a zone) at byte 10"},
        {"mqtt://[::%26]", "no IPv6 address has"},
        {"mqtt://a]", "no host has"},
        {"mqtt://a b", "no host has at byte 8"},
        {"mqtt://::1", "an IPv6 address stands in brackets) at byte 7"},
        {"mqtt://u@v@h", "more than one '@'"},
        {"mqtt://h/%", "'%' without two hexadecimal digits (write %25 for '%') at byte 9"},
        {"mqtt://h/%4", "hexadecimal"},
        {"mqtt://h/%4g", "hexadecimal"},
        {"mqtt://h/%00", "%00 is not allowed at byte 9"},
        {"mqtt://h%00", "%00 is not allowed"},
        {"mqtt://h/#x", "'#'"},
        {"mqtt://h/\n", "control character (write it as %XX) at byte 9"},
        {"mqtt://h/\x7F", "control character"},
        {"local:?=x", "no name at byte 7"},
        {"local:?a=1&&b=2", "no name at byte 11"},
        {"local:?a=1&", "missing behind '&' at byte 10"},
        {"local:?a=%zz", "at byte 9"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pubsub_url *url = (pubsub_url *)&url;
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_err rc = pubsub_url_parse(&url, bad[i].text, &err);
        if (rc != PUBSUB_EURL || url != NULL || strstr(err.text, bad[i].says) == NULL) {
            pubsub_url_free(rc == PUBSUB_OK ? url : NULL);
            fail_msg("'%s': %s", bad[i].text, err.text);
        }
    }
    assert_int_equal(pubsub_url_parse(NULL, "local:", NULL), PUBSUB_EINVAL);
    pubsub_url *url = NULL;
    assert_int_equal(pubsub_url_parse(&url, NULL, NULL), PUBSUB_EINVAL);
    pubsub_url_free(NULL);
}

static void test_url_errors_never_show_the_password(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "mqtt://user:hunter2@@host",  "mqtt://user:hunter2%zz@host", "mqtt://user:hunter2@host:x",
        "mqtt://user:hunter2/x@host", "mqtt://user:hunter2#@host",   "mqtt://user:hunter2\n@host",
        "mqtt://user:hunter2",        "mqtt://user:hunter2@",        "mqtt://user:hunter2@h?&",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pubsub_url *url = NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(pubsub_url_parse(&url, bad[i], &err), PUBSUB_EURL);
        assert_null(strstr(err.text, "hunter"));
    }
}

static void test_url_redacts_secrets_in_the_query(void **state)
{
    (void)state;
    char shown[256];
    pubsub_url *url = parse("kafka://h?acks=all&sasl.Password=hunter2&x_token=t&secret=");
    assert_string_equal(pubsub_url_redacted(url, shown, sizeof(shown)),
                        "kafka://h?acks=all&sasl.Password=***&x_token=***&secret=***");
    for (size_t size = 1; size < 60; size++) {
        char small[64];
        memset(small, '~', sizeof(small));
        pubsub_url_redacted(url, small, size);
        assert_true(strlen(small) < size);
        assert_int_equal(small[size], '~');
    }
    pubsub_url_free(url);
    static const char *const misspelt[] = {"passwor",  "pasword",      "passwrod",
                                           "Password", "amqp.passwor", "pasword_"};
    for (size_t i = 0; i < sizeof(misspelt) / sizeof(misspelt[0]); i++) {
        char text[64];
        char hidden[64];
        (void)snprintf(text, sizeof(text), "amqp://h?%s=hunter2&user=u", misspelt[i]);
        (void)snprintf(hidden, sizeof(hidden), "amqp://h?%s=***&user=u", misspelt[i]);
        url = parse(text);
        assert_string_equal(pubsub_url_redacted(url, shown, sizeof(shown)), hidden);
        pubsub_url_free(url);
    }
}

static void test_url_bounds(void **state)
{
    (void)state;
    static char text[PUBSUB_URL_MAX + 2];
    pubsub_url *url = NULL;
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "local:", 6);
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_EURL);
    text[PUBSUB_URL_MAX] = '\0';
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_OK);
    pubsub_url_free(url);

    size_t len = (size_t)snprintf(text, sizeof(text), "mqtt://h");
    for (int i = 1; i < PUBSUB_URL_HOSTS_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, ",h");
    }
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_url_host_count(url), PUBSUB_URL_HOSTS_MAX);
    pubsub_url_free(url);
    snprintf(text + len, sizeof(text) - len, ",h");
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_EURL);

    len = (size_t)snprintf(text, sizeof(text), "local:?k");
    for (int i = 1; i < PUBSUB_URL_QUERY_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "&k");
    }
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_url_query_count(url), PUBSUB_URL_QUERY_MAX);
    pubsub_url_free(url);
    snprintf(text + len, sizeof(text) - len, "&k");
    assert_int_equal(pubsub_url_parse(&url, text, NULL), PUBSUB_EURL);
}

static void test_url_without_memory(void **state)
{
    (void)state;
    pubsub_url *url = NULL;
    pubsub__alloc_fail_at(1);
    assert_int_equal(pubsub_url_parse(&url, "local:", NULL), PUBSUB_ENOMEM);
    pubsub__alloc_fail_at(0);
    assert_null(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_parts),
        cmocka_unit_test(test_url_hosts),
        cmocka_unit_test(test_url_query),
        cmocka_unit_test(test_url_rejects),
        cmocka_unit_test(test_url_errors_never_show_the_password),
        cmocka_unit_test(test_url_redacts_secrets_in_the_query),
        cmocka_unit_test(test_url_bounds),
        cmocka_unit_test(test_url_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
