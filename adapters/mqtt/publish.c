/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"
#include "mqtt/map.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define QUOTA_PAUSE_NS NS_PER_S

/* A broker closes the connection of one who sends what it does not take, and with 3.1.1 it never says what
 * that is. What was lost with the connection this often goes alone, so that nothing innocent is lost with
 * it, and at last no more. */
enum { SUSPECT_SENDS = 3, POISON_SENDS = 8 };

/* ---- what is refused before anything of it is sent --------------------------------------------- */

static bool is_reserved(pubsub_bytes name)
{
    static const char *const ours[] = {MQTT_USER_KEY, MQTT_USER_TOMBSTONE, MQTT_USER_BASE64};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (name.len == strlen(ours[i]) && memcmp(name.data, ours[i], name.len) == 0) {
            return true;
        }
    }
    return false;
}

static pubsub_err check_headers(const pubsub_publication *pub, pubsub_error *err)
{
    for (size_t i = 0; i < pub->header_count; i++) {
        pubsub_bytes name = pub->headers[i].name;
        if (is_reserved(name)) {
            return pubsub_error_set(err, PUBSUB_EINVAL,
                                    "header %zu: the name '%.*s' is the library's own", i + 1,
                                    (int)name.len, (const char *)name.data);
        }
        if (!pubsub__mqtt_is_text(name)) {
            return pubsub_error_set(err, PUBSUB_EINVAL,
                                    "header %zu: MQTT allows no control or non-characters in a "
                                    "header's name",
                                    i + 1);
        }
        size_t len = pub->headers[i].value.len;
        if (len > MQTT_TEXT_MAX || (!pubsub__mqtt_is_text(pub->headers[i].value) &&
                                    pubsub__mqtt_base64_size(len) > MQTT_TEXT_MAX)) {
            return pubsub_error_set(err, PUBSUB_ETOOBIG,
                                    "header %zu has %zu bytes, MQTT takes %u, and 49149 of what "
                                    "is not text",
                                    i + 1, len, MQTT_TEXT_MAX);
        }
    }
    return PUBSUB_OK;
}

static pubsub_err check_properties(const pubsub_publication *pub, pubsub_error *err)
{
    if (pub->content_type.len > 0 && !pubsub__mqtt_is_text(pub->content_type)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "MQTT allows no control or non-characters in a content type, and "
                                "at most %u bytes",
                                MQTT_TEXT_MAX);
    }
    if (pub->correlation.len > MQTT_TEXT_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "MQTT takes at most %u bytes of correlation",
                                MQTT_TEXT_MAX);
    }
    if (pub->key.len > MQTT_TEXT_MAX || (!pubsub__mqtt_is_text(pub->key) &&
                                         pubsub__mqtt_base64_size(pub->key.len) > MQTT_TEXT_MAX)) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "MQTT takes a key of at most %u bytes",
                                MQTT_TEXT_MAX);
    }
    return pub->reply_to.len > 0 ? pubsub__mqtt_topic_check(pub->reply_to, "reply topic", err)
                                 : PUBSUB_OK;
}

pubsub_err pubsub__mqtt_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                              const pubsub_publication *publication, pubsub_error *err)
{
    (void)config;
    pubsub_err rc = pubsub__mqtt_topic_check(publication->topic, "topic", err);
    if (rc == PUBSUB_OK) {
        rc = check_properties(publication, err);
    }
    if (rc == PUBSUB_OK) {
        rc = check_headers(publication, err);
    }
    uint64_t size = publication->payload.len + publication->key.len +
                    publication->content_type.len + publication->reply_to.len +
                    publication->correlation.len;
    for (size_t i = 0; rc == PUBSUB_OK && i < publication->header_count; i++) {
        size += publication->headers[i].name.len + 2 * publication->headers[i].value.len;
    }
    if (rc == PUBSUB_OK && size > caps->max_payload) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG,
                                "payload and headers have %" PRIu64 " bytes, mqtt takes %" PRIu64,
                                size, caps->max_payload);
    }
    return rc;
}

/* ---- submitting --------------------------------------------------------------------------------- */

static bool make_room(mqtt_self *self, size_t properties, size_t bytes)
{
    if (properties > self->user_cap) {
        mqtt_user_property *more = pubsub__realloc(self->user, properties * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        self->user = more;
        self->user_cap = properties;
    }
    if (bytes > self->scratch_cap) {
        char *more = pubsub__realloc(self->scratch, bytes);
        if (more == NULL) {
            return false;
        }
        self->scratch = more;
        self->scratch_cap = bytes;
    }
    return true;
}

static uint32_t seconds_left(uint64_t expires_ns)
{
    uint64_t now = pubsub__clock_wall_ns();
    uint64_t left = expires_ns > now ? (expires_ns - now + NS_PER_S - 1) / NS_PER_S : 1;
    return left >= MQTT_EXPIRY_NONE ? MQTT_EXPIRY_NONE - 1 : (uint32_t)left;
}

static void report(mqtt_self *self, pubsub_spi_publish *publish, pubsub_outcome how,
                   const pubsub_error *error)
{
    pubsub_spi_outcome outcome = {publish, how, PUBSUB_CONFIRM_NONE, 0, PUBSUB_POSITION_NONE,
                                  error};
    pubsub_sink_outcomes(self->sink, &outcome, 1);
}

/* Whether one of them has to wait for the other's answer. */
static bool has_company(const mqtt_self *self, const mqtt_link *link,
                        const pubsub_spi_publish *publish)
{
    return link->in_flight > 0 && (self->alone || publish->sends >= SUSPECT_SENDS);
}

/* False: not now. */
static bool submit_one(mqtt_self *self, mqtt_link *link, pubsub_spi_publish *publish)
{
    mqtt_message message;
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t properties = 0;
    size_t bytes = 0;
    if (has_company(self, link, publish)) {
        return false;
    }
    pubsub__mqtt_encode_need(&publish->pub, &properties, &bytes);
    if (!make_room(self, properties, bytes)) {
        pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for the properties of a message");
        report(self, publish, PUBSUB_NOT_SENT, &error);
        return true;
    }
    pubsub__mqtt_encode(&publish->pub, link->connack.version, self->user, self->scratch, &message);
    message.qos = (uint8_t)publish->pub.qos;
    if (publish->expires_ns != 0 && link->connack.version >= MQTT_V5) {
        message.expiry_s = seconds_left(publish->expires_ns);
    }
    uint64_t size = pubsub__mqtt_packet_size(&message, link->connack.version);
    if (size > link->connack.maximum_packet) {
        pubsub_error_set(&error, PUBSUB_ETOOBIG,
                         "a packet of %" PRIu64 " bytes, this broker takes at most %" PRIu32, size,
                         link->connack.maximum_packet);
        report(self, publish, PUBSUB_REJECTED, &error);
        return true;
    }
    if (!self->engine->publish(link->engine, &message, publish)) {
        return false;
    }
    link->in_flight++;
    self->alone = publish->sends >= SUSPECT_SENDS;
    return true;
}

size_t pubsub__mqtt_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    mqtt_self *self = ctx;
    mqtt_link *link = pubsub__mqtt_link_find(self, 0);
    if (link == NULL || link->state != MQTT_LINK_UP || link->old_first ||
        (self->retry_ns != 0 && pubsub_sink_now_ns(self->sink) < self->retry_ns)) {
        return 0;
    }
    size_t taken = 0;
    bool idle = link->in_flight == 0;
    while (taken < count && submit_one(self, link, publishes[taken])) {
        taken++;
    }
    if (idle && link->in_flight > 0) {
        pubsub__mqtt_timer_set(self);
    }
    return taken;
}

/* ---- answers ------------------------------------------------------------------------------------ */

static pubsub_err code_of(int reason)
{
    switch (reason) {
    case MQTT_NOT_AUTHORIZED:
        return PUBSUB_EDENIED;
    case MQTT_TOPIC_NAME_INVALID:
        return PUBSUB_ETOPIC;
    case MQTT_PACKET_TOO_LARGE:
        return PUBSUB_ETOOBIG;
    case MQTT_QUOTA_EXCEEDED:
        return PUBSUB_EFULL;
    default:
        return PUBSUB_EREJECTED;
    }
}

static void explain(pubsub_error *error, pubsub_err code, int reason)
{
    const char *text = pubsub__mqtt_reason(reason);
    if (text != NULL) {
        pubsub_error_set(error, code, "the broker answers: %s", text);
    } else {
        pubsub_error_set(error, code, "the broker answers with reason 0x%02x", (unsigned)reason);
    }
    error->native_code = reason;
}

static void translate(mqtt_link *link, const mqtt_published *result, pubsub_spi_outcome *out,
                      pubsub_error *error)
{
    pubsub_spi_publish *publish = result->token;
    memset(out, 0, sizeof(*out));
    out->publish = publish;
    switch (result->how) {
    case MQTT_PUBLISHED:
        out->outcome = PUBSUB_ACCEPTED;
        out->confirm = publish->pub.qos > 0 ? PUBSUB_CONFIRM_RECEIVED : PUBSUB_CONFIRM_NONE;
        out->flags =
            result->reason == MQTT_NO_MATCHING_SUBSCRIBERS ? PUBSUB_REPORT_NO_SUBSCRIBER : 0;
        link->barren = 0;
        return;
    case MQTT_PUBLISH_REFUSED:
        explain(error, code_of(result->reason), result->reason);
        out->outcome = result->reason == MQTT_QUOTA_EXCEEDED ? PUBSUB_NOT_SENT : PUBSUB_REJECTED;
        if (result->reason == MQTT_QUOTA_EXCEEDED) {
            link->self->retry_ns = pubsub_sink_now_ns(link->self->sink) + QUOTA_PAUSE_NS;
        }
        break;
    case MQTT_PUBLISH_LOST:
        link->lost_some = true;
        out->outcome = PUBSUB_UNKNOWN;
        if (publish->sends + 1 >= POISON_SENDS) {
            pubsub_error_set(error, PUBSUB_EREJECTED,
                             "the connection was lost each of the %" PRIu32 " times it was sent: "
                             "this broker seems not to take it",
                             publish->sends + 1);
            out->flags = PUBSUB_OUTCOME_FINAL;
            link->quick_losses = 0;
        } else {
            pubsub_error_set(error, PUBSUB_ELOST,
                             "the connection was lost before the broker answered");
        }
        break;
    case MQTT_PUBLISH_NOT_SENT:
        pubsub_error_set(error, PUBSUB_ELOST, "the connection was lost before it was sent");
        out->outcome = PUBSUB_NOT_SENT;
        break;
    }
    out->error = error;
}

void pubsub__mqtt_published(void *host, const mqtt_published *results, size_t count)
{
    enum { BATCH = 64 };
    mqtt_link *link = host;
    mqtt_self *self = link->self;
    pubsub_spi_outcome outcomes[BATCH];
    pubsub_error errors[BATCH];
    link->in_flight -= count < link->in_flight ? count : link->in_flight;
    self->alone = self->alone && link->in_flight > 0;
    self->progress += count;
    for (size_t at = 0; at < count;) {
        size_t n = 0;
        for (; at < count && n < BATCH; at++, n++) {
            translate(link, &results[at], &outcomes[n], &errors[n]);
        }
        pubsub_sink_outcomes(self->sink, outcomes, n);
    }
    if (link->in_flight == 0 && link->state == MQTT_LINK_UP &&
        (link->old_first || link->lost_some)) {
        link->old_first = false;
        pubsub_sink_writable(self->sink); /* what was lost waits for a word */
    }
}
