/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "log/log.h"

/* Subscriptions, the I/O thread's side: asking, losing, refusing, ending. */

static uint32_t link_of(const pubsub_subscription *sub)
{
    return sub->spi.link;
}

static void ask(pubsub_client *client, pubsub_subscription *sub)
{
    sub->state = PUBSUB__SUB_ASKED;
    client->adapter->subscribe(client->instance, &sub->spi);
    atomic_store_explicit(&sub->lazy_ack, sub->spi.lazy_ack, memory_order_relaxed);
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
    pubsub_event event = {
        sizeof event, PUBSUB_EVENT_INTERRUPTED, PUBSUB_STATE_IDLE, sub, err, NULL, false, 0};
    pubsub__emit(client, &event);
}

/* Requests wait until it is subscribed again. */
static void inbox_closed(pubsub_client *client, const pubsub_subscription *sub)
{
    if (sub->inbox) {
        pthread_mutex_lock(&client->lock);
        client->calls.open = false;
        pthread_mutex_unlock(&client->lock);
    }
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
        inbox_closed(client, sub);
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
    if (sub->inbox) {
        pubsub__inbox_gone(client, sub);
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
        pubsub__sub_refuse(client, sub, &client->fail_error);
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
                    sizeof event, PUBSUB_EVENT_REFUSED, client->state, sub, why, NULL, false, 0};
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
        pubsub_event event = {
            sizeof event, PUBSUB_EVENT_REFUSED, client->state, sub, err, NULL, false, 0};
        sub->error = *err;
        sub->answered = true;
        pubsub__emit_locked(client, &event);
        pubsub__sub_end_locked(client, sub, false);
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
            sizeof event, PUBSUB_EVENT_SUBSCRIBED,          client->state,  sub, NULL,
            NULL,         answer->resumed || sub->answered, answer->waiting};
        sub->grant = sub->asked;
        sub->grant.qos = answer->qos;
        sub->grant.resumed = answer->resumed;
        sub->answered = true;
        if (sub->inbox) {
            pubsub__inbox_opened_locked(client);
        }
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
    /* Losing it again while it is asked for again is the same interruption: each one ends with
     * PUBSUB_EVENT_SUBSCRIBED. */
    bool was_active = sub->state == PUBSUB__SUB_ACTIVE;
    sub->state = PUBSUB__SUB_WAITING;
    sub->retry_ns = pubsub__clock_mono_ns() + pubsub__backoff_ns(client, ++sub->attempts);
    inbox_closed(client, sub);
    new_generation(client, sub);
    if (was_active) {
        interrupted(client, sub, err);
    }
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
                          false,
                          0};
    pubsub__emit(sink->client, &event);
}

void pubsub_sink_gap(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                     const pubsub_gap *gap)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    pubsub_event event = {
        sizeof event, PUBSUB_EVENT_GAP, PUBSUB_STATE_IDLE, sub, NULL, gap, false, 0};
    pubsub__count(client, gaps, 1);
    pubsub__log(PUBSUB_LOG_INFO, client->adapter->name, "'%s' may have missed messages: %s",
                (const char *)sub->patterns[0].data, gap->reason);
    pubsub__emit(client, &event);
}
