/* SPDX-License-Identifier: MIT */
/* Options, settings of librdkafka by their own names, positions, URLs. */
#include <pubsub/pubsub.h>

#include "support/cmocka.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static pubsub_err set(const char *name, const char *value, pubsub_error *error)
{
    pubsub_options *options = NULL;
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    pubsub_err rc = pubsub_options_set(options, name, value, error);
    pubsub_options_free(options);
    return rc;
}

static void test_settings_are_librdkafkas(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *says; /* NULL = taken */
    } rows[] = {
        {"kafka.linger.ms", "3", NULL},
        {"kafka.linger.ms", "soon", "linger"},
        {"kafka.acks", "all", NULL},
        {"kafka.compression.codec", "lz4", NULL},
        {"kafka.compression.codec", "lz5", "compression.codec"},
        {"kafka.session.timeout.ms", "6000", NULL},
        {"kafka.sasl.mechanism", "SCRAM-SHA-256", NULL},
        {"kafka.lingr.ms", "3", "did you mean 'kafka.linger.ms'"},
        {"kafka.partition", "3", "did you mean 'kafka.partitions'"},
        {"kafka.group.id", "g", "group or durable"},
        {"kafka.enable.auto.commit", "true", "handler succeeded"},
        {"kafka.bootstrap.servers", "h", "hosts are those of the URL"},
        {"kafka.sasl.password", "p", "password"},
        {"kafka.dr_msg_cb", "x", "it is a function"},
        {"kafka.plugin.library.paths", "x.so", "no code is loaded"},
        {"kafka.partitions", "0", "partitions"},
        {"kafka.keyless", "spread", NULL},
        {"kafka.keyless", "yes", "topic|spread"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_err rc = set(rows[i].name, rows[i].value, &error);
        assert_int_equal(rc, rows[i].says == NULL ? PUBSUB_OK : PUBSUB_EOPTION);
        if (rows[i].says != NULL && strstr(error.text, rows[i].says) == NULL) {
            fail_msg("%s: '%s' does not say '%s'", rows[i].name, error.text, rows[i].says);
        }
    }
}

static void test_settings_secrets_stay_secret(void **state)
{
    static const char *const names[] = {"kafka.ssl.key.password", "kafka.ssl.keystore.password",
                                        "kafka.sasl.oauthbearer.client.secret"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        const pubsub_option_row *row = pubsub_option_find(names[i], NULL);
        assert_non_null(row);
        assert_true(row->secret);
    }
}

static void test_settings_what_cannot_work_is_told_when_a_client_opens(void **state)
{
    static const struct {
        const char *url;
        pubsub_err code;
        const char *says;
    } rows[] = {
        {"kafka://h/topic", PUBSUB_EURL, "no path"},
        {"kafka://h/?socket=/run/x", PUBSUB_EOPTION, "no Unix sockets"},
        {"kafka+ssl://h/?tls_server_name=x", PUBSUB_EOPTION, "host's name only"},
        {"kafka://h/?kafka.acks=1&kafka.max.in.flight=5", PUBSUB_OK, ""},
        {"kafka://h,i:9093,[::1]:9094", PUBSUB_OK, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_client *client = NULL;
        assert_int_equal(pubsub_client_new(&client, rows[i].url, NULL, &error), rows[i].code);
        assert_non_null(strstr(error.text, rows[i].says));
        pubsub_client_free(client);
    }
}

static void test_settings_limits_follow_the_url(void **state)
{
    pubsub_caps caps;
    (void)state;
    memset(&caps, 0, sizeof(caps));
    assert_int_equal(pubsub_caps_offline("kafka://h", NULL, &caps, NULL), PUBSUB_OK);
    assert_int_equal(caps.max_topic, 249);
    assert_true(caps.max_payload > 999000 && caps.max_payload < 1000000);
    assert_int_equal(
        pubsub_caps_offline("kafka://h/?topic=all&kafka.message.max.bytes=2000", NULL, &caps, NULL),
        PUBSUB_OK);
    assert_int_equal(caps.max_topic, PUBSUB_TOPIC_MAX);
    assert_true(caps.max_payload < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_are_librdkafkas),
        cmocka_unit_test(test_settings_secrets_stay_secret),
        cmocka_unit_test(test_settings_what_cannot_work_is_told_when_a_client_opens),
        cmocka_unit_test(test_settings_limits_follow_the_url),
    };
    return cmocka_run_group_tests_name("kafka_settings", tests, NULL, NULL);
}
