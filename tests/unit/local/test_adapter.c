/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include "base/alloc.h"
#include "support/cmocka.h"

#include <stdlib.h>

/* The members of the adapter that need no client. */

typedef struct setup {
    pubsub_url *url;
    pubsub_options *options;
    pubsub_adapter_config config;
} setup;

static void make(setup *s, const char *url)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_url_parse(&s->url, url, &err), PUBSUB_OK);
    assert_int_equal(pubsub_options_new(&s->options), PUBSUB_OK);
    s->config = (pubsub_adapter_config){s->url, s->options};
}

static void set(setup *s, const char *name, const char *value)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_options_set(s->options, name, value, &err), PUBSUB_OK);
}

static void drop(setup *s)
{
    pubsub_url_free(s->url);
    pubsub_options_free(s->options);
}

static void test_adapter_directory(void **state)
{
    (void)state;
    static const struct {
        const char *url, *option, *dir; /* dir NULL: the store chooses */
    } cases[] = {{"local:", NULL, NULL},
                 {"local:///var/bus", NULL, "/var/bus"},
                 {"local:/var/bus", NULL, "/var/bus"},
                 {"local:./bus", NULL, "./bus"},
                 {"local:", "/opt/bus", "/opt/bus"},
                 {"local:/opt/bus", "/opt/bus", "/opt/bus"},
                 {"local:spool", NULL, "/state/pubsub/spool"}};
    (void)setenv("XDG_STATE_HOME", "/state", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup s;
        local_options out;
        char *dir = NULL;
        bool durable = true;
        make(&s, cases[i].url);
        if (cases[i].option != NULL) {
            set(&s, "local.dir", cases[i].option);
        }
        assert_int_equal(pubsub__local_adapter_options(&s.config, &out, &dir, &durable, NULL),
                         PUBSUB_OK);
        assert_false(durable);
        if (cases[i].dir == NULL) {
            assert_null(out.dir);
        } else {
            assert_non_null(out.dir);
            assert_string_equal(out.dir, cases[i].dir);
        }
        pubsub__free(dir);
        drop(&s);
    }
    (void)unsetenv("XDG_STATE_HOME");
}

static void test_adapter_two_directories_are_one_too_many(void **state)
{
    (void)state;
    setup s;
    local_options out;
    char *dir = NULL;
    bool durable;
    pubsub_error err = PUBSUB_ERROR_INIT;
    make(&s, "local:/one");
    set(&s, "local.dir", "/two");
    assert_int_equal(pubsub__local_adapter_options(&s.config, &out, &dir, &durable, &err),
                     PUBSUB_EOPTION);
    assert_non_null(strstr(err.text, "/two"));
    assert_null(dir);
    drop(&s);
}

static void test_adapter_options(void **state)
{
    (void)state;
    setup s;
    local_options out;
    char *dir = NULL;
    bool durable = false;
    make(&s, "local:/bus");
    assert_int_equal(pubsub__local_adapter_options(&s.config, &out, &dir, &durable, NULL),
                     PUBSUB_OK);
    assert_int_equal(out.max_bytes, 0); /* unset: whatever the bus has */
    assert_int_equal(out.max_age_s, 0);
    assert_int_equal(out.full, LOCAL_FULL_KEEP);
    pubsub__free(dir);
    dir = NULL;
    set(&s, "local.max_bytes", "64M");
    set(&s, "local.max_age", "90m");
    set(&s, "local.full", "reject");
    set(&s, "local.segment_bytes", "1M");
    set(&s, "local.sync", "durable");
    assert_int_equal(pubsub__local_adapter_options(&s.config, &out, &dir, &durable, NULL),
                     PUBSUB_OK);
    assert_true(durable);
    assert_int_equal(out.max_bytes, 64u << 20);
    assert_int_equal(out.max_age_s, 5400);
    assert_int_equal(out.full, LOCAL_FULL_REJECT);
    assert_int_equal(out.segment_bytes, 1u << 20);
    pubsub__free(dir);
    dir = NULL;
    set(&s, "local.max_age", "forever");
    assert_int_equal(pubsub__local_adapter_options(&s.config, &out, &dir, &durable, NULL),
                     PUBSUB_OK);
    assert_int_equal(out.max_age_s, -1);
    pubsub__free(dir);
    drop(&s);
}

static void test_adapter_confirms_what_sync_says(void **state)
{
    (void)state;
    setup s;
    pubsub_caps caps;
    make(&s, "local:");
    assert_int_equal(pubsub__local_adapter_caps(&s.config, &caps, NULL), PUBSUB_OK);
    assert_int_equal(caps.confirm, PUBSUB_CONFIRM_WRITTEN);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        assert_non_null(caps.features[i].note);
    }
    set(&s, "local.sync", "durable");
    assert_int_equal(pubsub__local_adapter_caps(&s.config, &caps, NULL), PUBSUB_OK);
    assert_int_equal(caps.confirm, PUBSUB_CONFIRM_DURABLE);
    drop(&s);
}

static void test_adapter_negotiates_combinations(void **state)
{
    (void)state;
    const uint64_t asked = PUBSUB_BIT(PUBSUB_FEATURE_NACK_DELAY) |
                           PUBSUB_BIT(PUBSUB_FEATURE_ATTEMPTS) | PUBSUB_BIT(PUBSUB_FEATURE_RETAIN);
    const struct {
        const char *group, *durable;
        uint64_t emulated, refused;
    } cases[] = {
        {"", "", PUBSUB_BIT(PUBSUB_FEATURE_NACK_DELAY) | PUBSUB_BIT(PUBSUB_FEATURE_ATTEMPTS), 0},
        {"g", "", 0, PUBSUB_BIT(PUBSUB_FEATURE_RETAIN)},
        {"", "d", 0, PUBSUB_BIT(PUBSUB_FEATURE_RETAIN)},
        {"g", "d", 0, PUBSUB_BIT(PUBSUB_FEATURE_RETAIN)}};
    setup s;
    pubsub_caps caps;
    make(&s, "local:");
    assert_int_equal(pubsub__local_adapter_caps(&s.config, &caps, NULL), PUBSUB_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub_subscribe_request subscribe = {.group = cases[i].group, .durable = cases[i].durable};
        pubsub_request request = {asked, &subscribe};
        pubsub_answer answer = {asked, 0, 0, ""};
        assert_int_equal(pubsub__local_adapter_negotiate(&s.config, &caps, &request, &answer, NULL),
                         PUBSUB_OK);
        assert_int_equal(answer.emulated, cases[i].emulated);
        assert_int_equal(answer.refused, cases[i].refused);
        assert_int_equal(answer.native | answer.emulated | answer.refused, asked);
        assert_true((answer.refused != 0) == (answer.why[0] != '\0'));
    }
    /* A retained publish is another matter. */
    pubsub_request publish = {PUBSUB_BIT(PUBSUB_FEATURE_RETAIN), NULL};
    pubsub_answer answer = {publish.features, 0, 0, ""};
    assert_int_equal(pubsub__local_adapter_negotiate(&s.config, &caps, &publish, &answer, NULL),
                     PUBSUB_OK);
    assert_int_equal(answer.native, publish.features);
    drop(&s);
}

static void test_adapter_checks_sizes(void **state)
{
    (void)state;
    setup s;
    pubsub_caps caps;
    make(&s, "local:");
    assert_int_equal(pubsub__local_adapter_caps(&s.config, &caps, NULL), PUBSUB_OK);
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pubsub_header header = {{"name", 4}, {"", 100}};
    pub.topic = (pubsub_bytes){"t", 1};
    pub.payload = (pubsub_bytes){"", caps.max_payload};
    assert_int_equal(pubsub__local_adapter_check(&s.config, &caps, &pub, NULL), PUBSUB_OK);
    pub.headers = &header;
    pub.header_count = 1;
    assert_int_equal(pubsub__local_adapter_check(&s.config, &caps, &pub, NULL), PUBSUB_ETOOBIG);
    pub.payload.len = 0;
    assert_int_equal(pubsub__local_adapter_check(&s.config, &caps, &pub, NULL), PUBSUB_OK);
    pub.key = (pubsub_bytes){"", LOCAL_KEY_MAX + 1};
    assert_int_equal(pubsub__local_adapter_check(&s.config, &caps, &pub, NULL), PUBSUB_ETOOBIG);
    drop(&s);
}

static void test_adapter_positions(void **state)
{
    (void)state;
    pubsub_position position, back;
    char text[64], tight[5];
    position = pubsub__local_adapter_position((local_position){3, 4096});
    assert_int_equal(pubsub__local_adapter_position_text(&position, text, sizeof(text)), 7);
    assert_string_equal(text, "e3-4096");
    assert_int_equal(pubsub__local_adapter_position_text(&position, tight, sizeof(tight)), 7);
    assert_string_equal(tight, "e3-4");
    assert_int_equal(pubsub__local_adapter_position_text(&position, NULL, 0), 7);
    assert_int_equal(pubsub__local_adapter_position_parse("e3-4096", &back, NULL), PUBSUB_OK);
    assert_int_equal(back.word[0], 3);
    assert_int_equal(back.word[1], 4096);
    assert_ptr_equal(back.adapter, position.adapter);
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub__local_adapter_position_parse("yesterday", &back, &err),
                     PUBSUB_EOPTION);
    assert_non_null(strstr(err.text, "yesterday"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapter_directory),
        cmocka_unit_test(test_adapter_two_directories_are_one_too_many),
        cmocka_unit_test(test_adapter_options),
        cmocka_unit_test(test_adapter_confirms_what_sync_says),
        cmocka_unit_test(test_adapter_negotiates_combinations),
        cmocka_unit_test(test_adapter_checks_sizes),
        cmocka_unit_test(test_adapter_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
