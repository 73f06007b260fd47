/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/utf8.h"

#include <inttypes.h>

/* Whether a publication may be queued: its shape, its text, the broker's features and limits. */

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

pubsub_err pubsub__publish_check(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub_error *err)
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
void pubsub__publish_lower(pubsub_client *client, pubsub_publication *pub)
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
