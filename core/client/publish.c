/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* From the call to the adapter. */

/* @locks lock held */
static pubsub_err usable_locked(pubsub_client *client, pubsub_error *err)
{
    if (client->stopping || client->state == PUBSUB_STATE_CLOSING ||
        client->state == PUBSUB_STATE_CLOSED) {
        return pubsub_error_set(err, PUBSUB_ECLOSED,
                                "the client is %s; pubsub_client_connect opens it again",
                                pubsub_state_name(client->state));
    }
    if (client->state == PUBSUB_STATE_IDLE) {
        pubsub_err rc = pubsub__loop_start(client, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        pubsub__set_state_locked(client, PUBSUB_STATE_CONNECTING, NULL);
        pubsub__dispatcher_start(client);
        pubsub__wake(client);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__open_locked(pubsub_client *client, pubsub_error *err)
{
    return usable_locked(client, err);
}

/* One message alone may exceed queue_bytes, else it could never be sent. */
static bool has_space(const pubsub_client *client, size_t bytes)
{
    return client->queued < client->queue_messages &&
           (client->queued_bytes + bytes <= client->queue_bytes || client->queued == 0);
}

/* Between two polls of a loop a moment may pass. */
#define POLL_GAP_NS UINT64_C(1000000000)

/* @locks lock held. Whether only reports fill the queue, and no other thread takes them out. */
static bool nobody_polls(const pubsub_client *client)
{
    if (client->unresolved > 0 || client->polling || client->dispatch_thread) {
        return false;
    }
    return client->polled_ns == 0 || pthread_equal(client->poller, pthread_self()) ||
           pubsub__clock_mono_ns() > client->polled_ns + POLL_GAP_NS;
}

/* @locks lock held */
static pubsub_err wait_space(pubsub_client *client, size_t bytes, uint64_t deadline, bool wait,
                             pubsub_error *err)
{
    while (!has_space(client, bytes)) {
        if (!wait) {
            return pubsub_error_set(err, PUBSUB_EAGAIN,
                                    "the queue is full (%zu messages, %zu bytes wait)",
                                    client->queued, client->queued_bytes);
        }
        if (nobody_polls(client)) {
            return pubsub_error_set(err, PUBSUB_EAGAIN,
                                    "the queue is full of delivery reports that nobody polls; call "
                                    "pubsub_client_poll");
        }
        client->space_waiters++;
        /* In turns, because the one who polls may stop doing so. */
        uint64_t turn = pubsub__clock_mono_ns() + POLL_GAP_NS;
        bool in_time = pubsub__wait(client, &client->space_cond, turn < deadline ? turn : deadline);
        in_time = in_time || turn < deadline;
        client->space_waiters--;
        pubsub_err rc = usable_locked(client, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        if (!in_time && !has_space(client, bytes)) {
            return pubsub_error_set(err, PUBSUB_ETIMEDOUT,
                                    "the queue stayed full (%zu messages, %zu bytes wait)",
                                    client->queued, client->queued_bytes);
        }
    }
    return PUBSUB_OK;
}

static size_t weight(const pubsub_publication *pub)
{
    return pub->payload.len + pub->topic.len + sizeof(pubsub__publish);
}

pubsub_err pubsub__publish_room_locked(pubsub_client *client, const pubsub_publication *pub,
                                       uint64_t deadline, bool wait, pubsub_error *err)
{
    pubsub_err rc = usable_locked(client, err);
    return rc == PUBSUB_OK ? wait_space(client, weight(pub), deadline, wait, err) : rc;
}

/* @locks lock held. *wake becomes true when the I/O thread has to be woken, best without the lock: it
 * takes it at once. */
static pubsub__publish *queue_up(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub__publish_kind kind, bool *wake)
{
    pubsub__publish *publish = pubsub__chunk_add(&client->chunks, pub);
    if (publish == NULL) {
        return NULL;
    }
    pubsub__publish_lower(client, &publish->spi.pub);
    publish->kind = kind;
    publish->report = kind == PUBSUB__PUBLISH_PLAIN && client->on_delivery != NULL &&
                      !(pub->flags & PUBSUB_PUBLISH_NO_REPORT);
    publish->spi.id = ++client->next_id;
    if (publish->spi.pub.expiry > 0) {
        publish->spi.expires_ns =
            pubsub__clock_wall_ns() + (uint64_t)publish->spi.pub.expiry * 1000000u;
    }
    bool held = kind == PUBSUB__PUBLISH_REQUEST && !client->calls.open;
    bool first = client->submitted.head == NULL;
    pubsub__publish_push(held ? &client->calls.held : &client->submitted, publish);
    client->queued++;
    client->queued_bytes += publish->bytes;
    client->unresolved++;
    *wake = *wake || first;
    return publish;
}

/* @locks lock held */
static pubsub__publish *enqueue(pubsub_client *client, const pubsub_publication *pub,
                                pubsub__publish_kind kind)
{
    bool wake = false;
    pubsub__publish *publish = queue_up(client, pub, kind, &wake);
    if (wake) {
        pubsub__wake(client);
    }
    return publish;
}

bool pubsub__publish_dead_letter(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub_message *message)
{
    pthread_mutex_lock(&client->lock);
    pubsub__publish *publish = enqueue(client, pub, PUBSUB__PUBLISH_DEAD_LETTER);
    if (publish != NULL) {
        publish->for_whom.dead = message;
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__turn_soon(client);
    return publish != NULL;
}

bool pubsub__publish_request_locked(pubsub_client *client, const pubsub_publication *pub,
                                    const pubsub__call *call)
{
    pubsub__publish *publish = enqueue(client, pub, PUBSUB__PUBLISH_REQUEST);
    if (publish != NULL) {
        publish->for_whom.call = call->number;
        publish->useless_ns = call->due_ns == PUBSUB__FOREVER_NS ? 0 : call->due_ns;
    }
    return publish != NULL;
}

pubsub_err pubsub_client_publish_batch(pubsub_client *client,
                                       const pubsub_publication *publications, size_t count,
                                       pubsub_duration_ms timeout, size_t *queued,
                                       pubsub_error *err)
{
    if (queued != NULL) {
        *queued = 0;
    }
    if (client == NULL || (publications == NULL && count > 0)) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client or no publications");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    size_t valid = 0;
    uint64_t bytes = 0;
    while (valid < count &&
           (rc = pubsub__publish_check(client, &publications[valid], err)) == PUBSUB_OK) {
        bytes += publications[valid++].payload.len;
    }
    uint64_t deadline = timeout == 0 ? 0 : pubsub__deadline(timeout);
    size_t done = 0;
    bool wake = false;
    pthread_mutex_lock(&client->lock);
    pubsub_err stop = PUBSUB_OK;
    if (timeout != 0 && pubsub__in_callback(client)) {
        stop = pubsub_error_set(err, PUBSUB_ESTATE,
                                "a handler cannot wait for queue space; use timeout 0 there");
    } else if (valid > 0) {
        stop = usable_locked(client, err);
    }
    for (; stop == PUBSUB_OK && done < valid; done++) {
        const pubsub_publication *pub = &publications[done];
        if (wake && !has_space(client, weight(pub))) {
            pubsub__wake(client); /* who waits for space waits for what is queued */
            wake = false;
        }
        stop = wait_space(client, weight(pub), deadline, timeout != 0, err);
        if (stop == PUBSUB_OK && queue_up(client, pub, PUBSUB__PUBLISH_PLAIN, &wake) == NULL) {
            stop = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory to queue a message");
        }
        if (stop != PUBSUB_OK) {
            break;
        }
    }
    pthread_mutex_unlock(&client->lock);
    if (wake) {
        pubsub__wake(client);
    }
    pubsub__count(client, published, done);
    pubsub__count(client, published_bytes, done == valid ? bytes : 0);
    for (size_t i = 0; done != valid && i < done; i++) {
        pubsub__count(client, published_bytes, publications[i].payload.len);
    }
    if (queued != NULL) {
        *queued = done;
    }
    return stop != PUBSUB_OK ? stop : rc;
}

pubsub_err pubsub_client_publish(pubsub_client *client, const pubsub_publication *publication,
                                 pubsub_duration_ms timeout, pubsub_error *err)
{
    if (publication == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no publication");
    }
    return pubsub_client_publish_batch(client, publication, 1, timeout, NULL, err);
}

pubsub_err pubsub_client_publish_text(pubsub_client *client, const char *topic, const char *text,
                                      pubsub_error *err)
{
    if (client == NULL || topic == NULL || text == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client, topic or text");
    }
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pub.topic = pubsub_bytes_of(topic);
    pub.payload = pubsub_bytes_of(text);
    pthread_mutex_lock(&client->lock);
    bool in_callback = pubsub__in_callback(client);
    pthread_mutex_unlock(&client->lock);
    return pubsub_client_publish_batch(client, &pub, 1, in_callback ? 0 : PUBSUB_FOREVER, NULL,
                                       err);
}

pubsub_err pubsub_client_publish_wait(pubsub_client *client, const pubsub_publication *publication,
                                      pubsub_duration_ms timeout, pubsub_receipt *receipt,
                                      pubsub_error *err)
{
    if (client == NULL || publication == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client or no publication");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = pubsub__publish_check(client, publication, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    struct pubsub__waiter waiter;
    memset(&waiter, 0, sizeof waiter);
    uint64_t deadline = pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    pubsub__publish *publish = NULL;
    if (pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for an outcome");
        goto out;
    }
    rc = pubsub__publish_room_locked(client, publication, deadline, true, err);
    if (rc != PUBSUB_OK) {
        goto out;
    }
    publish = enqueue(client, publication, PUBSUB__PUBLISH_WAITER);
    if (publish == NULL) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory to queue a message");
        goto out;
    }
    pubsub__count(client, published, 1);
    pubsub__count(client, published_bytes, publication->payload.len);
    publish->for_whom.waiter = &waiter;
    while (!waiter.done && pubsub__wait(client, &client->state_cond, deadline)) {
    }
    if (!waiter.done) {
        publish->for_whom.waiter = NULL;
        waiter.receipt.outcome = PUBSUB_UNKNOWN;
        rc = pubsub_error_set(
            err, PUBSUB_ETIMEDOUT,
            "no outcome within %" PRId64 " ms; the message may still be delivered", timeout);
    } else if (waiter.receipt.outcome != PUBSUB_ACCEPTED) {
        rc = waiter.error.code != PUBSUB_OK ? waiter.error.code : PUBSUB_EREJECTED;
        if (err != NULL) {
            *err = waiter.error;
        }
    }
    if (receipt != NULL) {
        *receipt = waiter.receipt;
    }
out:
    pthread_mutex_unlock(&client->lock);
    return rc;
}

/* ---- on the I/O thread ---- */

void pubsub__publish_take(pubsub_client *client)
{
    bool timed = client->linger > 0 || client->publish_timeout >= 0;
    uint64_t now = timed ? pubsub__clock_mono_ns() : 0;
    pthread_mutex_lock(&client->lock);
    for (pubsub__publish *p = client->submitted.head; timed && p != NULL; p = p->next) {
        p->taken_ns = now;
        client->pending_bytes += p->bytes;
    }
    pubsub__publish_append(&client->pending, &client->submitted);
    bool flush = client->flush_wanted != client->flush_seen;
    client->flush_seen = client->flush_wanted;
    pthread_mutex_unlock(&client->lock);
    if (flush) {
        client->flush_pending = true;
    }
}

/* After everything so far was submitted and settled: the flush somebody waits for. */
void pubsub__publish_flush(pubsub_client *client)
{
    bool up = client->links[0].state == PUBSUB__LINK_UP;
    if (!client->flush_pending || (up && client->pending.head != NULL)) {
        return;
    }
    bool through =
        !up || client->adapter->flush == NULL || client->adapter->flush(client->instance);
    client->flush_pending = false;
    if (through) {
        pubsub_sink_flushed(&client->sink);
    }
}

void pubsub_sink_flushed(pubsub_sink *sink)
{
    pubsub_client *client = sink->client;
    pthread_mutex_lock(&client->lock);
    client->flush_done = client->flush_seen;
    client->progress = true;
    pthread_cond_broadcast(&client->state_cond);
    pthread_mutex_unlock(&client->lock);
}

/* Whether the server can do it, degraded where that is allowed. The way back of a request never is. */
static pubsub_err negotiate_one(pubsub_client *client, pubsub__publish *publish, pubsub_error *err)
{
    const pubsub_publication *pub = &publish->spi.pub;
    pubsub_grant grant;
    pubsub_request request = {PUBSUB__REQUEST_FEATURES, NULL};
    if (publish->kind == PUBSUB__PUBLISH_REQUEST) {
        pubsub_err rc = pubsub__negotiate(client, &client->caps, &request, false, &grant, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    bool degrade = client->degrade || (pub->flags & PUBSUB_PUBLISH_DEGRADE);
    request.features = pubsub__publish_features(pub);
    return pubsub__negotiate(client, &client->caps, &request, degrade, &grant, err);
}

static void negotiate_list(pubsub_client *client, pubsub__publish_list *list)
{
    uint64_t ok = atomic_load(&client->publish_ok);
    pubsub__publish *next = NULL;
    for (pubsub__publish *p = list->head; p != NULL; p = next) {
        next = p->next;
        uint64_t features = pubsub__publish_features(&p->spi.pub);
        features |= p->kind == PUBSUB__PUBLISH_REQUEST ? PUBSUB__REQUEST_FEATURES : 0;
        if ((features & ~ok) == 0) {
            continue;
        }
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (negotiate_one(client, p, &err) == PUBSUB_OK) {
            pubsub__publish_lower(client, &p->spi.pub);
            continue;
        }
        pubsub_spi_outcome outcome = {&p->spi, PUBSUB_REJECTED,      PUBSUB_CONFIRM_NONE,
                                      0,       PUBSUB_POSITION_NONE, &err};
        pubsub__publish_remove(list, p);
        pubsub__publish_finish(client, p, &outcome);
    }
}

void pubsub__publish_negotiate(pubsub_client *client)
{
    pubsub__publish_list held = {NULL, NULL, 0};
    pubsub__publish_take(client);
    negotiate_list(client, &client->pending);
    pthread_mutex_lock(&client->lock);
    pubsub__publish_append(&held, &client->calls.held);
    pthread_mutex_unlock(&client->lock);
    negotiate_list(client, &held);
    pthread_mutex_lock(&client->lock);
    pubsub__publish_append(&held, &client->calls.held); /* what came meanwhile comes after */
    pubsub__publish_append(&client->calls.held, &held);
    pthread_mutex_unlock(&client->lock);
}

static bool is_late(const pubsub__publish *publish)
{
    return (publish->spi.expires_ns != 0 && publish->spi.expires_ns <= pubsub__clock_wall_ns()) ||
           (publish->useless_ns != 0 && publish->useless_ns <= pubsub__clock_mono_ns());
}

/* A message whose time is over when its turn comes is not sent; a request, when nobody waits any more. */
static bool drop_expired(pubsub_client *client, pubsub__publish *publish)
{
    if (!is_late(publish)) {
        return false;
    }
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_error_set(&err, PUBSUB_ETIMEDOUT, "expired before it was sent");
    pubsub_spi_outcome outcome = {
        &publish->spi, PUBSUB_DROPPED, PUBSUB_CONFIRM_NONE, 0, PUBSUB_POSITION_NONE, &err};
    pubsub__publish_finish(client, publish, &outcome);
    return true;
}

/* A batch waits for more, but not longer than linger and not when somebody waits for it. */
static bool lingers(const pubsub_client *client)
{
    const pubsub__publish *head = client->pending.head;
    return client->linger > 0 && !client->flush_pending && head->spi.sends == 0 &&
           client->pending.count < client->batch_messages &&
           client->pending_bytes < client->batch_bytes &&
           pubsub__clock_mono_ns() < head->taken_ns + (uint64_t)client->linger * 1000000u;
}

void pubsub__publish_due(pubsub_client *client, uint64_t now_ns)
{
    if (client->publish_timeout < 0) {
        return;
    }
    uint64_t timeout = (uint64_t)client->publish_timeout * 1000000u;
    while (client->pending.head != NULL && client->pending.head->taken_ns + timeout <= now_ns) {
        pubsub__publish *publish = pubsub__publish_pop(&client->pending);
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ETIMEDOUT,
                         "could not be sent within publish_timeout (%" PRId64 " ms)",
                         client->publish_timeout);
        pubsub_spi_outcome outcome = {
            &publish->spi,        publish->spi.sends > 0 ? PUBSUB_UNKNOWN : PUBSUB_NOT_SENT,
            PUBSUB_CONFIRM_NONE,  0,
            PUBSUB_POSITION_NONE, &err};
        pubsub__publish_finish(client, publish, &outcome);
    }
}

uint64_t pubsub__publish_next_due(const pubsub_client *client)
{
    const pubsub__publish *head = client->pending.head;
    uint64_t due = PUBSUB__FOREVER_NS;
    if (head != NULL && client->publish_timeout >= 0) {
        due = head->taken_ns + (uint64_t)client->publish_timeout * 1000000u;
    }
    if (head != NULL && client->linger > 0 && client->links[0].state == PUBSUB__LINK_UP &&
        !client->submit_blocked && !client->closing) {
        uint64_t ripe = head->taken_ns + (uint64_t)client->linger * 1000000u;
        due = ripe < due ? ripe : due;
    }
    return due;
}

void pubsub__publish_submit(pubsub_client *client)
{
    if (client->pending.head == NULL || client->links[0].state != PUBSUB__LINK_UP ||
        client->submit_blocked || client->closing || lingers(client)) {
        return;
    }
    client->pending_bytes = 0;
    pubsub_spi_publish *batch[PUBSUB__SUBMIT_BATCH];
    while (client->pending.head != NULL && !client->submit_blocked) {
        size_t count = 0;
        size_t bytes = 0;
        while (count < client->batch_messages && bytes < client->batch_bytes &&
               client->pending.head != NULL) {
            pubsub__publish *publish = pubsub__publish_pop(&client->pending);
            if (drop_expired(client, publish)) {
                continue;
            }
            publish->handed_over = true;
            pubsub__publish_push(&client->handed_over, publish);
            bytes += publish->bytes;
            batch[count++] = &publish->spi;
        }
        size_t taken = count > 0 ? client->adapter->submit(client->instance, batch, count) : 0;
        if (taken < count) {
            client->submit_blocked = true;
            for (size_t i = count; i > taken; i--) {
                pubsub__publish *publish = (pubsub__publish *)(void *)batch[i - 1];
                publish->handed_over = false;
                pubsub__publish_remove(&client->handed_over, publish);
                pubsub__publish_insert(&client->pending, publish, NULL);
            }
        }
    }
}

void pubsub_sink_writable(pubsub_sink *sink)
{
    sink->client->submit_blocked = false;
    pubsub__turn_soon(sink->client);
}
