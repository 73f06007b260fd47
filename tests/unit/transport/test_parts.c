/* SPDX-License-Identifier: MIT */
/* The parts below a transport that need no client: targets, the queue, look-ups. */
#include "support/cmocka.h"
#include "support/net.h"
#include "support/wait.h"

#include "base/alloc.h"
#include "options/resolve.h"
#include "transport/lookup.h"
#include "transport/queue.h"
#include "transport/target.h"

#include <poll.h>
#include <stdlib.h>

/* ---- targets ---- */

typedef struct place {
    pubsub_url *url;
    pubsub_options *options;
    pubsub_adapter_config config;
} place;

static void place_open(place *p, const char *url, const char *options)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_options *given = kit_options(options);
    KIT_OK(pubsub_url_parse(&p->url, url, &err), &err);
    pubsub_err rc = pubsub__options_resolve(&p->options, p->url, "local", false, given, &err);
    pubsub_options_free(given);
    KIT_OK(rc, &err);
    p->config.url = p->url;
    p->config.options = p->options;
}

static void place_close(place *p)
{
    pubsub_options_free(p->options);
    pubsub_url_free(p->url);
}

static void test_parts_targets_of_urls(void **state)
{
    static const struct {
        const char *url, *options;
        size_t index, count;
        const char *text, *name;
    } cases[] = {
        {"mqtt://broker", "", 0, 1, "broker:99", "broker"},
        {"mqtt://broker:1234/x", "", 0, 1, "broker:1234", "broker"},
        {"mqtt://[::1]:5", "", 0, 1, "[::1]:5", "::1"},
        {"mqtt://a,b:7,[fe80::1%25eth0]", "", 0, 3, "a:99", "a"},
        {"mqtt://a,b:7,[fe80::1%25eth0]", "", 1, 3, "b:7", "b"},
        {"mqtt://a,b:7,[fe80::1%25eth0]", "", 2, 3, "[fe80::1%eth0]:99", "fe80::1%eth0"},
        {"mqtt://a,b:7", "port=8", 0, 2, "a:8", "a"},
        {"mqtt:", "", 0, 1, "localhost:99", "localhost"},
        {"mqtt:", "host=h port=3", 0, 1, "h:3", "h"},
        {"mqtt://broker?port=12", "", 0, 1, "broker:12", "broker"},
        {"mqtt://%2Frun%2Fx.sock", "", 0, 1, "/run/x.sock", NULL},
        {"mqtt://a,%2Frun%2Fx.sock", "", 1, 2, "/run/x.sock", NULL},
        {"mqtt:?socket=/run/x.sock", "", 0, 1, "/run/x.sock", NULL},
        {"mqtt://broker?socket=/run/x.sock", "", 0, 1, "/run/x.sock", "broker"},
        {"mqtt://broker", "tls_server_name=n", 0, 1, "broker:99", "n"},
        {"mqtt:?socket=/run/x.sock", "tls_server_name=n", 0, 1, "/run/x.sock", "n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        place p;
        char text[PUBSUB__PEER_MAX];
        place_open(&p, cases[i].url, cases[i].options);
        assert_int_equal(pubsub__target_count(&p.config), cases[i].count);
        pubsub__target target = pubsub__target_at(&p.config, cases[i].index, 99);
        pubsub__target_text(&target, text);
        assert_string_equal(text, cases[i].text);
        if (cases[i].name == NULL) {
            assert_null(target.name);
        } else {
            assert_string_equal(target.name, cases[i].name);
        }
        assert_int_equal(pubsub__target_check(&p.config, NULL), PUBSUB_OK);
        place_close(&p);
    }
}

static void test_parts_targets_that_cannot_be(void **state)
{
    static const struct {
        const char *url, *options, *says;
    } cases[] = {
        {"mqtt:?socket=run/x.sock", "", "absolute path"},
        {"mqtt://a,b?socket=/run/x.sock", "", "several hosts"},
        {"mqtt:?socket=/run/x.sock", "tls=yes", "tls_server_name"},
        {"mqtt://%2Frun%2Fx.sock", "tls=yes", "tls_server_name"},
        {"mqtt://%2F1234567890123456789012345678901234567890123456789012345678901234567890123456"
         "7890123456789012345678901234567890",
         "", "at most 107 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        place p;
        pubsub_error err = PUBSUB_ERROR_INIT;
        place_open(&p, cases[i].url, cases[i].options);
        KIT_ERR(PUBSUB_EOPTION, pubsub__target_check(&p.config, &err));
        KIT_SAYS(err.text, cases[i].says);
        place_close(&p);
    }
}

/* ---- the queue ---- */

static void test_parts_queue_is_first_in_first_out(void **state)
{
    pubsub__queue queue;
    unsigned char in = 0;
    unsigned char out = 0;
    unsigned state_of = 1;
    (void)state;
    pubsub__queue_init(&queue, 10000);
    for (int step = 0; step < 20000; step++) {
        unsigned char bytes[700];
        state_of = state_of * 1103515245u + 12345u;
        size_t len = (state_of >> 16) % sizeof(bytes);
        if ((state_of >> 8) % 2 == 0) {
            size_t room = pubsub__queue_room(&queue);
            len = len < room ? len : room;
            for (size_t i = 0; i < len; i++) {
                bytes[i] = in++;
            }
            assert_true(pubsub__queue_add(&queue, bytes, len));
        } else {
            pubsub_bytes waits = pubsub__queue_bytes(&queue);
            len = len < waits.len ? len : waits.len;
            for (size_t i = 0; i < len; i++) {
                assert_int_equal(((const unsigned char *)waits.data)[i], out);
                out++;
            }
            pubsub__queue_drop(&queue, len);
        }
        assert_in_range(queue.len, 0, 10000);
        assert_in_range(queue.cap, 0, 20000);
    }
    pubsub__queue_fini(&queue);
}

static void test_parts_queue_gives_memory_back(void **state)
{
    pubsub__queue queue;
    size_t size = 1u << 20;
    char *bytes = calloc(1, size);
    (void)state;
    assert_non_null(bytes);
    pubsub__queue_init(&queue, size);
    assert_true(pubsub__queue_add(&queue, bytes, size));
    assert_int_equal(pubsub__queue_room(&queue), 0);
    pubsub__queue_drop(&queue, size);
    assert_int_equal(queue.cap, 0);
    assert_int_equal(pubsub__queue_room(&queue), size);
    pubsub__alloc_fail_at(1);
    assert_false(pubsub__queue_add(&queue, bytes, 1));
    pubsub__alloc_fail_at(0);
    assert_int_equal(queue.len, 0);
    pubsub__queue_fini(&queue);
    free(bytes);
}

/* ---- look-ups ---- */

static void test_parts_literal_addresses_need_no_lookup(void **state)
{
    pubsub__addresses found;
    (void)state;
    assert_true(pubsub__lookup_literal("127.0.0.1", 5, &found));
    assert_int_equal(found.count, 1);
    assert_true(pubsub__lookup_literal("::1", 5, &found));
    assert_int_equal(found.items[0].at.ss_family, AF_INET6);
    assert_false(pubsub__lookup_literal("localhost", 5, &found));
    assert_false(pubsub__lookup_literal("", 5, &found));
}

static void test_parts_many_lookups_are_answered(void **state)
{
    pubsub__lookup *all[40]; /* more than there are threads */
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        all[i] = pubsub__lookup_start("localhost", 7);
        assert_non_null(all[i]);
    }
    for (size_t i = 0; i < 40; i++) {
        struct pollfd wait = {pubsub__lookup_fd(all[i]), POLLIN, 0};
        pubsub__addresses found;
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(poll(&wait, 1, (int)kit_ms(KIT_PATIENCE)), 1);
        KIT_OK(pubsub__lookup_result(all[i], &found, &err), &err);
        assert_in_range(found.count, 1, PUBSUB__ADDRESSES_MAX);
        pubsub__lookup_free(all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_targets_of_urls),
        cmocka_unit_test(test_parts_targets_that_cannot_be),
        cmocka_unit_test(test_parts_queue_is_first_in_first_out),
        cmocka_unit_test(test_parts_queue_gives_memory_back),
        cmocka_unit_test(test_parts_literal_addresses_need_no_lookup),
        cmocka_unit_test(test_parts_many_lookups_are_answered),
    };
    kit_watchdog("test_parts", 60000);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
