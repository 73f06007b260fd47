/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"

#include <string.h>

/* Subscriptions, the user's side; subs.c is the I/O thread's. */

#define PATTERNS_MAX 64u

/* What a subscribe call asks for. */
struct order {
    const char *const *patterns;
    size_t count;
    const pubsub_options *options;
    pubsub_message_fn fn;
    void *ctx;
};

static const char *name_of(const pubsub_subscription *sub)
{
    return sub->patterns[0].data;
}

void pubsub__subscription_ref(pubsub_subscription *subscription)
{
    atomic_fetch_add_explicit(&subscription->refs, 1, memory_order_relaxed);
}

void pubsub__subscription_unref(pubsub_subscription *subscription)
{
    if (atomic_fetch_sub_explicit(&subscription->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pubsub_client *client = subscription->client;
    pubsub__free(subscription->patterns);
    pubsub_options_free(subscription->options);
    pubsub__free(subscription->group);
    pubsub__free(subscription->durable);
    pubsub__free(subscription->dead_letter);
    pubsub__lanes_free(subscription->lanes);
    pubsub__free(subscription);
    pubsub__client_unref(client);
}

void pubsub_subscription_free(pubsub_subscription *subscription)
{
    if (subscription != NULL) {
        pubsub__subscription_unref(subscription);
    }
}

bool pubsub__command_push(pubsub_client *client, pubsub__command_kind kind,
                          pubsub_subscription *subscription, bool forget)
{
    pubsub__command *command = pubsub__calloc(1, sizeof *command);
    if (command == NULL) {
        return false;
    }
    command->kind = kind;
    command->subscription = subscription;
    command->forget = forget;
    pubsub__subscription_ref(subscription);
    if (client->commands_tail == NULL) {
        client->commands = command;
    } else {
        client->commands_tail->next = command;
    }
    client->commands_tail = command;
    pubsub__wake(client);
    return true;
}

/* One allocation: the array, and behind it the texts. */
static pubsub_err copy_patterns(pubsub_subscription *sub, const char *const *patterns, size_t count,
                                pubsub_error *err)
{
    size_t size = count * sizeof(pubsub_bytes);
    bool literal = true;
    for (size_t i = 0; i < count; i++) {
        if (patterns[i] == NULL) {
            return pubsub_error_set(err, PUBSUB_EINVAL, "no pattern");
        }
        size_t len = strlen(patterns[i]);
        pubsub_err rc = pubsub_pattern_check(patterns[i], len, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        size += len + 1;
        literal = literal && pubsub_pattern_is_literal(patterns[i], len);
    }
    sub->patterns = pubsub__alloc(size);
    if (sub->patterns == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
    }
    char *at = (char *)(sub->patterns + count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(patterns[i]);
        memcpy(at, patterns[i], len + 1);
        sub->patterns[i].data = at;
        sub->patterns[i].len = len;
        at += len + 1;
    }
    sub->spi.request.patterns = sub->patterns;
    sub->spi.request.pattern_count = count;
    sub->spi.request.literal = literal;
    return PUBSUB_OK;
}

static pubsub_err make(pubsub_client *client, const struct order *order, pubsub_subscription **out,
                       pubsub_error *err)
{
    pubsub_subscription *sub = pubsub__calloc(1, sizeof *sub);
    if (sub == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
    }
    sub->client = client;
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    atomic_init(&sub->refs, 1);
    atomic_init(&sub->ended, false);
    sub->fn = order->fn;
    sub->ctx = order->ctx;
    pubsub_err rc = copy_patterns(sub, order->patterns, order->count, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__request_parse(client, sub, order->options, err);
    }
    if (rc != PUBSUB_OK) {
        pubsub__subscription_unref(sub);
        return rc;
    }
    sub->credit_bytes = (int64_t)sub->spi.request.prefetch_bytes;
    *out = sub;
    return PUBSUB_OK;
}

pubsub_err pubsub__subscribe_make_inbox(pubsub_client *client, const char *topic,
                                        pubsub_subscription **out, pubsub_error *err)
{
    struct order order = {&topic, 1, NULL, NULL, NULL};
    pubsub_options *options = NULL;
    pubsub_err rc = pubsub_options_new(&options);
    if (rc == PUBSUB_OK) {
        /* An answer that is lost is a request that times out, so it needs neither ack nor redelivery. */
        rc = pubsub_options_set_int(options, "qos", 0, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub_options_set_int(options, "workers", 1, err); /* no handler has to be called */
    }
    order.options = options;
    if (rc == PUBSUB_OK) {
        rc = make(client, &order, out, err);
    }
    if (rc == PUBSUB_OK) {
        (*out)->inbox = true;
    }
    pubsub_options_free(options);
    return rc;
}

bool pubsub__subscribe_inbox_locked(pubsub_client *client, pubsub_subscription *inbox)
{
    return pubsub__command_push(client, PUBSUB__COMMAND_SUBSCRIBE, inbox, false);
}

/* @locks lock held. Its handlers run on several threads: the library's, or those that poll. */
static pubsub_err share(pubsub_client *client, pubsub_subscription *sub, pubsub_error *err)
{
    void *ctx = NULL;
    sub->shared = pubsub__handler_of(sub, &ctx) != NULL;
    if (!sub->shared) {
        return PUBSUB_OK;
    }
    client->workers = client->workers > sub->workers ? client->workers : sub->workers;
    return client->dispatch_thread ? pubsub__workers_start(client, client->workers, err)
                                   : PUBSUB_OK;
}

static pubsub_err subscribe(pubsub_client *client, const struct order *order,
                            pubsub_subscription **handle, pubsub_error *err)
{
    pubsub_subscription *sub = NULL;
    pubsub_err rc = make(client, order, &sub, err);
    if (rc != PUBSUB_OK || sub == NULL) {
        return rc;
    }
    pthread_mutex_lock(&client->lock);
    rc = pubsub__open_locked(client, err);
    if (rc == PUBSUB_OK && sub->lanes != NULL) {
        rc = share(client, sub, err);
    }
    if (rc == PUBSUB_OK && !pubsub__command_push(client, PUBSUB__COMMAND_SUBSCRIBE, sub, false)) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
    }
    if (rc == PUBSUB_OK) {
        sub->next = client->subs; /* takes the reference it was made with */
        client->subs = sub;
        if (handle != NULL) {
            pubsub__subscription_ref(sub);
            *handle = sub;
        }
    }
    pthread_mutex_unlock(&client->lock);
    if (rc != PUBSUB_OK) {
        pubsub__subscription_unref(sub);
    }
    return rc;
}

static pubsub_err check_call(pubsub_client *client, bool complete, pubsub_error *err)
{
    if (client == NULL || !complete) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client or no patterns");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_client_subscribe_set(pubsub_client *client, const char *const *patterns,
                                       size_t count, const pubsub_options *options,
                                       pubsub_message_fn fn, void *ctx, pubsub_subscription **out,
                                       pubsub_error *err)
{
    if (out != NULL) {
        *out = NULL;
    }
    pubsub_err rc = check_call(client, patterns != NULL, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (count < 1 || count > PATTERNS_MAX) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "%zu patterns, 1 to %u are allowed", count,
                                PATTERNS_MAX);
    }
    struct order order = {patterns, count, options, fn, ctx};
    return subscribe(client, &order, out, err);
}

pubsub_err pubsub_client_subscribe(pubsub_client *client, const char *pattern,
                                   const pubsub_options *options, pubsub_message_fn fn, void *ctx,
                                   pubsub_subscription **out, pubsub_error *err)
{
    return pubsub_client_subscribe_set(client, &pattern, 1, options, fn, ctx, out, err);
}

pubsub_err pubsub_client_subscribe_many(pubsub_client *client, pubsub_subscribe_item *items,
                                        size_t count, pubsub_error *err)
{
    pubsub_err first = check_call(client, items != NULL || count == 0, err);
    for (size_t i = 0; client != NULL && items != NULL && i < count; i++) {
        pubsub_error clear = PUBSUB_ERROR_INIT;
        items[i].subscription = NULL;
        items[i].error = clear;
        struct order order = {&items[i].pattern, 1, items[i].options, items[i].fn, items[i].ctx};
        pubsub_err rc = check_call(client, true, &items[i].error);
        if (rc == PUBSUB_OK) {
            rc = subscribe(client, &order, &items[i].subscription, &items[i].error);
        }
        if (rc != PUBSUB_OK && first == PUBSUB_OK) {
            first = rc;
            if (err != NULL) {
                *err = items[i].error;
            }
        }
    }
    return first;
}

const char *pubsub_subscription_pattern(const pubsub_subscription *subscription)
{
    return subscription == NULL ? "" : name_of(subscription);
}

/* @locks lock held. The refusal of a subscription that has ended, or ECLOSED. */
static pubsub_err ended_error(const pubsub_subscription *sub, pubsub_error *err)
{
    if (sub->error.code != PUBSUB_OK) {
        if (err != NULL) {
            *err = sub->error;
        }
        return sub->error.code;
    }
    return pubsub_error_set(err, PUBSUB_ECLOSED, "the subscription to '%s' has ended",
                            name_of(sub));
}

pubsub_err pubsub__sub_ended_error(const pubsub_subscription *sub, pubsub_error *err)
{
    return ended_error(sub, err);
}

pubsub_err pubsub_subscription_wait(pubsub_subscription *subscription, pubsub_duration_ms timeout,
                                    pubsub_grant *grant, pubsub_error *err)
{
    if (subscription == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no subscription");
    }
    pubsub_client *client = subscription->client;
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    uint64_t deadline = pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    if (pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for a subscription");
    }
    while (rc == PUBSUB_OK && !subscription->answered && !subscription->ended) {
        if (!pubsub__wait(client, &client->state_cond, deadline) && !subscription->answered) {
            rc = pubsub_error_set(err, PUBSUB_ETIMEDOUT, "'%s' was not subscribed within %lld ms",
                                  name_of(subscription), (long long)timeout);
        }
    }
    if (rc == PUBSUB_OK && subscription->ended) {
        rc = ended_error(subscription, err);
    }
    if (rc == PUBSUB_OK && grant != NULL) {
        *grant = subscription->grant;
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}
