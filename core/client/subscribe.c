/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "log/log.h"

#include <string.h>

/* Subscriptions: the user's side first, the I/O thread's below. */

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
    pubsub__free(subscription);
    pubsub__client_unref(client);
}

void pubsub_subscription_free(pubsub_subscription *subscription)
{
    if (subscription != NULL) {
        pubsub__subscription_unref(subscription);
    }
}

/* @locks lock held */
static bool push_command(pubsub_client *client, pubsub__command_kind kind,
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
    if (rc == PUBSUB_OK && !push_command(client, PUBSUB__COMMAND_SUBSCRIBE, sub, false)) {
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

/* ---- ending ---- */

/* @locks lock held */
static bool end_locked(pubsub_client *client, pubsub_subscription *sub, bool forget)
{
    if (sub->ended || !push_command(client, PUBSUB__COMMAND_UNSUBSCRIBE, sub, forget)) {
        return false;
    }
    sub->ended = true;
    pthread_cond_broadcast(&client->ready_cond);
    pthread_cond_broadcast(&client->state_cond);
    return true;
}

/* @locks lock held. Until no handler of it runs, unless this is that handler. */
static void wait_handler(pubsub_client *client, pubsub_subscription *sub)
{
    while (sub->called_fn && !pthread_equal(sub->called_by, pthread_self())) {
        pubsub__wait(client, &client->state_cond, PUBSUB__FOREVER_NS);
    }
}

pubsub_err pubsub_subscription_unsubscribe(pubsub_subscription *subscription, uint32_t flags,
                                           pubsub_error *err)
{
    if (subscription == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no subscription");
    }
    pubsub_client *client = subscription->client;
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    pthread_mutex_lock(&client->lock);
    if (!end_locked(client, subscription, flags & PUBSUB_UNSUBSCRIBE_FORGET)) {
        rc = pubsub_error_set(err, PUBSUB_ECLOSED, "the subscription to '%s' has ended already",
                              name_of(subscription));
    }
    wait_handler(client, subscription);
    pthread_mutex_unlock(&client->lock);
    return rc;
}

/* @locks lock held */
static bool end_pattern(pubsub_client *client, const char *pattern, bool forget)
{
    bool found = false;
    pubsub_subscription *sub = client->subs;
    while (sub != NULL) {
        if (!sub->ended && strcmp(name_of(sub), pattern) == 0 && end_locked(client, sub, forget)) {
            found = true;
            pubsub__subscription_ref(sub);
            wait_handler(client, sub); /* leaves the lock: the list may have changed */
            pubsub__subscription_unref(sub);
            sub = client->subs;
            continue;
        }
        sub = sub->next;
    }
    return found;
}

pubsub_err pubsub_client_unsubscribe(pubsub_client *client, const char *const *patterns,
                                     size_t count, uint32_t flags, pubsub_error *err)
{
    if (client == NULL || (patterns == NULL && count > 0)) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client or no patterns");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    pthread_mutex_lock(&client->lock);
    for (size_t i = 0; i < count; i++) {
        bool found = patterns[i] != NULL &&
                     end_pattern(client, patterns[i], flags & PUBSUB_UNSUBSCRIBE_FORGET);
        if (!found && rc == PUBSUB_OK) {
            rc = pubsub_error_set(err, PUBSUB_ENOTFOUND, "'%s' is not subscribed",
                                  patterns[i] == NULL ? "" : patterns[i]);
        }
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}

/* ---- on the I/O thread ---- */

static uint32_t link_of(const pubsub_subscription *sub)
{
    return sub->spi.link;
}

static void ask(pubsub_client *client, pubsub_subscription *sub)
{
    sub->state = PUBSUB__SUB_ASKED;
    client->adapter->subscribe(client->instance, &sub->spi);
    sub->spi.subscribes++;
}

void pubsub_sink_bind(pubsub_sink *sink, pubsub_spi_subscription *subscription, uint32_t link)
{
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    if (link < sink->client->link_count) {
        subscription->link = link;
        if (sink->client->links[link].state != PUBSUB__LINK_UP) {
            sub->state = PUBSUB__SUB_WAITING;
        }
    }
}

void pubsub__subs_link_up(pubsub_client *client, uint32_t link)
{
    for (pubsub_subscription *sub = client->io_subs; sub != NULL; sub = sub->io_next) {
        if (sub->state == PUBSUB__SUB_WAITING && link_of(sub) == link) {
            ask(client, sub);
        }
    }
}

/* Where the broker sends what is unsettled again, handling it twice helps nobody. */
static void new_generation(pubsub_client *client, pubsub_subscription *sub)
{
    if (sub->spi.broker_redelivers) {
        sub->generation++;
        pubsub__deliver_clear(client, sub, false);
        pubsub__held_clear(client, sub);
    }
}

static void interrupted(pubsub_client *client, pubsub_subscription *sub, const pubsub_error *err)
{
    pubsub_event event = {sizeof event, PUBSUB_EVENT_INTERRUPTED, PUBSUB_STATE_IDLE, sub, err, NULL,
                          false};
    pubsub__emit(client, &event);
}

void pubsub__subs_link_down(pubsub_client *client, uint32_t link, const pubsub_error *err,
                            bool for_good)
{
    for (pubsub_subscription *sub = client->io_subs; sub != NULL; sub = sub->io_next) {
        if (link_of(sub) != link || sub->state == PUBSUB__SUB_ENDED) {
            continue;
        }
        bool was_active = sub->state == PUBSUB__SUB_ACTIVE;
        sub->state = PUBSUB__SUB_WAITING;
        sub->retry_ns = 0;
        new_generation(client, sub);
        if (for_good) {
            pubsub__sub_refuse(client, sub, err);
        } else if (was_active) {
            interrupted(client, sub, err);
        }
    }
}

static void forget_outstanding(pubsub_client *client, pubsub_subscription *sub)
{
    pthread_mutex_lock(&client->lock);
    pubsub_message *message = sub->outstanding;
    sub->outstanding = NULL;
    while (message != NULL) {
        pubsub_message *next = message->next;
        message->next = message->prev = NULL;
        /* It was handed out, so the attempt counts: ending without a word about it makes the
         * broker deliver it again. */
        atomic_store(&message->verdict, PUBSUB__DONE);
        client->unsettled--;
        pubsub__message_push(&client->io_settled, message);
        message = next;
    }
    pthread_mutex_unlock(&client->lock);
}

/* @locks lock held */
static void remove_locked(pubsub_client *client, pubsub_subscription *sub)
{
    for (pubsub_subscription **at = &client->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            pubsub__subscription_unref(sub); /* the command holds another */
            return;
        }
    }
}

/* The end of a subscription: what nobody has dealt with goes back, the adapter lets go of it, then
 * nothing of it is left but handles. */
static void finish_sub(pubsub_client *client, pubsub_subscription *sub, bool forget)
{
    if (sub->finishing) {
        return;
    }
    sub->finishing = true;
    pthread_mutex_lock(&client->lock);
    sub->ended = true;
    pthread_mutex_unlock(&client->lock);
    pubsub__deliver_clear(client, sub, true);
    pubsub__held_clear(client, sub);
    forget_outstanding(client, sub);
    pubsub__settle_take(client);
    sub->state = PUBSUB__SUB_ENDED;
    client->adapter->unsubscribe(client->instance, &sub->spi, forget);
    for (pubsub_subscription **at = &client->io_subs; *at != NULL; at = &(*at)->io_next) {
        if (*at == sub) {
            *at = sub->io_next;
            break;
        }
    }
    pthread_mutex_lock(&client->lock);
    remove_locked(client, sub);
    client->progress = true;
    pthread_cond_broadcast(&client->state_cond);
    pthread_cond_broadcast(&client->ready_cond);
    pthread_mutex_unlock(&client->lock);
}

static void begin_sub(pubsub_client *client, pubsub_subscription *sub)
{
    pubsub_subscription **at = &client->io_subs;
    while (*at != NULL) { /* in order, so that resubscribing keeps it */
        at = &(*at)->io_next;
    }
    *at = sub;
    if (client->failed || client->fail_wanted) {
        pubsub__sub_refuse(client, sub, &client->last_error);
    } else if (client->links[0].state == PUBSUB__LINK_UP && !client->links[0].fresh) {
        ask(client, sub);
    }
}

void pubsub__subs_commands(pubsub_client *client)
{
    for (;;) {
        pthread_mutex_lock(&client->lock);
        pubsub__command *command = client->commands;
        if (command != NULL) {
            client->commands = command->next;
            if (client->commands == NULL) {
                client->commands_tail = NULL;
            }
        }
        pthread_mutex_unlock(&client->lock);
        if (command == NULL) {
            return;
        }
        if (command->kind == PUBSUB__COMMAND_SUBSCRIBE) {
            begin_sub(client, command->subscription);
        } else {
            finish_sub(client, command->subscription, command->forget);
        }
        pubsub__subscription_unref(command->subscription);
        pubsub__free(command);
    }
}

void pubsub__subs_end_all(pubsub_client *client, const pubsub_error *why)
{
    pubsub__subs_commands(client);
    while (client->io_subs != NULL) {
        pubsub_subscription *sub = client->io_subs;
        pubsub__subscription_ref(sub);
        pthread_mutex_lock(&client->lock);
        if (!sub->ended) {
            sub->error = *why;
            if (!sub->answered) {
                pubsub_event event = {
                    sizeof event, PUBSUB_EVENT_REFUSED, client->state, sub, why, NULL, false};
                sub->answered = true;
                pubsub__emit_locked(client, &event);
            }
            sub->ended = true; /* with the answer: a waiter must not take it for a success */
        }
        pthread_mutex_unlock(&client->lock);
        finish_sub(client, sub, false);
        pubsub__subscription_unref(sub);
    }
}

void pubsub__sub_refuse(pubsub_client *client, pubsub_subscription *sub, const pubsub_error *err)
{
    pthread_mutex_lock(&client->lock);
    if (!sub->ended) {
        pubsub_event event = {sizeof event, PUBSUB_EVENT_REFUSED, client->state, sub, err, NULL,
                              false};
        sub->error = *err;
        sub->answered = true;
        pubsub__emit_locked(client, &event);
        end_locked(client, sub, false);
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__turn_soon(client);
}

void pubsub__subs_negotiate(pubsub_client *client)
{
    pubsub_subscription *next = NULL;
    for (pubsub_subscription *sub = client->io_subs; sub != NULL; sub = next) {
        next = sub->io_next;
        if (sub->state != PUBSUB__SUB_WAITING) {
            continue;
        }
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_request request = {sub->spi.request.features, &sub->spi.request};
        pubsub_grant grant = sub->asked;
        pubsub_err rc =
            pubsub__negotiate(client, &client->caps, &request, sub->degrade, &grant, &err);
        if (rc != PUBSUB_OK) {
            pubsub__sub_refuse(client, sub, &err);
            sub->state = PUBSUB__SUB_ASKED; /* not asked again at this link_up */
        } else {
            grant.refused |= sub->asked.refused; /* at the call */
            sub->asked = grant;
            pubsub__request_lower(&sub->spi.request, &client->caps, grant.refused);
        }
    }
    pubsub__publish_negotiate(client);
}

void pubsub_sink_subscribed(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                            const pubsub_spi_subscribed *answer, const pubsub_error *err)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    if (err != NULL && (err->code == PUBSUB_ELOST || err->code == PUBSUB_ECONNECT)) {
        sub->state = PUBSUB__SUB_WAITING; /* the link's own trouble */
        return;
    }
    if (err != NULL) {
        pubsub__sub_refuse(client, sub, err);
        return;
    }
    sub->state = PUBSUB__SUB_ACTIVE;
    sub->attempts = 0;
    pthread_mutex_lock(&client->lock);
    if (!sub->ended) {
        pubsub_event event = {
            sizeof event, PUBSUB_EVENT_SUBSCRIBED,         client->state, sub, NULL,
            NULL,         answer->resumed || sub->answered};
        sub->grant = sub->asked;
        sub->grant.qos = answer->qos;
        sub->grant.resumed = answer->resumed;
        sub->answered = true;
        pubsub__emit_locked(client, &event);
        pthread_cond_broadcast(&client->state_cond);
    }
    pthread_mutex_unlock(&client->lock);
    if (answer->gap != NULL) {
        pubsub_sink_gap(sink, subscription, answer->gap);
    }
}

void pubsub_sink_lost(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                      const pubsub_error *err)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    if (!pubsub_err_is_retryable(err->code)) {
        pubsub__sub_refuse(client, sub, err);
        return;
    }
    sub->state = PUBSUB__SUB_WAITING;
    sub->retry_ns = pubsub__clock_mono_ns() + pubsub__backoff_ns(client, ++sub->attempts);
    new_generation(client, sub);
    interrupted(client, sub, err);
    pubsub__turn_soon(client);
}

void pubsub__subs_due(pubsub_client *client, uint64_t now_ns)
{
    pubsub_subscription *next = NULL;
    for (pubsub_subscription *sub = client->io_subs; sub != NULL; sub = next) {
        next = sub->io_next;
        if (sub->retry_ns != 0 && sub->retry_ns <= now_ns) {
            sub->retry_ns = 0;
            if (sub->state == PUBSUB__SUB_WAITING && link_of(sub) < client->link_count &&
                client->links[link_of(sub)].state == PUBSUB__LINK_UP) {
                ask(client, sub);
            }
        }
    }
}

uint64_t pubsub__subs_next_due(const pubsub_client *client)
{
    uint64_t due = PUBSUB__FOREVER_NS;
    for (const pubsub_subscription *sub = client->io_subs; sub != NULL; sub = sub->io_next) {
        if (sub->retry_ns != 0 && sub->retry_ns < due) {
            due = sub->retry_ns;
        }
    }
    return due;
}

void pubsub_sink_error(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                       const pubsub_error *err)
{
    pubsub_event event = {sizeof event,
                          PUBSUB_EVENT_ERROR,
                          PUBSUB_STATE_IDLE,
                          (pubsub_subscription *)(void *)subscription,
                          err,
                          NULL,
                          false};
    pubsub__emit(sink->client, &event);
}

void pubsub_sink_gap(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                     const pubsub_gap *gap)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    pubsub_event event = {sizeof event, PUBSUB_EVENT_GAP, PUBSUB_STATE_IDLE, sub, NULL, gap, false};
    pubsub__count(client, gaps, 1);
    pubsub__log(PUBSUB_LOG_WARN, client->adapter->name, "'%s' may have missed messages: %s",
                name_of(sub), gap->reason);
    pubsub__emit(client, &event);
}
