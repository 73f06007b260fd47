/* SPDX-License-Identifier: MIT */
/* The calls themselves: options, arguments, subscribing and unsubscribing in all ways, polling. */
#include "conformance/suites.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void client_wide_handler_serves_the_rest(conf *t)
{
    const char *own = conf_topic(t, "own");
    const char *rest = conf_topic(t, "rest");
    kit_peer *peer = conf_peer(t);
    kit_sub *wide = kit_sub_new(peer, "(client)");
    kit_sub *mine = NULL;
    KIT_OK(pubsub_client_on_message(peer->client, kit_collect, wide), NULL);
    mine = kit_subscribe(peer, own, NULL);
    (void)kit_pull(peer, rest, NULL);
    (void)kit_store_text(peer, own, "for own");
    (void)kit_store_text(peer, rest, "for rest");
    KIT_AWAIT(t->net, kit_count(mine) == 1 && kit_count(wide) == 1);
    assert_true(kit_is(kit_at(mine, 0)->payload, "for own"));
    assert_true(kit_is(kit_at(wide, 0)->payload, "for rest"));
}

static void map_of_topics_has_one_result_each(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *bad = kit_options("from=no-such-beginning");
    pubsub_options *qos0 = kit_options("qos=0");
    kit_peer *peer = conf_peer(t);
    kit_sub *first = kit_sub_new(peer, "first");
    kit_sub *last = kit_sub_new(peer, "last");
    const char *topic = conf_topic(t, "first");
    pubsub_subscribe_item items[] = {
        {topic, NULL, kit_collect, first, NULL, PUBSUB_ERROR_INIT},
        {"", NULL, kit_collect, first, NULL, PUBSUB_ERROR_INIT},
        {conf_topic(t, "bad"), bad, kit_collect, first, NULL, PUBSUB_ERROR_INIT},
        {conf_topic(t, "last"), qos0, kit_collect, last, NULL, PUBSUB_ERROR_INIT}};
    pubsub_grant grant;
    pubsub_err result = pubsub_client_subscribe_many(peer->client, items, 4, &error);
    pubsub_options_free(bad);
    pubsub_options_free(qos0);
    KIT_ERR(PUBSUB_EPATTERN, result);
    KIT_ERR(PUBSUB_OK, items[0].error.code);
    KIT_ERR(PUBSUB_EPATTERN, items[1].error.code);
    KIT_ERR(PUBSUB_EOPTION, items[2].error.code);
    KIT_ERR(PUBSUB_OK, items[3].error.code);
    assert_null(items[1].subscription);
    assert_null(items[2].subscription);
    first->handle = items[0].subscription;
    last->handle = items[3].subscription;
    KIT_OK(pubsub_subscription_wait(first->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    KIT_OK(pubsub_subscription_wait(last->handle, kit_ms(KIT_PATIENCE), &grant, &error), &error);
    assert_int_equal(grant.qos, PUBSUB_AT_MOST_ONCE);
    (void)kit_store_text(peer, topic, "x");
    (void)kit_store_text(peer, items[3].pattern, "y");
    KIT_AWAIT(t->net, kit_count(first) == 1 && kit_count(last) == 1);
}

static void unsubscribe_by_handle(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *gone = kit_subscribe(peer, topic, NULL);
    kit_sub *stays = kit_subscribe(peer, topic, NULL);
    assert_string_equal(pubsub_subscription_pattern(gone->handle), topic);
    KIT_OK(pubsub_subscription_unsubscribe(gone->handle, 0, &error), &error);
    kit_quiet(gone);
    conf_fence(t, peer, topic, stays);
    assert_int_equal(kit_count(gone), 0);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_unsubscribe(gone->handle, 0, &error));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_wait(gone->handle, 0, NULL, &error));
}

static void unsubscribe_by_pattern_text(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *topic = conf_topic(t, "a/b");
    const char *wild = conf_topic(t, "a/#");
    kit_peer *peer = conf_peer(t);
    kit_sub *gone1 = kit_subscribe(peer, wild, NULL);
    kit_sub *gone2 = kit_subscribe(peer, wild, NULL);
    kit_sub *stays = kit_subscribe(peer, topic, NULL);
    KIT_OK(pubsub_client_unsubscribe(peer->client, &wild, 1, 0, &error), &error);
    kit_quiet(gone1);
    kit_quiet(gone2);
    conf_fence(t, peer, topic, stays);
    assert_int_equal(kit_count(gone1) + kit_count(gone2), 0);
    KIT_ERR(PUBSUB_ENOTFOUND, pubsub_client_unsubscribe(peer->client, &wild, 1, 0, &error));
    KIT_SAYS(error.text, wild);
}

static void unsubscribe_by_list(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    const char *list[] = {conf_topic(t, "a"), conf_topic(t, "never"), conf_topic(t, "b")};
    const char *other = conf_topic(t, "c");
    kit_sub *a = kit_subscribe(peer, list[0], NULL);
    kit_sub *b = kit_subscribe(peer, list[2], NULL);
    kit_sub *c = kit_subscribe(peer, other, NULL);
    KIT_ERR(PUBSUB_ENOTFOUND, pubsub_client_unsubscribe(peer->client, list, 3, 0, &error));
    KIT_SAYS(error.text, list[1]);
    kit_publish(peer, list[0], "x");
    kit_publish(peer, list[2], "x");
    conf_fence(t, peer, other, c);
    assert_int_equal(kit_count(a) + kit_count(b), 0);
}

static void unsubscribe_before_subscribed(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe_later(peer, topic, NULL, NULL, NULL);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, &error), &error);
    (void)kit_store_text(peer, topic, "x");
    conf_fence(t, peer, topic, kit_subscribe(peer, topic, NULL));
    assert_int_equal(kit_count(sub), 0);
}

static void subscribe_again_after_unsubscribe(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    for (int i = 0; i < 5; i++) {
        kit_sub *sub = kit_subscribe(peer, topic, NULL);
        (void)kit_store_text(peer, topic, "x");
        KIT_AWAIT(t->net, kit_count(sub) == 1);
        KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    }
}

/* ---- options ------------------------------------------------------------------------------- */

static void url_and_option_that_differ_are_an_error(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = NULL;
    const char *url =
        conf_text(t, "%s%cprefetch=10", t->url, strchr(t->url, '?') != NULL ? '&' : '?');
    KIT_OK(kit_peer_try(t->net, url, "prefetch=10", &peer, &error), &error);
    KIT_ERR(PUBSUB_EOPTION, kit_peer_try(t->net, url, "prefetch=11", &peer, &error));
    KIT_SAYS(error.text, "prefetch");
}

static void other_adapters_options_are_ignored(conf *t)
{
    static const char *const names[] = {"mqtt", "kafka", "redis", "amqp", "local"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *name = conf_text(t, "%s.no_such_option", names[i]);
        pubsub_options *probe = kit_options(NULL);
        bool known = pubsub_options_set(probe, name, "x", NULL) == PUBSUB_OK;
        kit_peer *peer = NULL;
        pubsub_options_free(probe);
        if (known && strcmp(names[i], t->adapter->name) != 0) {
            pubsub_error error = PUBSUB_ERROR_INIT;
            KIT_OK(kit_peer_try(t->net, t->url, conf_text(t, "%s=x", name), &peer, &error), &error);
            KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
        }
    }
}

static void unknown_option_names_the_nearest(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *options = kit_options(NULL);
    kit_peer *peer = NULL;
    const char *own = conf_text(t, "%s.no_such_option", t->adapter->name);
    const char *url =
        conf_text(t, "%s%cprefecth=10", t->url, strchr(t->url, '?') != NULL ? '&' : '?');
    pubsub_err result = pubsub_options_set(options, "prefecth", "1", &error);
    pubsub_err result_own = pubsub_options_set(options, own, "1", NULL);
    pubsub_options_free(options);
    KIT_ERR(PUBSUB_EOPTION, result);
    KIT_SAYS(error.text, "prefetch");
    KIT_ERR(PUBSUB_EOPTION, result_own);
    KIT_ERR(PUBSUB_EOPTION, kit_peer_try(t->net, url, NULL, &peer, &error));
    KIT_SAYS(error.text, "prefetch");
}

static void options_out_of_place_are_an_error(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = NULL;
    KIT_ERR(PUBSUB_EOPTION, kit_peer_try(t->net, t->url, "group=g", &peer, &error));
    KIT_SAYS(error.text, "group");
    peer = conf_peer(t);
    KIT_ERR(PUBSUB_EOPTION,
            kit_try_subscribe(peer, conf_topic(t, "a"), "queue_messages=5", NULL, &error));
    KIT_SAYS(error.text, "queue_messages");
}

static void bad_urls_are_told_at_once(conf *t)
{
    static const struct {
        const char *url;
        pubsub_err code;
    } rows[] = {{"", PUBSUB_EURL},
                {"no colon at all", PUBSUB_EURL},
                {"nosuchscheme://host", PUBSUB_ESCHEME},
                {"mqtt://[::1", PUBSUB_EURL},
                {"mqtt://host:99999", PUBSUB_EURL}};
    pubsub_client *client = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_scheme scheme;
    (void)t;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        KIT_ERR(rows[i].code, pubsub_client_new(&client, rows[i].url, NULL, &error));
        assert_null(client);
        assert_true(error.text[0] != '\0');
    }
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_new(&client, NULL, NULL, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_new(NULL, "local:", NULL, &error));
    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        if (!scheme.built) {
            const char *url = conf_text(t, "%s://localhost", scheme.scheme);
            KIT_ERR(PUBSUB_ENOTBUILT, pubsub_client_new(&client, url, NULL, &error));
            KIT_SAYS(error.text, scheme.scheme);
        }
    }
}

static void null_arguments_are_refused(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    pubsub_message *message = NULL;
    pubsub_caps caps;
    kit_peer *peer = conf_peer(t);
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_connect(NULL, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_end(NULL, 0, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(NULL, &pub, 0, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, NULL, 0, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish_text(peer->client, NULL, "x", &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish_text(peer->client, "a", NULL, &error));
    KIT_ERR(PUBSUB_EINVAL,
            pubsub_client_subscribe(peer->client, NULL, NULL, NULL, NULL, NULL, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_subscription_unsubscribe(NULL, 0, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_subscription_next(NULL, 0, &message, &error));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_caps(NULL, &caps));
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_shutdown(NULL));
    KIT_ERR(PUBSUB_EINVAL, pubsub_message_ack(NULL));
    assert_int_equal(pubsub_client_poll(NULL, 0, &error), PUBSUB_EINVAL);
    assert_int_equal(pubsub_client_state(NULL), PUBSUB_STATE_CLOSED);
    pub.size = 0;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, &error));
    pub = kit_publication(conf_topic(t, "a"), "x");
    pub.payload = (pubsub_bytes){NULL, 1};
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, &error));
    pub = kit_publication(conf_topic(t, "a"), "x");
    pub.qos = (pubsub_qos)3;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, &error));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
}

/* ---- polling ------------------------------------------------------------------------------- */

static void poll_keeps_its_time(conf *t)
{
    kit_peer *peer = conf_peer(t);
    uint64_t before = 0;
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    before = kit_now();
    assert_int_equal(pubsub_client_poll(peer->client, 60, NULL), 0);
    assert_true(kit_now() - before >= 60 * 1000000ull);
    assert_true(kit_now() - before < (uint64_t)kit_ms(5000) * 1000000u);
    assert_int_equal(pubsub_client_poll(peer->client, 0, NULL), 0);
}

static void poll_wakes_for_a_message(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    kit_peer *other = conf_peer(t);
    other->unpolled = true;
    (void)kit_store_text(other, topic, "x");
    while (kit_count(sub) == 0) {
        assert_true(pubsub_client_poll(peer->client, kit_ms(KIT_PATIENCE), NULL) > 0);
    }
}

typedef struct poller {
    kit_peer *peer;
    int result;
    atomic_bool done;
} poller;

static void *poll_long(void *ctx)
{
    poller *me = ctx;
    me->result = pubsub_client_poll(me->peer->client, PUBSUB_FOREVER, NULL);
    atomic_store(&me->done, true);
    return NULL;
}

static void interrupt_ends_a_poll(conf *t)
{
    pthread_t thread;
    kit_peer *peer = conf_peer(t);
    poller me = {.peer = peer, .result = -1};
    kit_deadline until = kit_in(KIT_PATIENCE);
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    assert_int_equal(pthread_create(&thread, NULL, poll_long, &me), 0);
    while (!atomic_load(&me.done)) {
        assert_false(kit_over(until));
        pubsub_client_interrupt(peer->client);
        kit_breathe();
    }
    (void)pthread_join(thread, NULL);
    assert_int_equal(me.result, 0);
}

static void interrupt_before_a_poll_counts(conf *t)
{
    kit_peer *peer = conf_peer(t);
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    pubsub_client_interrupt(peer->client);
    assert_int_equal(pubsub_client_poll(peer->client, PUBSUB_FOREVER, NULL), 0);
    pubsub_client_interrupt(NULL);
}

static void only_one_thread_polls(conf *t)
{
    pthread_t thread;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    poller me = {.peer = peer, .result = -1};
    kit_deadline until = kit_in(KIT_PATIENCE);
    int result = 0;
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    assert_int_equal(pthread_create(&thread, NULL, poll_long, &me), 0);
    while (result == 0 && !kit_over(until)) {
        result = pubsub_client_poll(peer->client, 0, &error);
    }
    while (!atomic_load(&me.done)) {
        pubsub_client_interrupt(peer->client);
        kit_breathe();
    }
    (void)pthread_join(thread, NULL);
    assert_int_equal(result, PUBSUB_ESTATE);
}

static void poll_is_refused_with_a_dispatcher(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    assert_int_equal(pubsub_client_poll(peer->client, 0, &error), PUBSUB_ESTATE);
}

static void poll_after_the_end(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    assert_int_equal(pubsub_client_poll(peer->client, PUBSUB_FOREVER, &error), PUBSUB_ECLOSED);
}

static bool is_readable(kit_peer *peer, int64_t ms)
{
    struct pollfd wait = {pubsub_client_fd(peer->client), POLLIN, 0};
    assert_true(wait.fd >= 0);
    return poll(&wait, 1, (int)kit_ms(ms)) == 1;
}

static void descriptor_is_readable_exactly_while_something_is_ready(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *other = conf_peer(t);
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    assert_false(is_readable(peer, 0));
    sub = kit_subscribe(peer, topic, NULL);
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    for (int round = 0; round < 3; round++) {
        assert_false(is_readable(peer, 0));
        (void)kit_store_text(other, topic, "one");
        (void)kit_store_text(other, topic, "two");
        assert_true(is_readable(peer, KIT_PATIENCE));
        while (kit_count(sub) < 2 * ((size_t)round + 1)) {
            assert_true(is_readable(peer, KIT_PATIENCE));
            assert_true(pubsub_client_poll(peer->client, 0, NULL) > 0);
        }
        while (pubsub_client_poll(peer->client, 0, NULL) > 0) {
        }
        assert_false(is_readable(peer, 0));
    }
    /* A delivery report is something ready, too. */
    kit_publish(peer, conf_topic(t, "elsewhere"), "x");
    assert_true(is_readable(peer, KIT_PATIENCE));
    assert_int_equal(kit_list_count(&peer->reports), 0);
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) == 1);
    assert_false(is_readable(peer, 0));
}

static void descriptor_serves_pulling_too(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *other = conf_peer(t);
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_pull(peer, topic, NULL);
    pubsub_message *message = NULL;
    while (pubsub_client_poll(peer->client, 50, NULL) > 0) {
    }
    assert_false(is_readable(peer, 0));
    (void)kit_store_text(other, topic, "x");
    assert_true(is_readable(peer, KIT_PATIENCE));
    KIT_OK(pubsub_subscription_next(sub->handle, 0, &message, NULL), NULL);
    assert_false(is_readable(peer, 0));
    (void)pubsub_message_ack(message);
    pubsub_message_unref(message);
}

static void descriptor_is_refused_inline(conf *t)
{
    assert_int_equal(pubsub_client_fd(conf_peer(t)->client), PUBSUB_ESTATE);
}

/* ---- callbacks ----------------------------------------------------------------------------- */

typedef struct tried {
    pubsub_err ready, wait, flush, end, publish_now, publish_waiting, publish_wait, next, subscribe;
    pubsub_err unsubscribe;
    int poll;
    kit_sub *pulled;
    kit_sub *other;
    pubsub_subscription *made;
    const char *topic;
} tried;

static int try_everything(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    tried *results = sub->ctx;
    pubsub_client *client = sub->peer->client;
    pubsub_message *got = NULL;
    pubsub_publication pub = kit_publication(results->topic, "from a handler");
    (void)copy;
    (void)message;
    if (results->made != NULL) {
        return 0;
    }
    results->ready = pubsub_client_ready(client, 1000, NULL);
    results->wait = pubsub_subscription_wait(sub->handle, 1000, NULL, NULL);
    results->flush = pubsub_client_flush(client, 1000, NULL);
    results->end = pubsub_client_end(client, 1000, NULL);
    results->publish_now = pubsub_client_publish(client, &pub, 0, NULL);
    results->publish_waiting = pubsub_client_publish(client, &pub, 1000, NULL);
    results->publish_wait = pubsub_client_publish_wait(client, &pub, 1000, NULL, NULL);
    results->next = pubsub_subscription_next(results->pulled->handle, 1000, &got, NULL);
    results->poll = pubsub_client_poll(client, 0, NULL);
    results->unsubscribe = pubsub_subscription_unsubscribe(results->other->handle, 0, NULL);
    results->subscribe =
        pubsub_client_subscribe(client, results->topic, NULL, NULL, NULL, &results->made, NULL);
    return 0;
}

static void blocking_calls_are_refused_in_handlers(conf *t)
{
    const char *topic = conf_topic(t, "a");
    tried results = {.topic = conf_topic(t, "b")};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    kit_sub *watch = kit_subscribe(peer, results.topic, NULL);
    results.pulled = kit_pull(peer, conf_topic(t, "pulled"), NULL);
    results.other = kit_subscribe(peer, conf_topic(t, "other"), NULL);
    sub = kit_subscribe_with(peer, topic, NULL, try_everything, &results);
    (void)kit_store_text(peer, topic, "x");
    KIT_AWAIT(t->net, kit_count(sub) == 1 && kit_count(watch) == 1);
    KIT_ERR(PUBSUB_ESTATE, results.ready);
    KIT_ERR(PUBSUB_ESTATE, results.wait);
    KIT_ERR(PUBSUB_ESTATE, results.flush);
    KIT_ERR(PUBSUB_ESTATE, results.end);
    KIT_ERR(PUBSUB_OK, results.publish_now);
    KIT_ERR(PUBSUB_ESTATE, results.publish_waiting);
    KIT_ERR(PUBSUB_ESTATE, results.publish_wait);
    KIT_ERR(PUBSUB_ESTATE, results.next);
    KIT_ERR(PUBSUB_OK, results.subscribe);
    KIT_ERR(PUBSUB_OK, results.unsubscribe);
    assert_int_equal(results.poll, PUBSUB_ESTATE);
    KIT_OK(pubsub_subscription_wait(results.made, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    pubsub_subscription_free(results.made);
}

/* ---- fork ---------------------------------------------------------------------------------- */

static int in_the_child(kit_peer *peer, kit_sub *sub, const char *topic)
{
    pubsub_publication pub = kit_publication(topic, "from the child");
    pubsub_message *message = NULL;
    if (pubsub_client_publish(peer->client, &pub, 0, NULL) != PUBSUB_ESTATE) {
        return 1;
    }
    if (pubsub_client_subscribe(peer->client, topic, NULL, NULL, NULL, NULL, NULL) !=
        PUBSUB_ESTATE) {
        return 2;
    }
    if (pubsub_client_flush(peer->client, 1000, NULL) != PUBSUB_ESTATE) {
        return 3;
    }
    if (peer->net->mode != KIT_DISPATCH &&
        pubsub_client_poll(peer->client, 1000, NULL) != PUBSUB_ESTATE) {
        return 4;
    }
    if (pubsub_client_end(peer->client, 1000, NULL) != PUBSUB_ESTATE) {
        return 5;
    }
    if (pubsub_subscription_next(sub->handle, 1000, &message, NULL) != PUBSUB_ESTATE) {
        return 6;
    }
    if (pubsub_client_ready(peer->client, 1000, NULL) != PUBSUB_ESTATE) {
        return 7;
    }
    pubsub_message_unref(kit_at(sub, 0)->ref);
    pubsub_subscription_free(sub->handle);
    pubsub_client_free(peer->client);
    return 0;
}

static void after_fork_the_child_only_frees(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe_later(peer, topic, NULL, NULL, NULL);
    kit_child child = {0};
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    (void)kit_store_text(peer, topic, "before");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    (void)fflush(NULL);
    child.pid = fork();
    if (child.pid == 0) {
        kit_watchdog("the child of a fork", 20000);
        _exit(in_the_child(peer, sub, topic));
    }
    assert_int_equal(kit_child_wait(&child, 2 * KIT_PATIENCE), 0);
    (void)kit_store_text(peer, topic, "after");
    KIT_AWAIT(t->net, kit_count(sub) == 2);
    assert_int_equal(kit_count_of(sub, "from the child"), 0);
}

const conf_case conf_calls[] = {
    CONF_CASE(client_wide_handler_serves_the_rest, CONF_ALL, 0, 0),
    CONF_CASE(map_of_topics_has_one_result_each, CONF_ALL, F(QOS0), F(QOS0)),
    CONF_CASE(unsubscribe_by_handle, CONF_ALL, 0, 0),
    CONF_CASE(unsubscribe_by_pattern_text, CONF_ALL, F(PATTERNS), 0),
    CONF_CASE(unsubscribe_by_list, CONF_ALL, 0, 0),
    CONF_CASE(unsubscribe_before_subscribed, CONF_ALL, 0, 0),
    CONF_CASE(subscribe_again_after_unsubscribe, CONF_ALL, 0, 0),
    CONF_CASE(url_and_option_that_differ_are_an_error, CONF_THREAD, 0, 0),
    CONF_CASE(other_adapters_options_are_ignored, CONF_THREAD, 0, 0),
    CONF_CASE(unknown_option_names_the_nearest, CONF_THREAD, 0, 0),
    CONF_CASE(options_out_of_place_are_an_error, CONF_THREAD, 0, 0),
    CONF_CASE(bad_urls_are_told_at_once, CONF_THREAD, 0, 0),
    CONF_CASE(null_arguments_are_refused, CONF_ALL, 0, 0),
    CONF_CASE(poll_keeps_its_time, CONF_POLLED, 0, 0),
    CONF_CASE(poll_wakes_for_a_message, CONF_POLLED, 0, 0),
    CONF_CASE(interrupt_ends_a_poll, CONF_POLLED, 0, 0),
    CONF_CASE(interrupt_before_a_poll_counts, CONF_POLLED, 0, 0),
    CONF_CASE(only_one_thread_polls, CONF_THREAD, 0, 0),
    CONF_CASE(poll_is_refused_with_a_dispatcher, CONF_DISPATCH, 0, 0),
    CONF_CASE(poll_after_the_end, CONF_POLLED, 0, 0),
    CONF_CASE(descriptor_is_readable_exactly_while_something_is_ready, CONF_THREAD, 0, 0),
    CONF_CASE(descriptor_serves_pulling_too, CONF_THREAD, 0, 0),
    CONF_CASE(descriptor_is_refused_inline, CONF_INLINE, 0, 0),
    CONF_CASE(blocking_calls_are_refused_in_handlers, CONF_ALL, 0, 0),
    CONF_CASE(after_fork_the_child_only_frees, CONF_ALL, 0, 0),
    CONF_END};
