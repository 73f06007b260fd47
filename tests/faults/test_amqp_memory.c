/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/net.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Memory is short at one moment of a client's life, at each in turn: that is an error, a connection that is
 * lost and comes back soon, or nothing at all; nobody waits in vain, and nothing stays behind. */

enum { PATTERNS = 60, SIZE = 500000, WAIT = 4000 };

static const char *patterns[PATTERNS];
static char texts[PATTERNS][250];
static char payload[SIZE];

static int handler(void *ctx, pubsub_message *message)
{
    (void)ctx;
    (void)message;
    return 0;
}

/* Binding keys that do not fit into the first buffer, and a body in several frames. */
static pubsub_err use_everything(const char *url, const pubsub_options *options)
{
    pubsub_client *client = NULL;
    pubsub_subscription *sub = NULL;
    pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
    publication.topic = pubsub_bytes_of(patterns[0]);
    publication.payload = (pubsub_bytes){payload, SIZE};
    pubsub_err rc = pubsub_client_new(&client, url, options, NULL);
    if (rc == PUBSUB_OK) {
        rc = pubsub_client_connect(client, NULL);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub_client_subscribe_set(client, patterns, PATTERNS, NULL, handler, NULL, &sub,
                                         NULL);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub_subscription_wait(sub, kit_ms(WAIT), NULL, NULL);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub_client_publish_wait(client, &publication, kit_ms(WAIT), NULL, NULL);
        (void)pubsub_client_poll(client, 0, NULL);
    }
    pubsub_subscription_free(sub);
    if (client != NULL) {
        (void)pubsub_client_end(client, 1000, NULL);
        pubsub_client_free(client);
    }
    return rc;
}

static void test_amqp_memory_at_every_moment(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    pubsub_options *options = NULL;
    for (size_t i = 0; i < PATTERNS; i++) {
        int len = snprintf(texts[i], sizeof(texts[i]), "memory/%zu/", i);
        memset(texts[i] + len, 'a', sizeof(texts[i]) - 1 - (size_t)len);
        patterns[i] = texts[i];
    }
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "reconnect_min", "1ms", NULL), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "reconnect_max", "5ms", NULL), PUBSUB_OK);
    uint64_t before = pubsub__alloc_count();
    assert_int_equal(use_everything(url, options), PUBSUB_OK);
    uint64_t count = pubsub__alloc_count() - before;
    assert_true(count > 50);
    int64_t live = pubsub__alloc_live();
    for (uint64_t nth = 1; nth <= count + 5; nth++) {
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = use_everything(url, options);
        pubsub__alloc_fail_at(0);
        assert_int_not_equal(rc, PUBSUB_ETIMEDOUT);
        assert_int_equal(pubsub__alloc_live(), live);
    }
    pubsub_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amqp_memory_at_every_moment),
    };
    return cmocka_run_group_tests_name("amqp_memory", tests, NULL, NULL);
}
