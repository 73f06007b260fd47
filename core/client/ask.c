/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Requests and replies, the user's side; calls.c and inbox.c are the rest. */

#define CORRELATION_SIZE (PUBSUB__CALL_TAG_LEN + 22)
#define CLIENT_PART 16u

/* ---- what is asked ---- */

static pubsub_err check_call(pubsub_client *client, const pubsub_publication *pub,
                             pubsub_duration_ms timeout, pubsub_error *err)
{
    if (client == NULL || pub == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client or no publication");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    if (pub->reply_to.len > 0 || pub->correlation.len > 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "reply_to and correlation of a request are set by the library");
    }
    if (timeout == 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "a request needs time for its answer");
    }
    return PUBSUB_OK;
}

/* The features of the whole, whatever degrade= says: without its way back a request is none. */
static pubsub_err check_caps(pubsub_client *client, pubsub_error *err)
{
    pubsub_request ask = {PUBSUB__REQUEST_FEATURES, NULL};
    if ((ask.features & ~atomic_load_explicit(&client->publish_ok, memory_order_relaxed)) == 0 &&
        client->adapter->negotiate == NULL) {
        return PUBSUB_OK;
    }
    pubsub_grant grant;
    pthread_mutex_lock(&client->lock);
    pubsub_caps caps = client->caps;
    pthread_mutex_unlock(&client->lock);
    return pubsub__negotiate(client, &caps, &ask, false, &grant, err);
}

/* Where answers to this client go: the same address as long as it lives. An adapter whose broker gives
 * out such addresses itself would be asked here. */
static pubsub_err find_address(pubsub_client *client, pubsub_error *err)
{
    pthread_mutex_lock(&client->lock);
    bool known = client->calls.address != NULL;
    pthread_mutex_unlock(&client->lock);
    if (known) {
        return PUBSUB_OK;
    }
    const char *prefix = pubsub_options_get(client->options, "inbox");
    size_t size = strlen(prefix) + CLIENT_PART + 2;
    char part[CLIENT_PART + 1];
    char *address = pubsub__alloc(size);
    if (address == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for an inbox");
    }
    pubsub__rand_name(part, CLIENT_PART);
    (void)snprintf(address, size, "%s/%s", prefix, part);
    pthread_mutex_lock(&client->lock);
    if (client->calls.address == NULL) {
        client->calls.address = address;
        address = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__free(address);
    return PUBSUB_OK;
}

/* The publication of a request, with its way back. */
static pubsub_publication dressed(const pubsub_client *client, const pubsub_publication *pub,
                                  uint64_t number, char *correlation)
{
    pubsub_publication out = *pub;
    int len = snprintf(correlation, CORRELATION_SIZE, "%s-%" PRIu64, client->calls.tag, number);
    out.reply_to = pubsub_bytes_of(client->calls.address);
    out.correlation = (pubsub_bytes){correlation, (size_t)len};
    return out;
}

/* ---- asking ---- */

/* @locks lock held. The inbox, which a thread before may have made, or `*made`, which is taken then.
 * EAGAIN when one has to be made first. */
static pubsub_err use_inbox(pubsub_client *client, pubsub_subscription **made, pubsub_error *err)
{
    if (client->calls.inbox != NULL) {
        return client->calls.inbox->ended ? pubsub__sub_ended_error(client->calls.inbox, err)
                                          : PUBSUB_OK;
    }
    if (*made == NULL) {
        return PUBSUB_EAGAIN;
    }
    if (!pubsub__subscribe_inbox_locked(client, *made)) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for an inbox");
    }
    client->calls.inbox = *made;
    *made = NULL;
    return PUBSUB_OK;
}

/* @locks lock held; may be left and taken again. Queue the request and have its call wait. */
static pubsub_err queue(pubsub_client *client, const pubsub_publication *pub, pubsub__call *call,
                        pubsub_subscription **made, pubsub_error *err)
{
    char correlation[CORRELATION_SIZE];
    if (client->calls.inbox == NULL && *made == NULL) {
        return PUBSUB_EAGAIN; /* before anything is opened: it may fail while the inbox is made */
    }
    pubsub_err rc = pubsub__publish_room_locked(client, pub, call->due_ns, call->cond != NULL, err);
    if (rc == PUBSUB_OK && client->calls.count >= PUBSUB_REQUESTS_MAX) {
        rc = pubsub_error_set(err, PUBSUB_EAGAIN, "%d requests wait for their answers already",
                              PUBSUB_REQUESTS_MAX);
    }
    if (rc == PUBSUB_OK) {
        rc = use_inbox(client, made, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__call_add_locked(client, call, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub_publication request = dressed(client, pub, call->number, correlation);
    if (!pubsub__publish_request_locked(client, &request, call)) {
        pubsub__call_remove_locked(client, call);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory to queue a message");
    }
    return PUBSUB_OK;
}

/* Everything up to waiting. @locks returns with the lock held. */
static pubsub_err begin(pubsub_client *client, const pubsub_publication *publication,
                        pubsub__call *call, pubsub_error *err)
{
    char correlation[CORRELATION_SIZE];
    pubsub_subscription *made = NULL;
    pubsub_err rc = check_caps(client, err);
    if (rc == PUBSUB_OK) {
        rc = find_address(client, err);
    }
    if (rc == PUBSUB_OK) {
        pubsub_publication request = dressed(client, publication, 0, correlation);
        rc = pubsub__publish_check(client, &request, err);
    }
    pthread_mutex_lock(&client->lock);
    if (rc == PUBSUB_OK && call->cond != NULL && pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for an answer");
    }
    while (rc == PUBSUB_OK) {
        pubsub_error why = PUBSUB_ERROR_INIT;
        rc = queue(client, publication, call, &made, &why);
        if (rc != PUBSUB_EAGAIN || why.code != PUBSUB_OK) {
            if (rc != PUBSUB_OK && err != NULL) {
                *err = why;
            }
            break;
        }
        /* The first request, or the inbox went with the last connection. */
        pthread_mutex_unlock(&client->lock);
        rc = pubsub__subscribe_make_inbox(client, client->calls.address, &made, err);
        pthread_mutex_lock(&client->lock);
    }
    if (made != NULL) { /* another thread was faster, or it failed */
        pthread_mutex_unlock(&client->lock);
        pubsub__subscription_unref(made);
        pthread_mutex_lock(&client->lock);
    }
    if (rc == PUBSUB_OK) {
        pubsub__count(client, published, 1);
        pubsub__count(client, published_bytes, publication->payload.len);
    }
    return rc;
}

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

pubsub_err pubsub_client_request(pubsub_client *client, const pubsub_publication *publication,
                                 pubsub_duration_ms timeout, pubsub_message **reply,
                                 pubsub_error *err)
{
    if (reply == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no place for the answer");
    }
    *reply = NULL;
    pubsub_err rc = check_call(client, publication, timeout, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pthread_cond_t cond; /* its own: an answer wakes nobody else */
    pubsub__call call;
    init_cond(&cond);
    memset(&call, 0, sizeof call);
    call.cond = &cond;
    call.due_ns = pubsub__deadline(timeout);
    call.timeout = timeout;
    rc = begin(client, publication, &call, err);
    if (rc == PUBSUB_OK) {
        while (!call.done && pubsub__wait(client, &cond, call.due_ns)) {
        }
        if (call.done) {
            *reply = call.reply;
            rc = call.reply != NULL ? PUBSUB_OK : call.error.code;
            if (rc != PUBSUB_OK && err != NULL) {
                *err = call.error;
            }
        } else {
            pubsub__call_remove_locked(client, &call);
            rc =
                pubsub_error_set(err, PUBSUB_ETIMEDOUT, "no answer within %" PRId64 " ms", timeout);
        }
    }
    pthread_mutex_unlock(&client->lock);
    pthread_cond_destroy(&cond);
    return rc;
}

/* One that was used before, or a new one. */
static pubsub__call *take_call(pubsub_client *client)
{
    pthread_mutex_lock(&client->lock);
    pubsub__call *call = client->calls.spare;
    if (call != NULL) {
        client->calls.spare = call->next;
        client->calls.spare_count--;
    }
    pthread_mutex_unlock(&client->lock);
    if (call == NULL) {
        return pubsub__calloc(1, sizeof *call);
    }
    memset(call, 0, sizeof *call);
    return call;
}

pubsub_err pubsub_client_request_async(pubsub_client *client, const pubsub_publication *publication,
                                       pubsub_duration_ms timeout, pubsub_reply_fn fn, void *ctx,
                                       pubsub_error *err)
{
    if (fn == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no function for the answer");
    }
    pubsub_err rc = check_call(client, publication, timeout, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__call *call = take_call(client);
    if (call == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a request");
    }
    call->fn = fn;
    call->ctx = ctx;
    call->due_ns = pubsub__deadline(timeout);
    call->timeout = timeout;
    rc = begin(client, publication, call, err);
    pthread_mutex_unlock(&client->lock);
    if (rc != PUBSUB_OK) {
        pubsub__free(call);
    }
    return rc;
}

/* ---- answering ---- */

pubsub_err pubsub_message_reply(const pubsub_message *request, const pubsub_publication *answer,
                                pubsub_duration_ms timeout, pubsub_error *err)
{
    if (request == NULL || answer == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no request or no answer");
    }
    if (answer->topic.len > 0 || answer->correlation.len > 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "topic and correlation of an answer come from its request");
    }
    if (request->spi.reply_to.len == 0) {
        return pubsub_error_set(
            err, PUBSUB_EINVAL, "the message to '%.*s' asks for no answer: it has no reply_to",
            (int)(request->spi.topic.len > 80 ? 80 : request->spi.topic.len),
            request->spi.topic.len > 0 ? (const char *)request->spi.topic.data : "");
    }
    pubsub_publication pub = *answer;
    pub.topic = request->spi.reply_to;
    pub.correlation = request->spi.correlation;
    pubsub_subscription *sub = request->block->owner;
    return pubsub_client_publish(sub->client, &pub, timeout, err);
}
