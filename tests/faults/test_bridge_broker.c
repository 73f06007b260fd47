/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "support/broker.h"
#include "support/cmocka.h"
#include "support/wait.h"

#include <stdio.h>
#include <string.h>

/* The broker that a route leads to is killed, and paused, while messages are on their way. Whatever was
 * told to the route arrives, and the messages that come twice are those that were in flight. */

enum { LAST = 3000, KILLS = 3, IN_FLIGHT = 50 };

typedef struct tally {
    pubsub_client *client;
    pubsub_subscription *subscription;
    unsigned seen[LAST + 1];
    uint64_t different;
    uint64_t again;
} tally;

static void listen_at(tally *all, const char *url)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_options *options = NULL;
    memset(all, 0, sizeof *all);
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "reconnect_max", "100ms", &err), PUBSUB_OK);
    assert_int_equal(pubsub_client_new(&all->client, url, options, &err), PUBSUB_OK);
    pubsub_options_free(options);
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "durable", "listener", &err), PUBSUB_OK);
    assert_int_equal(
        pubsub_client_subscribe(all->client, "t/#", options, NULL, NULL, &all->subscription, &err),
        PUBSUB_OK);
    pubsub_options_free(options);
    assert_int_equal(pubsub_subscription_wait(all->subscription, kit_ms(KIT_PATIENCE), NULL, &err),
                     PUBSUB_OK);
}

static void take_what_came(tally *all)
{
    pubsub_message *message = NULL;
    while (pubsub_subscription_next(all->subscription, 0, &message, NULL) == PUBSUB_OK) {
        uint64_t number = scripted_number(message);
        if (number >= 1 && number <= LAST) {
            *(all->seen[number]++ == 0 ? &all->different : &all->again) += 1;
        }
        (void)pubsub_message_ack(message);
        pubsub_message_unref(message);
    }
}

/* Run until so many are confirmed, or so many have arrived. */
static void run_until(scripted_bridge *b, tally *all, uint64_t published, uint64_t different)
{
    kit_deadline deadline = kit_in(6 * (int64_t)KIT_PATIENCE);
    while (scripted_view(b).published < published || all->different < different) {
        (void)pubsub_host_run(b->host, 1);
        take_what_came(all);
        if (kit_over(deadline)) {
            fail_msg("%llu published, %llu arrived; %s",
                     (unsigned long long)scripted_view(b).published,
                     (unsigned long long)all->different, b->last_error);
        }
    }
}

static void kill_broker(const char *kind, const char *variant, const char *scheme)
{
    static tally all;
    static char url[512];
    scripted_bridge b;
    kit_broker *broker = kit_broker_start(kind, variant);
    const char *plain = kit_broker_url(broker);
    const char *rest = strstr(plain, "://");
    (void)snprintf(url, sizeof url, "%s%s%sreconnect_min=10ms&reconnect_max=100ms", scheme,
                   rest != NULL ? rest : plain, strchr(plain, '?') != NULL ? "&" : "?");
    scripted_bridge_init(&b, &scripted_replays);
    b.broker.url = url;
    b.route[0].in_flight = IN_FLIGHT;
    listen_at(&all, url);
    scripted.last = LAST;
    scripted.endless = true;
    scripted_run(&b);
    for (unsigned i = 1; i <= KILLS; i++) {
        run_until(&b, &all, LAST / (KILLS + 1) * i, 0);
        kit_broker_kill(broker);
        scripted_until(&b, scripted_is_waiting);
        assert_false(bridge_engine_ready(b.engine));
        kit_broker_restart(broker);
        scripted_until(&b, scripted_is_active);
    }
    run_until(&b, &all, LAST, LAST);
    print_message("             %d kills of %s: 0 lost, %llu again\n", KILLS, kind,
                  (unsigned long long)all.again);
    scripted_stop(&b);
    (void)pubsub_client_end(all.client, 1000, NULL);
    pubsub_subscription_free(all.subscription);
    pubsub_client_free(all.client);
    scripted_bridge_fini(&b);
    kit_broker_stop(broker);
}

static void test_kill_redis(void **state)
{
    (void)state;
    kill_broker("redis", "aof-always", "redis+streams");
}

static void test_kill_rabbitmq(void **state)
{
    (void)state;
    kill_broker("rabbitmq", NULL, "amqp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_redis),
        cmocka_unit_test(test_kill_rabbitmq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
