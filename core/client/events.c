/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"

/* News for the event handler: queued with a bound, merged where it repeats itself. */

/* The same news again is no news: a gap grows, an older state is replaced. */
static bool merge_event(pubsub_client *client, const pubsub_event *event)
{
    pubsub__event *last = client->events_tail;
    if (last == NULL || last->event.type != event->type ||
        last->event.subscription != event->subscription) {
        return false;
    }
    if (event->type == PUBSUB_EVENT_GAP) {
        last->gap.to = event->gap->to;
        last->gap.missed = last->gap.missed == 0 || event->gap->missed == 0
                               ? 0
                               : last->gap.missed + event->gap->missed;
        return true;
    }
    return false;
}

/* @locks lock held */
static pubsub__event *pop_event(pubsub_client *client)
{
    pubsub__event *event = client->events;
    if (event != NULL) {
        client->events = event->next;
        if (client->events == NULL) {
            client->events_tail = NULL;
        }
        client->event_count--;
    }
    return event;
}

static void free_event(pubsub__event *event)
{
    if (event->event.subscription != NULL) {
        pubsub__subscription_unref(event->event.subscription);
    }
    pubsub__free(event);
}

void pubsub__emit_locked(pubsub_client *client, const pubsub_event *event)
{
    client->progress = true;
    if (event->subscription != NULL) { /* waiters for its fate */
        pthread_cond_broadcast(&client->state_cond);
        pthread_cond_broadcast(&client->ready_cond);
    }
    bool internal = event->subscription != NULL && event->subscription->inbox;
    if (client->on_event == NULL || internal || merge_event(client, event)) {
        return;
    }
    if (client->event_count >= PUBSUB__EVENTS_MAX) {
        free_event(pop_event(client)); /* nobody polls: the newest news counts */
    }
    pubsub__event *copy = pubsub__calloc(1, sizeof *copy);
    if (copy == NULL) {
        return;
    }
    copy->event = *event;
    copy->event.state = event->type == PUBSUB_EVENT_STATE ? event->state : client->state;
    if (event->error != NULL) {
        copy->error = *event->error;
        copy->event.error = &copy->error;
    }
    if (event->gap != NULL) {
        copy->gap = *event->gap;
        copy->event.gap = &copy->gap;
    }
    if (event->subscription != NULL) {
        pubsub__subscription_ref(event->subscription);
    }
    if (client->events_tail == NULL) {
        client->events = copy;
    } else {
        client->events_tail->next = copy;
    }
    client->events_tail = copy;
    client->event_count++;
    pubsub__ready_changed(client);
}

void pubsub__emit(pubsub_client *client, const pubsub_event *event)
{
    pthread_mutex_lock(&client->lock);
    pubsub__emit_locked(client, event);
    pthread_mutex_unlock(&client->lock);
}

void pubsub__events_clear(pubsub_client *client)
{
    pubsub__event *event = NULL;
    while ((event = pop_event(client)) != NULL) {
        free_event(event);
    }
}

int pubsub__dispatch_events(pubsub_client *client)
{
    int calls = 0;
    pubsub__event *event = NULL;
    for (size_t left = client->event_count; left > 0; left--) {
        event = pop_event(client);
        if (event == NULL) {
            break;
        }
        bool stale = event->event.subscription != NULL && event->event.subscription->ended &&
                     event->event.type != PUBSUB_EVENT_REFUSED;
        if (!stale && client->on_event != NULL) {
            pthread_mutex_unlock(&client->lock);
            client->on_event(client->on_event_ctx, &event->event);
            pthread_mutex_lock(&client->lock);
            calls++;
        }
        pthread_mutex_unlock(&client->lock);
        free_event(event);
        pthread_mutex_lock(&client->lock);
    }
    return calls;
}
