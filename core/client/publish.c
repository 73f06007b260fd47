/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <string.h>

/* From the call to the adapter. */

uint64_t pubsub__publish_features(const pubsub_publication *pub)
{
    uint64_t features = 0;
    if (pub->qos != PUBSUB_QOS_UNSET) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_QOS0 + pub->qos);
    }
    if (pub->flags & PUBSUB_PUBLISH_RETAIN) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_RETAIN);
    }
    if (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_TOMBSTONE);
    }
    if (pub->header_count > 0) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_HEADERS);
    }
    if (pub->key.data != NULL) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_KEY);
    }
    if (pub->content_type.len > 0) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_CONTENT_TYPE);
    }
    if (pub->reply_to.len > 0 || pub->correlation.len > 0) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_REPLY_TO);
    }
    if (pub->expiry > 0) {
        features |= PUBSUB_BIT(PUBSUB_FEATURE_EXPIRY);
    }
    return features;
}

static pubsub_err check_text(const char *what, pubsub_bytes text, pubsub_error *err)
{
    size_t good = text.len > 0 ? pubsub__utf8_valid_prefix(text.data, text.len) : 0;
    if (good < text.len) {
        return pubsub_error_set(err, PUBSUB_EUTF8, "%s is not valid UTF-8 at byte %zu", what, good);
    }
    return PUBSUB_OK;
}

static bool is_hollow(pubsub_bytes bytes)
{
    return bytes.len > 0 && bytes.data == NULL;
}

static pubsub_err check_headers(const pubsub_publication *pub, pubsub_error *err)
{
    if (pub->headers == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "header_count is %zu, but headers is NULL",
                                pub->header_count);
    }
    if (pub->header_count > PUBSUB_HEADERS_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "%zu headers, at most %u are allowed",
                                pub->header_count, PUBSUB_HEADERS_MAX);
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        pubsub_bytes name = pub->headers[i].name;
        if (name.data == NULL || name.len == 0 || name.len > PUBSUB_HEADER_NAME_MAX) {
            return pubsub_error_set(err, PUBSUB_EINVAL,
                                    "the name of header %zu must have 1 to %u bytes", i + 1,
                                    PUBSUB_HEADER_NAME_MAX);
        }
        if (is_hollow(pub->headers[i].value)) {
            return pubsub_error_set(err, PUBSUB_EINVAL,
                                    "the value of header %zu has a length but no data", i + 1);
        }
        pubsub_err rc = check_text("a header's name", name, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    return PUBSUB_OK;
}

static pubsub_err check_shape(const pubsub_publication *pub, pubsub_error *err)
{
    if (pub->size < sizeof *pub) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "publication.size is not set; start from PUBSUB_PUBLICATION_INIT");
    }
    if (pub->qos < PUBSUB_QOS_UNSET || pub->qos > PUBSUB_EXACTLY_ONCE) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "qos %d is not 0, 1 or 2", pub->qos);
    }
    if (is_hollow(pub->topic) || is_hollow(pub->payload) || is_hollow(pub->key) ||
        is_hollow(pub->content_type) || is_hollow(pub->reply_to) || is_hollow(pub->correlation)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "topic, payload or a property has a length but no data");
    }
    if (pub->expiry < 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "expiry is negative");
    }
    if ((pub->flags & PUBSUB_PUBLISH_TOMBSTONE) && pub->payload.len > 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "a tombstone has no payload");
    }
    return PUBSUB_OK;
}

/* Beyond what the wildcard characters mean, the broker's own limits. */
static pubsub_err check_limits(pubsub_client *client, const pubsub_publication *pub,
                               pubsub_error *err)
{
    const pubsub_caps *caps = &client->caps_offline;
    if (caps->max_payload > 0 && pub->payload.len > caps->max_payload) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG,
                                "payload of %zu bytes, %s takes at most %" PRIu64, pub->payload.len,
                                client->adapter->name, caps->max_payload);
    }
    if (caps->max_topic > 0 && pub->topic.len > caps->max_topic) {
        return pubsub_error_set(err, PUBSUB_ETOPIC, "topic of %zu bytes, %s takes at most %u",
                                pub->topic.len, client->adapter->name, caps->max_topic);
    }
    return client->adapter->check == NULL ? PUBSUB_OK
                                          : client->adapter->check(&client->config, caps, pub, err);
}

static pubsub_err check_features(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub_error *err)
{
    uint64_t features = pubsub__publish_features(pub);
    uint64_t ok = atomic_load_explicit(&client->publish_ok, memory_order_relaxed);
    uint64_t last = atomic_load_explicit(&client->publish_last, memory_order_relaxed);
    if ((features & ~ok) == 0 && (client->adapter->negotiate == NULL || features + 1 == last)) {
        return PUBSUB_OK;
    }
    pubsub_request request = {features, NULL};
    pubsub_grant grant;
    bool degrade = client->degrade || (pub->flags & PUBSUB_PUBLISH_DEGRADE);
    pthread_mutex_lock(&client->lock);
    pubsub_caps caps = client->caps;
    pthread_mutex_unlock(&client->lock);
    pubsub_err rc = pubsub__negotiate(client, &caps, &request, degrade, &grant, err);
    if (rc == PUBSUB_OK && grant.refused == 0) {
        atomic_store_explicit(&client->publish_last, features + 1, memory_order_relaxed);
    }
    return rc;
}

static pubsub_err check(pubsub_client *client, const pubsub_publication *pub, pubsub_error *err)
{
    pubsub_err rc = check_shape(pub, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub_topic_check(pub->topic.data, pub->topic.len, err);
    }
    if (rc == PUBSUB_OK && pub->header_count > 0) {
        rc = check_headers(pub, err);
    }
    if (rc == PUBSUB_OK) {
        rc = check_text("content_type", pub->content_type, err);
    }
    if (rc == PUBSUB_OK && pub->reply_to.len > 0) {
        rc = pubsub_topic_check(pub->reply_to.data, pub->reply_to.len, err);
    }
    if (rc == PUBSUB_OK) {
        rc = check_features(client, pub, err);
    }
    return rc == PUBSUB_OK ? check_limits(client, pub, err) : rc;
}

/* What degrade=allow drops, is dropped here; a qos of the broker's own choice is chosen here. */
static void settle_features(pubsub_client *client, pubsub_publication *pub)
{
    uint64_t ok = atomic_load_explicit(&client->publish_ok, memory_order_relaxed);
    if (pub->qos == PUBSUB_QOS_UNSET || !(ok & PUBSUB_BIT(PUBSUB_FEATURE_QOS0 + pub->qos))) {
        pub->qos =
            ok & PUBSUB_BIT(PUBSUB_FEATURE_QOS1) ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE;
    }
    uint64_t lacking = pubsub__publish_features(pub) & ~ok;
    if (lacking == 0) {
        return;
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_RETAIN)) {
        pub->flags &= ~PUBSUB_PUBLISH_RETAIN;
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_TOMBSTONE)) {
        pub->flags &= ~PUBSUB_PUBLISH_TOMBSTONE;
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_HEADERS)) {
        pub->header_count = 0;
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_KEY)) {
        pub->key = (pubsub_bytes){NULL, 0};
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_CONTENT_TYPE)) {
        pub->content_type = (pubsub_bytes){NULL, 0};
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_REPLY_TO)) {
        pub->reply_to = pub->correlation = (pubsub_bytes){NULL, 0};
    }
    if (lacking & PUBSUB_BIT(PUBSUB_FEATURE_EXPIRY)) {
        pub->expiry = 0;
    }
}

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
        pubsub__loop_dispatcher_start(client);
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
        if (client->unresolved == 0 && !client->polling && !client->dispatch_thread) {
            return pubsub_error_set(err, PUBSUB_EAGAIN,
                                    "the queue is full of delivery reports that nobody polls; call "
                                    "pubsub_client_poll");
        }
        client->space_waiters++;
        bool in_time = pubsub__wait(client, &client->space_cond, deadline);
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

/* @locks lock held */
static pubsub__publish *enqueue(pubsub_client *client, const pubsub_publication *pub,
                                pubsub__publish_kind kind)
{
    pubsub__publish *publish = pubsub__chunk_add(&client->chunks, pub);
    if (publish == NULL) {
        return NULL;
    }
    settle_features(client, &publish->spi.pub);
    publish->kind = kind;
    publish->report = kind == PUBSUB__PUBLISH_PLAIN && client->on_delivery != NULL &&
                      !(pub->flags & PUBSUB_PUBLISH_NO_REPORT);
    publish->spi.id = ++client->next_id;
    if (publish->spi.pub.expiry > 0) {
        publish->spi.expires_ns =
            pubsub__clock_wall_ns() + (uint64_t)publish->spi.pub.expiry * 1000000u;
    }
    bool first = client->submitted.head == NULL;
    pubsub__publish_push(&client->submitted, publish);
    client->queued++;
    client->queued_bytes += publish->bytes;
    client->unresolved++;
    if (first) {
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
    while (valid < count && (rc = check(client, &publications[valid], err)) == PUBSUB_OK) {
        bytes += publications[valid++].payload.len;
    }
    uint64_t deadline = timeout == 0 ? 0 : pubsub__deadline(timeout);
    size_t done = 0;
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
        stop = wait_space(client, weight(pub), deadline, timeout != 0, err);
        if (stop == PUBSUB_OK && enqueue(client, pub, PUBSUB__PUBLISH_PLAIN) == NULL) {
            stop = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory to queue a message");
        }
        if (stop != PUBSUB_OK) {
            break;
        }
    }
    pthread_mutex_unlock(&client->lock);
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
    pubsub_err rc = check(client, publication, err);
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
    rc = usable_locked(client, err);
    if (rc == PUBSUB_OK) {
        rc = wait_space(client, weight(publication), deadline, true, err);
    }
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

void pubsub__publish_negotiate(pubsub_client *client)
{
    uint64_t ok = atomic_load(&client->publish_ok);
    pubsub__publish_take(client);
    pubsub__publish *next = NULL;
    for (pubsub__publish *p = client->pending.head; p != NULL; p = next) {
        next = p->next;
        if ((pubsub__publish_features(&p->spi.pub) & ~ok) == 0) {
            continue;
        }
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_grant grant;
        pubsub_request request = {pubsub__publish_features(&p->spi.pub), NULL};
        bool degrade = client->degrade || (p->spi.pub.flags & PUBSUB_PUBLISH_DEGRADE);
        if (pubsub__negotiate(client, &client->caps, &request, degrade, &grant, &err) ==
            PUBSUB_OK) {
            settle_features(client, &p->spi.pub);
            continue;
        }
        pubsub_spi_outcome outcome = {&p->spi, PUBSUB_REJECTED,      PUBSUB_CONFIRM_NONE,
                                      0,       PUBSUB_POSITION_NONE, &err};
        pubsub__publish_remove(&client->pending, p);
        pubsub__publish_finish(client, p, &outcome);
    }
}

/* A message whose time is over when its turn comes is not sent. */
static bool drop_expired(pubsub_client *client, pubsub__publish *publish)
{
    if (publish->spi.expires_ns == 0 || publish->spi.expires_ns > pubsub__clock_wall_ns()) {
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
        !client->submit_blocked) {
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
                pubsub__publish_insert(&client->pending, publish);
            }
        }
    }
}

void pubsub_sink_writable(pubsub_sink *sink)
{
    sink->client->submit_blocked = false;
    pubsub__turn_soon(sink->client);
}
