/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"

#include <string.h>

/* From the adapter's answer to the report. */

static void add_flags(pubsub__publish *publish, const pubsub_spi_outcome *outcome)
{
    publish->flags = outcome->flags & 0xffu;
    if (publish->spi.sends > 0) {
        publish->flags |= PUBSUB_REPORT_MAYBE_DUPLICATE;
    }
}

static void count_outcome(pubsub_client *client, pubsub_outcome outcome)
{
    switch (outcome) {
    case PUBSUB_ACCEPTED:
        pubsub__count(client, accepted, 1);
        break;
    case PUBSUB_REJECTED:
        pubsub__count(client, rejected, 1);
        break;
    case PUBSUB_NOT_SENT:
        pubsub__count(client, not_sent, 1);
        break;
    case PUBSUB_UNKNOWN:
        pubsub__count(client, unknown, 1);
        break;
    case PUBSUB_DROPPED:
        pubsub__count(client, dropped, 1);
        break;
    }
}

void pubsub__publish_release_locked(pubsub_client *client, pubsub__publish *publish)
{
    client->queued--;
    client->queued_bytes -= publish->bytes;
    pubsub__chunk_drop(&client->chunks, publish);
    if (client->space_waiters > 0) {
        pthread_cond_broadcast(&client->space_cond);
    }
}

/* @locks lock held. A failure nobody has asked a report for must not pass unseen. */
static void emit_failure(pubsub_client *client, const pubsub__publish *publish)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const pubsub_error *why = publish->error;
    int topic_len = (int)(publish->spi.pub.topic.len > 80 ? 80 : publish->spi.pub.topic.len);
    pubsub_error_set(&err, why != NULL ? why->code : PUBSUB_EREJECTED,
                     "a message to '%.*s' was not delivered: %s", topic_len,
                     (const char *)publish->spi.pub.topic.data,
                     why != NULL ? pubsub_error_text(why) : "no reason given");
    pubsub_event event = {
        sizeof event, PUBSUB_EVENT_ERROR, client->state, NULL, &err, NULL, false, 0};
    pubsub__emit_locked(client, &event);
}

/* @locks lock held */
static void deliver_locked(pubsub_client *client, pubsub__publish *publish)
{
    client->unresolved--;
    if (publish->kind == PUBSUB__PUBLISH_WAITER && publish->for_whom.waiter != NULL) {
        struct pubsub__waiter *waiter = publish->for_whom.waiter;
        waiter->receipt.outcome = publish->outcome;
        waiter->receipt.confirm = publish->confirm;
        waiter->receipt.qos = publish->spi.pub.qos;
        waiter->receipt.flags = publish->flags;
        waiter->receipt.position = publish->position;
        if (publish->error != NULL) {
            waiter->error = *publish->error;
        }
        waiter->done = true;
        pthread_cond_broadcast(&client->state_cond);
        pubsub__publish_release_locked(client, publish);
        return;
    }
    if (publish->kind == PUBSUB__PUBLISH_REQUEST) {
        pubsub__inbox_published_locked(client, publish);
        pubsub__publish_release_locked(client, publish);
        return;
    }
    /* A publish_wait whose caller has given up is like one without a report. */
    bool unseen = publish->kind != PUBSUB__PUBLISH_DEAD_LETTER && !publish->report &&
                  publish->outcome != PUBSUB_ACCEPTED;
    if (unseen && !client->keep_undelivered) {
        emit_failure(client, publish);
    }
    if (unseen && client->keep_undelivered) {
        pubsub__publish_insert(&client->undelivered, publish, NULL);
    } else if (publish->report) {
        pubsub__publish_push(&client->reports, publish);
    } else {
        pubsub__publish_release_locked(client, publish);
    }
}

/* Outcomes that came in one call cost one lock. */
static void deliver(pubsub_client *client, pubsub__publish_list *list)
{
    pthread_mutex_lock(&client->lock);
    bool reports = client->reports.head == NULL;
    pubsub__publish *publish = NULL;
    while ((publish = pubsub__publish_pop(list)) != NULL) {
        deliver_locked(client, publish);
    }
    if (reports && client->reports.head != NULL) {
        pubsub__ready_changed(client);
    }
    if (client->unresolved == 0) {
        pthread_cond_broadcast(&client->state_cond);
        if (client->space_waiters > 0) { /* only reports hold the queue now: look again */
            pthread_cond_broadcast(&client->space_cond);
        }
    }
    client->progress = true;
    pthread_mutex_unlock(&client->lock);
}

static void record(pubsub_client *client, pubsub__publish *publish,
                   const pubsub_spi_outcome *outcome)
{
    publish->outcome = outcome->outcome;
    publish->confirm = outcome->confirm;
    publish->position = outcome->position;
    add_flags(publish, outcome);
    count_outcome(client, outcome->outcome);
    if (outcome->outcome != PUBSUB_ACCEPTED && outcome->error != NULL) {
        publish->error = pubsub__alloc(sizeof *publish->error);
        if (publish->error != NULL) {
            *publish->error = *outcome->error;
        }
    }
}

void pubsub__publish_finish(pubsub_client *client, pubsub__publish *publish,
                            const pubsub_spi_outcome *outcome)
{
    pubsub__publish_list one = {NULL, NULL, 0};
    record(client, publish, outcome);
    if (publish->kind == PUBSUB__PUBLISH_DEAD_LETTER) {
        pubsub__dead_letter_done(client, publish->for_whom.dead,
                                 outcome->outcome == PUBSUB_ACCEPTED, outcome->error);
    }
    pubsub__publish_push(&one, publish);
    deliver(client, &one);
}

static bool comes_again(const pubsub_client *client, const pubsub__publish *publish,
                        const pubsub_spi_outcome *outcome)
{
    if (client->closing || client->fail_wanted || !client->reconnect ||
        (outcome->flags & PUBSUB_OUTCOME_FINAL)) {
        return false;
    }
    if (outcome->error != NULL && !pubsub_err_is_retryable(outcome->error->code)) {
        return false;
    }
    return outcome->outcome == PUBSUB_NOT_SENT ||
           (outcome->outcome == PUBSUB_UNKNOWN && publish->spi.pub.qos == PUBSUB_AT_LEAST_ONCE);
}

void pubsub_sink_outcomes(pubsub_sink *sink, const pubsub_spi_outcome *outcomes, size_t count)
{
    pubsub_client *client = sink->client;
    pubsub__publish_list done = {NULL, NULL, 0};
    bool unblocked = false;
    bool again = false;
    pubsub__publish *back = NULL; /* the last one that comes again */
    for (size_t i = 0; i < count; i++) {
        pubsub__publish *publish = (pubsub__publish *)(void *)outcomes[i].publish;
        pubsub__publish_remove(&client->handed_over, publish);
        publish->handed_over = false;
        if (comes_again(client, publish, &outcomes[i])) {
            if (outcomes[i].outcome == PUBSUB_UNKNOWN) {
                publish->spi.sends++;
            }
            publish->spi.data = NULL;
            pubsub__publish_insert(&client->pending, publish, back);
            back = publish;
            pubsub__count(client, resent, 1);
            again = true;
            client->submit_blocked = true; /* until the link is up again, or writable is said */
            continue;
        }
        unblocked = true;
        record(client, publish, &outcomes[i]);
        if (publish->kind == PUBSUB__PUBLISH_DEAD_LETTER) {
            pubsub__dead_letter_done(client, publish->for_whom.dead,
                                     outcomes[i].outcome == PUBSUB_ACCEPTED, outcomes[i].error);
        }
        pubsub__publish_push(&done, publish);
    }
    if (done.head != NULL) {
        deliver(client, &done);
    }
    if (unblocked && !again && client->submit_blocked && client->pending.head != NULL) {
        client->submit_blocked = false;
        pubsub__turn_soon(client);
    }
}

/* Everything without an outcome gets one: never handed over = not sent, handed over = unknown. */
void pubsub__publish_give_up(pubsub_client *client, const pubsub_error *why)
{
    pubsub__publish_take(client);
    pubsub__publish_list *lists[] = {&client->handed_over, &client->pending};
    for (size_t i = 0; i < 2; i++) {
        pubsub__publish *publish = NULL;
        while ((publish = pubsub__publish_pop(lists[i])) != NULL) {
            bool never = i == 1 && publish->spi.sends == 0;
            pubsub_spi_outcome outcome = {
                &publish->spi,        never ? PUBSUB_NOT_SENT : PUBSUB_UNKNOWN,
                PUBSUB_CONFIRM_NONE,  0,
                PUBSUB_POSITION_NONE, why};
            publish->handed_over = false;
            pubsub__publish_finish(client, publish, &outcome);
        }
    }
}
