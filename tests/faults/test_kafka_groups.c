/* SPDX-License-Identifier: MIT */
/* Groups of Kafka while members come and go, are killed, stand still, and while the broker ends and its topics
 * vanish. What was confirmed comes; twice only after what was not planned. */
#include "kafka/map.h"

#include "support/broker.h"
#include "support/child.h"
#include "support/net.h"
#include "support/tempdir.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUICK "kafka.session.timeout.ms=6000 kafka.partitions=6"

enum { KEYS = 24, MEMBERS_MAX = 8 };

static kit_net net;
static kit_broker *broker;
static kit_child child;

static int set_up(void **state)
{
    (void)state;
    kit_net_init(&net, KIT_DISPATCH);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_child_end(&child);
    kit_net_fini(&net);
    return 0;
}

static int start(void **state)
{
    (void)state;
    broker = kit_broker_start("kafka", "generous");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    kit_broker_stop(broker);
    return 0;
}

/* ---- what came ------------------------------------------------------------------------------------ */

/* Messages are "KEY NUMBER", numbers of a key grow. Handlers of several members write here. */
typedef struct tally {
    pthread_mutex_t lock;
    size_t each; /* per key */
    unsigned char *seen;
    size_t different, again,
        late; /* late: a smaller number of the key came after a greater one, for the first time */
    size_t newest[KEYS];
} tally;

static void tally_init(tally *all, size_t each)
{
    memset(all, 0, sizeof(*all));
    pthread_mutex_init(&all->lock, NULL);
    all->each = each;
    all->seen = calloc(KEYS * each, 1);
    assert_non_null(all->seen);
}

static void tally_fini(tally *all)
{
    free(all->seen);
    pthread_mutex_destroy(&all->lock);
}

static void tally_add(tally *all, const char *text)
{
    unsigned key = 0;
    size_t number = 0;
    if (sscanf(text, "%u %zu", &key, &number) != 2 || key >= KEYS || number >= all->each) {
        return;
    }
    pthread_mutex_lock(&all->lock);
    unsigned char *seen = &all->seen[key * all->each + number];
    if (*seen > 0) {
        all->again++;
    } else {
        all->different++;
        all->late += number + 1 < all->newest[key] ? 1 : 0;
        all->newest[key] = number + 1 > all->newest[key] ? number + 1 : all->newest[key];
    }
    *seen = 1;
    pthread_mutex_unlock(&all->lock);
}

static size_t tally_different(tally *all)
{
    pthread_mutex_lock(&all->lock);
    size_t different = all->different;
    pthread_mutex_unlock(&all->lock);
    return different;
}

static int note(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    char text[40] = "";
    pubsub_bytes payload = pubsub_message_payload(message);
    (void)copy;
    memcpy(text, payload.data, payload.len < sizeof(text) ? payload.len : sizeof(text) - 1);
    tally_add(sub->ctx, text);
    return 0;
}

/* ---- who writes ------------------------------------------------------------------------------------- */

typedef struct load {
    pthread_t thread;
    kit_peer *peer;
    const char *topic;
    size_t each;
    int rests; /* between two rounds */
    pubsub_err result;
} load;

static void *write_all(void *ctx)
{
    load *me = ctx;
    for (size_t number = 0; number < me->each && me->result == PUBSUB_OK; number++) {
        for (unsigned key = 0; key < KEYS && me->result == PUBSUB_OK; key++) {
            char text[40];
            char name[16];
            (void)snprintf(text, sizeof(text), "%u %zu", key, number);
            (void)snprintf(name, sizeof(name), "key%u", key);
            pubsub_publication pub = kit_publication(me->topic, text);
            pub.key = pubsub_bytes_of(name);
            me->result = pubsub_client_publish(me->peer->client, &pub, kit_ms(60000), NULL);
        }
        for (int i = 0; i < me->rests; i++) {
            kit_breathe();
        }
    }
    return NULL;
}

static void load_start(load *me, const char *topic, size_t each, int rests)
{
    *me = (load){.topic = topic, .each = each, .rests = rests, .result = PUBSUB_OK};
    me->peer = kit_peer_new(&net, kit_broker_url(broker), QUICK);
    assert_int_equal(pthread_create(&me->thread, NULL, write_all, me), 0);
}

static void load_join(load *me)
{
    (void)pthread_join(me->thread, NULL);
    KIT_ERR(PUBSUB_OK, me->result);
    kit_flush(me->peer);
}

static kit_sub *member(const char *topic, const char *group, tally *all)
{
    char options[128];
    (void)snprintf(options, sizeof(options), "group=%s durable=%s", group, group);
    return kit_subscribe_with(kit_peer_new(&net, kit_broker_url(broker), QUICK), topic, options,
                              note, all);
}

#define AWAIT_LONG(cond)                                                                           \
    do {                                                                                           \
        kit_deadline until_ = kit_in(6 * (int64_t)KIT_PATIENCE);                                   \
        while (!(cond)) {                                                                          \
            if (kit_over(until_)) {                                                                \
                fail_msg("waited in vain for: %s", #cond);                                         \
            }                                                                                      \
            kit_turn(&net);                                                                        \
        }                                                                                          \
    } while (0)

/* ---- planned ------------------------------------------------------------------------------------------ */

static void test_kafka_members_come_and_go(void **state)
{
    enum { EACH = 400 };
    tally all;
    load writer;
    kit_sub *members[MEMBERS_MAX];
    (void)state;
    tally_init(&all, EACH);
    members[0] = member("come/go", "come", &all);
    load_start(&writer, "come/go", EACH, 10);
    for (size_t i = 1; i < 4; i++) {
        size_t before = tally_different(&all);
        members[i] = member("come/go", "come", &all);
        KIT_AWAIT(&net, tally_different(&all) > before + 50);
    }
    for (size_t i = 0; i < 2; i++) {
        size_t before = tally_different(&all);
        KIT_OK(pubsub_client_end(members[i]->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        KIT_AWAIT(&net, tally_different(&all) > before + 50 ||
                            tally_different(&all) == (size_t)EACH * KEYS);
    }
    load_join(&writer);
    AWAIT_LONG(tally_different(&all) == (size_t)EACH * KEYS);
    print_message("come and go: %zu twice, %zu late\n", all.again, all.late);
    assert_int_equal(all.again, 0);
    assert_int_equal(all.late, 0);
    tally_fini(&all);
}

/* ---- not planned ---------------------------------------------------------------------------------------- */

static void consume_here(tally *all, kit_child *from, size_t *count)
{
    char line[80];
    while (kit_child_line(from, line, sizeof(line), 1)) {
        if (strncmp(line, "got ", 4) == 0) {
            tally_add(all, line + 4);
            (*count)++;
        }
    }
}

/* Role: take part in a group, acknowledge what was said. */
static int take_part(int argc, char **argv)
{
    pubsub_client *client = NULL;
    pubsub_subscription *sub = NULL;
    pubsub_options *own = kit_options(QUICK);
    pubsub_options *options = kit_options(argc > 2 ? argv[2] : "");
    if (pubsub_client_new(&client, argv[0], own, NULL) != PUBSUB_OK ||
        pubsub_client_subscribe(client, argv[1], options, NULL, NULL, &sub, NULL) != PUBSUB_OK ||
        pubsub_subscription_wait(sub, kit_ms(2 * KIT_PATIENCE), NULL, NULL) != PUBSUB_OK) {
        return 90;
    }
    kit_say("ready");
    for (;;) {
        pubsub_message *message = NULL;
        if (pubsub_subscription_next(sub, kit_ms(6 * KIT_PATIENCE), &message, NULL) != PUBSUB_OK) {
            return 91;
        }
        pubsub_bytes payload = pubsub_message_payload(message);
        kit_say("got %.*s", (int)payload.len, (const char *)payload.data);
        (void)pubsub_message_ack(message);
        pubsub_message_unref(message);
    }
}

static void start_child(const char *topic, const char *options)
{
    const char *const arguments[] = {kit_broker_url(broker), topic, options, NULL};
    kit_child_start(&child, "take_part", arguments);
    assert_true(kit_child_expect(&child, "ready", 2 * KIT_PATIENCE));
}

/* One member in another process is stopped by a signal while messages flow. */
static void lose_a_member(const char *name, int signal_number)
{
    enum { EACH = 300 };
    tally all;
    load writer;
    size_t theirs = 0;
    char options[96];
    tally_init(&all, EACH);
    (void)snprintf(options, sizeof(options), "group=%s durable=%s", name, name);
    (void)member(name, name, &all);
    start_child(name, options);
    load_start(&writer, name, EACH, 10);
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (theirs < 200 && !kit_over(until)) {
        consume_here(&all, &child, &theirs);
    }
    assert_true(theirs >= 200);
    kit_child_signal(&child, signal_number);
    load_join(&writer);
    kit_deadline end = kit_in(6 * (int64_t)KIT_PATIENCE);
    while (tally_different(&all) < (size_t)EACH * KEYS && !kit_over(end)) {
        consume_here(&all, &child, &theirs);
        kit_turn(&net);
    }
    print_message("%s: %zu of %d, %zu twice\n", name, tally_different(&all), EACH * KEYS,
                  all.again);
    assert_int_equal(tally_different(&all), EACH * KEYS);
    if (signal_number == SIGSTOP) { /* it comes back to a group that has gone on */
        kit_child_signal(&child, SIGCONT);
        kit_peer *peer = kit_peer_new(&net, kit_broker_url(broker), QUICK);
        (void)kit_store_text(peer, name, "end");
    }
    kit_child_signal(&child, SIGKILL);
    tally_fini(&all);
}

static void test_kafka_a_member_is_killed(void **state)
{
    (void)state;
    lose_a_member("killed", SIGKILL);
}

static void test_kafka_a_member_stands_still(void **state)
{
    (void)state;
    lose_a_member("still", SIGSTOP);
}

/* ---- the broker -------------------------------------------------------------------------------------------- */

static void test_kafka_the_broker_restarts(void **state)
{
    enum { EACH = 200 };
    tally all;
    tally plain;
    load writer;
    (void)state;
    tally_init(&all, EACH);
    tally_init(&plain, EACH);
    (void)member("restart", "restart", &all);
    (void)member("restart", "restart", &all);
    (void)kit_subscribe_with(kit_peer_new(&net, kit_broker_url(broker), QUICK), "restart", NULL,
                             note, &plain);
    load_start(&writer, "restart", EACH, 10);
    KIT_AWAIT(&net, tally_different(&all) > 500 && tally_different(&plain) > 500);
    kit_broker_restart(broker);
    load_join(&writer);
    AWAIT_LONG(tally_different(&all) == (size_t)EACH * KEYS);
    AWAIT_LONG(tally_different(&plain) == (size_t)EACH * KEYS);
    print_message("restart: %zu twice in the group, %zu beside it\n", all.again, plain.again);
    assert_int_equal(plain.again, 0);
    tally_fini(&all);
    tally_fini(&plain);
}

/* ---- a topic vanishes ---------------------------------------------------------------------------------------- */

static void delete_topic(const char *name)
{
    char text[256] = "";
    const char *host = strstr(kit_broker_url(broker), "://") + 3;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", host, text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, KIT_PATIENCE);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_destroy(rk);
}

static bool came(kit_sub *sub, const char *prefix, size_t count)
{
    char text[24];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof(text), "%s%zu", prefix, i);
        if (kit_count_of(sub, text) == 0) {
            return false;
        }
    }
    return true;
}

static void publish_some(kit_peer *peer, const char *prefix, size_t count)
{
    char text[24];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof(text), "%s%zu", prefix, i);
        (void)kit_store_text(peer, "vanish", text);
    }
}

static void test_kafka_a_topic_is_deleted_and_made_again(void **state)
{
    kit_peer *publisher = kit_peer_new(&net, kit_broker_url(broker), QUICK);
    kit_sub *plain =
        kit_subscribe(kit_peer_new(&net, kit_broker_url(broker), QUICK), "vanish", NULL);
    kit_sub *grouped = kit_subscribe(kit_peer_new(&net, kit_broker_url(broker), QUICK), "vanish",
                                     "group=vanish durable=vanish");
    (void)state;
    publish_some(publisher, "a", 20);
    KIT_AWAIT(&net, came(plain, "a", 20) && came(grouped, "a", 20));
    delete_topic("vanish");
    publish_some(publisher, "b", 5);
    AWAIT_LONG(came(plain, "b", 5) && came(grouped, "b", 5));
    assert_true(kit_events_of(plain->peer, PUBSUB_EVENT_GAP) > 0);
    assert_true(kit_events_of(grouped->peer, PUBSUB_EVENT_GAP) > 0);
}

static const kit_role roles[] = {{"take_part", take_part}, {NULL, NULL}};

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_kafka_members_come_and_go),
        CASE(test_kafka_a_member_is_killed),
        CASE(test_kafka_a_member_stands_still),
        CASE(test_kafka_the_broker_restarts),
        CASE(test_kafka_a_topic_is_deleted_and_made_again),
    };
    kit_roles(argc, argv, roles);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests_name("kafka_groups", tests, start, stop);
}
