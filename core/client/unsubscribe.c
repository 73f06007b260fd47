/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <string.h>

/* The end of a subscription, the user's side; subs.c is the I/O thread's. */

bool pubsub__sub_end_locked(pubsub_client *client, pubsub_subscription *sub, bool forget)
{
    if (sub->ended || !pubsub__command_push(client, PUBSUB__COMMAND_UNSUBSCRIBE, sub, forget)) {
        return false;
    }
    sub->ended = true;
    pthread_cond_broadcast(&client->ready_cond);
    pthread_cond_broadcast(&client->state_cond);
    return true;
}

/* @locks lock held. Until no handler of it runs, unless this is one: two that wait for each other would
 * do so for ever. */
static void wait_handler(pubsub_client *client, pubsub_subscription *sub)
{
    while (sub->running > 0 && !pubsub__in_callback(client)) {
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
    if (!pubsub__sub_end_locked(client, subscription, flags & PUBSUB_UNSUBSCRIBE_FORGET)) {
        rc = pubsub_error_set(err, PUBSUB_ECLOSED, "the subscription to '%s' has ended already",
                              pubsub_subscription_pattern(subscription));
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
        if (!sub->ended && strcmp(pubsub_subscription_pattern(sub), pattern) == 0 &&
            pubsub__sub_end_locked(client, sub, forget)) {
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
