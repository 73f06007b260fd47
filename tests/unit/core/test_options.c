/* SPDX-License-Identifier: MIT */
#include <pubsub/options.h>

#include "base/alloc.h"
#include "options/table.h"

#include "support/cmocka.h"

#include <stdio.h>

static int new_options(void **state)
{
    pubsub_options *opts = NULL;
    int rc = pubsub_options_new(&opts) == PUBSUB_OK ? 0 : -1;
    *state = opts;
    return rc;
}

static int free_options(void **state)
{
    pubsub_options_free(*state);
    return pubsub__alloc_live() == 0 ? 0 : -1;
}

static void set(pubsub_options *opts, const char *name, const char *value)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub_options_set(opts, name, value, &err) != PUBSUB_OK) {
        fail_msg("%s=%s: %s", name, value, err.text);
    }
}

static int64_t number(const pubsub_options *opts, const char *name)
{
    int64_t value = -99;
    assert_int_equal(pubsub_options_int(opts, name, &value), PUBSUB_OK);
    return value;
}

static void test_options_every_row_is_sound(void **state)
{
    (void)state;
    for (const pubsub_option_row *row = pubsub__generic_options; row->name != NULL; row++) {
        int64_t value = 0;
        assert_true(row->scopes != 0 && row->scopes < 8);
        assert_true(row->help != NULL && row->help[0] != '\0');
        assert_true(row->help[strlen(row->help) - 1] != '.');
        assert_null(strchr(row->name, '.'));
        assert_null(row->adapter);
        assert_int_equal(row->values != NULL, row->type == PUBSUB_OPTION_ENUM);
        assert_ptr_equal(pubsub_option_find(row->name, NULL), row); /* no name twice */
        if (row->default_text != NULL &&
            pubsub__option_parse(row, row->name, row->default_text, &value, NULL) != PUBSUB_OK) {
            fail_msg("default of %s", row->name);
        }
    }
}

static void test_options_defaults(void **state)
{
    static const struct {
        const char *name;
        int64_t value;
    } cases[] = {
        {"connect_timeout", 5000},
        {"reconnect_min", 100},
        {"reconnect_max", 5000},
        {"queue_messages", 100000},
        {"queue_bytes", 64 << 20},
        {"publish_timeout", -1},
        {"linger", 0},
        {"dispatch", 0},
        {"io", 0},
        {"degrade", 0},
        {"prefetch", 1000},
        {"prefetch_bytes", 8 << 20},
        {"ack", 0},
        {"max_attempts", 10},
        {"nack_delay", 1000},
        {"workers", 1},
        {"tls", 0},
        {"tls_verify", 1},
        {"reconnect", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(number(*state, cases[i].name) == cases[i].value);
        assert_true(number(NULL, cases[i].name) == cases[i].value);
        assert_false(pubsub_options_is_set(*state, cases[i].name));
    }
    assert_string_equal(pubsub_options_get(*state, "from"), "new");
    assert_null(pubsub_options_get(*state, "group"));
    int64_t value = 7;
    assert_int_equal(pubsub_options_int(*state, "qos", &value), PUBSUB_ENOTFOUND);
    assert_int_equal(value, 7);
}

static void test_options_set_and_get(void **state)
{
    pubsub_options *opts = *state;
    bool flag = true;
    set(opts, "prefetch", "5");
    set(opts, "prefetch_bytes", "64k");
    set(opts, "nack_delay", "1.5s");
    set(opts, "dispatch", "thread");
    set(opts, "retain", "on");
    set(opts, "group", "caf\xC3\xA9");
    assert_true(number(opts, "prefetch") == 5);
    assert_true(number(opts, "prefetch_bytes") == 65536);
    assert_true(number(opts, "nack_delay") == 1500);
    assert_true(number(opts, "dispatch") == 1);
    assert_int_equal(pubsub_options_bool(opts, "retain", &flag), PUBSUB_OK);
    assert_true(flag);
    assert_string_equal(pubsub_options_get(opts, "prefetch_bytes"), "64k");
    set(opts, "prefetch", "6");
    assert_true(number(opts, "prefetch") == 6);
    assert_int_equal(pubsub_options_count(opts), 6);
    assert_true(pubsub_options_unset(opts, "prefetch"));
    assert_false(pubsub_options_unset(opts, "prefetch"));
    assert_false(pubsub_options_unset(opts, "no such name"));
    assert_true(number(opts, "prefetch") == 1000);
}

static void test_options_set_typed(void **state)
{
    pubsub_options *opts = *state;
    bool flag = true;
    assert_int_equal(pubsub_options_set_int(opts, "prefetch", 42, NULL), PUBSUB_OK);
    assert_true(number(opts, "prefetch") == 42);
    assert_int_equal(pubsub_options_set_int(opts, "publish_timeout", PUBSUB_FOREVER, NULL),
                     PUBSUB_OK);
    assert_true(number(opts, "publish_timeout") == -1);
    assert_int_equal(pubsub_options_set_int(opts, "nack_delay", PUBSUB_FOREVER, NULL),
                     PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_set_int(opts, "prefetch", 0, NULL), PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_set_bool(opts, "tls", false, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_bool(opts, "tls", &flag), PUBSUB_OK);
    assert_false(flag);
    assert_int_equal(pubsub_options_set_bool(opts, "dispatch", true, NULL), PUBSUB_EOPTION);
    assert_true(number(opts, "prefetch") == 42);
}

static void test_options_getters_know_types(void **state)
{
    int64_t value = 0;
    bool flag = false;
    assert_int_equal(pubsub_options_int(*state, "group", &value), PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_int(*state, "no_such", &value), PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_bool(*state, "prefetch", &flag), PUBSUB_EOPTION);
    assert_null(pubsub_options_get(*state, "no_such"));
}

static void test_options_refuses(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *says;
    } cases[] = {
        {"prefech", "5", "unknown option 'prefech', did you mean 'prefetch'?"},
        {"exchange", "x", "did you mean 'amqp.exchange'?"},
        {"Prefetch", "5", "did you mean 'prefetch'?"},
        {"", "5", "unknown option ''"},
        {"zzzzzzzzzzzz", "5", "unknown option 'zzzzzzzzzzzz'"},
        {"mqtt.keepalive", "5s", "did you mean 'mqtt.keep_alive'?"},
        {"mqqt.keep_alive", "5s", "did you mean 'mqtt.keep_alive'?"},
        {"nothinglike.x", "5s", "there is no adapter 'nothinglike'"},
        {".x", "5", "unknown option '.x'"},
        {"mqtt.", "5", "unknown option 'mqtt.'"},
        {"amqp.zzz", "1", "unknown option 'amqp.zzz'"},
        {"amqp.*", "1", "unknown option 'amqp.*'"},
        {"amqp.x_a", "!", "option 'amqp.x_a': no"},
        {"prefetch", "0", "option 'prefetch': '0' is not in 1..1000000 messages"},
        {"prefetch", "1000001", "is not in 1..1000000 messages"},
        {"prefetch", "99999999999999999999", "is not in 1..1000000 messages"},
        {"prefetch", "many", "is not a whole number"},
        {"prefetch", "", "is not a whole number"},
        {"prefetch", "-1", "is not in 1..1000000"},
        {"qos", "3", "is not in 0..2"},
        {"tls", "maybe", "is not yes or no"},
        {"dispatch", "thred", "is not one of poll|thread, did you mean 'thread'?"},
        {"dispatch", "poll|thread", "is not one of poll|thread"},
        {"dispatch", "", "is not one of poll|thread"},
        {"linger", "5x", "is not a duration such as 250ms"},
        {"linger", "2h", "is not in 0..1m"},
        {"linger", "forever", "is not in 0..1m"},
        {"publish_timeout", "1000d", "is not in 0..366d or forever"},
        {"queue_bytes", "1", "is not in 4k..1T"},
        {"queue_bytes", "x", "is not a size such as"},
        {"group", "", "is empty"},
        {"prefetch", "1\n2", "'1\\n2'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_err rc = pubsub_options_set(*state, cases[i].name, cases[i].value, &err);
        if (rc != PUBSUB_EOPTION || strstr(err.text, cases[i].says) == NULL) {
            fail_msg("%s=%s: %s", cases[i].name, cases[i].value, err.text);
        }
    }
    assert_int_equal(pubsub_options_count(*state), 0);
    assert_int_equal(pubsub_options_set(*state, "group", "\xFF", NULL), PUBSUB_EUTF8);
    assert_int_equal(pubsub_options_set(NULL, "group", "a", NULL), PUBSUB_EINVAL);
    assert_int_equal(pubsub_options_set(*state, NULL, "a", NULL), PUBSUB_EINVAL);
    assert_int_equal(pubsub_options_set(*state, "group", NULL, NULL), PUBSUB_EINVAL);
}

static void test_options_errors_never_show_secrets(void **state)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_options_set(*state, "amqp.token", "hunter2", &err), PUBSUB_EOPTION);
    assert_non_null(strstr(err.text, "amqp.token"));
    assert_null(strstr(err.text, "hunter2"));
}

static void test_options_long_values_are_refused(void **state)
{
    static char value[PUBSUB_OPTION_VALUE_MAX + 2];
    memset(value, 'a', sizeof(value) - 1);
    assert_int_equal(pubsub_options_set(*state, "amqp.x_a", value, NULL), PUBSUB_EOPTION);
    value[PUBSUB_OPTION_VALUE_MAX] = '\0';
    assert_int_equal(pubsub_options_set(*state, "amqp.x_a", value, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(*state, "group", value, NULL), PUBSUB_EOPTION);
}

static void test_options_of_adapters(void **state)
{
    pubsub_options *opts = *state;
    bool secret = false;
    const char *value = NULL;
    set(opts, "mqtt.keep_alive", "10s");
    set(opts, "kafka.anything", "taken as it is");
    set(opts, "amqp.x_own", "1");
    set(opts, "amqp.token", "abc");
    assert_true(number(opts, "mqtt.keep_alive") == 10000);
    assert_true(number(NULL, "mqtt.keep_alive") == 30000);
    assert_string_equal(pubsub_options_get(opts, "kafka.anything"), "taken as it is");
    assert_string_equal(pubsub_options_get(opts, "amqp.exchange"), "amq.topic");
    int64_t none = 0;
    assert_int_equal(pubsub_options_int(opts, "kafka.anything", &none), PUBSUB_EOPTION);
    assert_null(pubsub_option_find("kafka.anything", NULL));
    static const char *const names[] = {"amqp.token", "amqp.x_own", "kafka.anything",
                                        "mqtt.keep_alive"};
    static const bool secrets[] = {true, false, true, false};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(pubsub_options_at(opts, i, &value, &secret), names[i]);
        assert_int_equal(secret, secrets[i]);
    }
    assert_null(pubsub_options_at(opts, 4, &value, &secret));
    assert_null(pubsub_options_at(NULL, 0, NULL, NULL));
    assert_int_equal(pubsub_options_count(NULL), 0);
}

static void test_options_table_has_everything(void **state)
{
    (void)state;
    size_t generic = 0;
    size_t mqtt = 0;
    size_t amqp = 0;
    const pubsub_option_row *row = NULL;
    for (size_t i = 0; (row = pubsub_option_at(i)) != NULL; i++) {
        generic += row->adapter == NULL ? 1 : 0;
        mqtt += row->adapter != NULL && strcmp(row->adapter, "mqtt") == 0 ? 1 : 0;
        amqp += row->adapter != NULL && strcmp(row->adapter, "amqp") == 0 ? 1 : 0;
    }
    assert_true(generic > 30);
    assert_int_equal(mqtt, 3);
    assert_int_equal(amqp, 3);
    assert_ptr_equal(pubsub_option_at(0), &pubsub__generic_options[0]);
}

static void test_options_check_scope(void **state)
{
    pubsub_options *opts = *state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    set(opts, "degrade", "allow");
    set(opts, "prefetch", "5");
    set(opts, "kafka.x", "y");
    assert_int_equal(pubsub_options_check(opts, PUBSUB_SCOPE_CLIENT, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_check(opts, PUBSUB_SCOPE_SUBSCRIBE, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_check(opts, PUBSUB_SCOPE_PUBLISH, &err), PUBSUB_EOPTION);
    assert_string_equal(err.text,
                        "option 'prefetch' belongs to a client or a subscribe, not to a publish");
    assert_int_equal(pubsub_options_check(NULL, PUBSUB_SCOPE_PUBLISH, NULL), PUBSUB_OK);
}

static void test_options_copy_and_merge(void **state)
{
    pubsub_options *opts = *state;
    pubsub_options *copy = NULL;
    set(opts, "prefetch", "5");
    set(opts, "group", "g");
    assert_int_equal(pubsub_options_copy(&copy, opts), PUBSUB_OK);
    set(copy, "prefetch", "6");
    set(copy, "qos", "1");
    assert_true(number(opts, "prefetch") == 5);
    assert_int_equal(pubsub_options_merge(opts, copy), PUBSUB_OK);
    assert_int_equal(pubsub_options_merge(opts, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_merge(opts, opts), PUBSUB_OK);
    assert_true(number(opts, "prefetch") == 6);
    assert_true(number(opts, "qos") == 1);
    assert_string_equal(pubsub_options_get(opts, "group"), "g");
    pubsub_options_free(copy);
    assert_int_equal(pubsub_options_copy(&copy, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_count(copy), 0);
    pubsub_options_free(copy);
    pubsub_options_free(NULL);
}

static void test_options_are_bounded(void **state)
{
    pubsub_options *opts = *state;
    pubsub_options *other = NULL;
    char name[32];
    for (int i = 0; i < PUBSUB_OPTIONS_MAX; i++) {
        snprintf(name, sizeof(name), "kafka.n%d", i);
        set(opts, name, "v");
    }
    assert_int_equal(pubsub_options_set(opts, "kafka.more", "v", NULL), PUBSUB_EOPTION);
    set(opts, "kafka.n7", "again");
    assert_int_equal(pubsub_options_new(&other), PUBSUB_OK);
    set(other, "kafka.n8", "other");
    set(other, "kafka.zzz", "other");
    assert_int_equal(pubsub_options_merge(opts, other), PUBSUB_EOPTION);
    assert_string_equal(pubsub_options_get(opts, "kafka.n8"), "v"); /* nothing changed */
    pubsub_options_free(other);
}

static void test_options_survive_each_failed_allocation(void **state)
{
    pubsub_options *opts = *state;
    set(opts, "prefetch", "5");
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        pubsub_options *copy = NULL;
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = pubsub_options_set(opts, "prefetch", "6", NULL);
        if (rc == PUBSUB_OK) {
            rc = pubsub_options_set(opts, "group", "g", NULL);
        }
        if (rc == PUBSUB_OK) {
            rc = pubsub_options_copy(&copy, opts);
        }
        if (rc == PUBSUB_OK) {
            rc = pubsub_options_merge(opts, copy);
        }
        pubsub__alloc_fail_at(0);
        done = rc == PUBSUB_OK;
        assert_true(done || rc == PUBSUB_ENOMEM);
        int64_t value = number(opts, "prefetch");
        assert_true(value == 5 || value == 6);
        pubsub_options_free(copy);
        pubsub_options_unset(opts, "group");
        set(opts, "prefetch", "5");
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, new_options, free_options)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_options_every_row_is_sound),
        TEST(test_options_defaults),
        TEST(test_options_set_and_get),
        TEST(test_options_set_typed),
        TEST(test_options_getters_know_types),
        TEST(test_options_refuses),
        TEST(test_options_errors_never_show_secrets),
        TEST(test_options_long_values_are_refused),
        TEST(test_options_of_adapters),
        TEST(test_options_table_has_everything),
        TEST(test_options_check_scope),
        TEST(test_options_copy_and_merge),
        TEST(test_options_are_bounded),
        TEST(test_options_survive_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
