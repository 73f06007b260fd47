/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Messages that are given up: published to the dead-letter topic with the reason in headers, and only
 * when that is confirmed is the original acknowledged. */

#define OWN_HEADERS 5u

bool pubsub__is_dead_letter(const pubsub_message *message)
{
    static const char prefix[] = "$dead/";
    pubsub_bytes topic = message->spi.topic;
    if (topic.len >= sizeof prefix - 1 && memcmp(topic.data, prefix, sizeof prefix - 1) == 0) {
        return true;
    }
    return pubsub_message_header_find(message, "pubsub-dead-topic").data != NULL;
}

bool pubsub__attempts_over(const pubsub_message *message)
{
    const pubsub_subscription *sub = message->block->owner;
    uint32_t max = sub->spi.request.max_attempts;
    return max != 0 && message->spi.attempt >= max && !pubsub__is_dead_letter(message);
}

static const char *holder(const pubsub_subscription *sub)
{
    return sub->group[0] != '\0' ? sub->group : sub->durable[0] != '\0' ? sub->durable : "-";
}

/* $dead/<group or durable name>/<topic>, or just the first part when that would be too long. */
static size_t derive_topic(const pubsub_message *message, char *out, size_t size)
{
    const pubsub_subscription *sub = message->block->owner;
    if (sub->dead_letter[0] != '\0') {
        return (size_t)snprintf(out, size, "%s", sub->dead_letter);
    }
    pubsub_bytes topic = message->spi.topic;
    int len =
        snprintf(out, size, "$dead/%s/%.*s", holder(sub), (int)topic.len, (const char *)topic.data);
    if (len < 0 || (size_t)len >= size || (size_t)len > PUBSUB_TOPIC_MAX) {
        len = snprintf(out, size, "$dead/%.900s", holder(sub));
    }
    return (size_t)len;
}

static void add_header(pubsub_header *headers, size_t *count, const char *name, const char *value,
                       size_t len)
{
    headers[*count].name = pubsub_bytes_of(name);
    headers[*count].value = (pubsub_bytes){value, len};
    (*count)++;
}

static void fail_later(pubsub_client *client, pubsub_message *message, const char *why)
{
    pubsub_subscription *sub = message->block->owner;
    pubsub__log(PUBSUB_LOG_ERROR, client->adapter->name,
                "a message of '%s' could not be dead-lettered and comes again: %s",
                (const char *)sub->patterns[0].data, why);
    pubsub__held_add(client, message, sub->nack_delay > 0 ? sub->nack_delay : 1000);
}

static void give_up(pubsub_client *client, pubsub_message *message)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_subscription *sub = message->block->owner;
    pubsub_error_set(&err, PUBSUB_EREJECTED,
                     "a message to '%.*s' was dropped after %u attempts: %s",
                     (int)(message->spi.topic.len > 80 ? 80 : message->spi.topic.len),
                     (const char *)message->spi.topic.data, message->spi.attempt,
                     message->reason != NULL ? message->reason : "refused by its handler");
    pubsub_sink_error(&client->sink, &sub->spi, &err);
    pubsub__settle_here(client, message, PUBSUB__ACK);
    pubsub__turn_soon(client);
}

void pubsub__dead_letter_start(pubsub_client *client, pubsub_message *message)
{
    pubsub_subscription *sub = message->block->owner;
    if (sub->dead_letter == NULL) {
        give_up(client, message);
        return;
    }
    const pubsub_spi_message *spi = &message->spi;
    pubsub_header *headers =
        pubsub__alloc((spi->header_count + OWN_HEADERS) * sizeof(pubsub_header));
    if (headers == NULL) {
        fail_later(client, message, "no memory");
        return;
    }
    char topic[PUBSUB_TOPIC_MAX + 8];
    char attempts[16];
    char time[24];
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pub.topic = (pubsub_bytes){topic, derive_topic(message, topic, sizeof topic)};
    pub.payload = spi->payload;
    pub.key = spi->key;
    pub.content_type = spi->content_type;
    pub.flags = PUBSUB_PUBLISH_DEGRADE;
    size_t count = 0;
    for (uint32_t i = 0; i < spi->header_count && i < PUBSUB_HEADERS_MAX - OWN_HEADERS; i++) {
        headers[count++] = spi->headers[i];
    }
    const char *reason = message->reason != NULL ? message->reason : "refused by its handler";
    int attempts_len = snprintf(attempts, sizeof attempts, "%" PRIu32, spi->attempt);
    int time_len = snprintf(time, sizeof time, "%" PRIu64, pubsub__clock_wall_ns());
    add_header(headers, &count, "pubsub-dead-topic", spi->topic.data, spi->topic.len);
    add_header(headers, &count, "pubsub-dead-reason", reason, strlen(reason));
    add_header(headers, &count, "pubsub-dead-attempts", attempts, (size_t)attempts_len);
    add_header(headers, &count, "pubsub-dead-group", holder(sub), strlen(holder(sub)));
    add_header(headers, &count, "pubsub-dead-time-ns", time, (size_t)time_len);
    pub.headers = headers;
    pub.header_count = count;
    if (!pubsub__publish_dead_letter(client, &pub, message)) {
        fail_later(client, message, "no memory");
    }
    pubsub__free(headers);
}

void pubsub__dead_letter_done(pubsub_client *client, pubsub_message *message, bool accepted,
                              const pubsub_error *err)
{
    pubsub_subscription *sub = message->block->owner;
    if (accepted) {
        pubsub__count(client, dead_lettered, 1);
        pubsub__settle_here(client, message, PUBSUB__ACK);
    } else if (sub->finishing || client->closing) {
        pubsub__settle_here(client, message, PUBSUB__HAND_BACK);
    } else {
        fail_later(client, message, err != NULL ? pubsub_error_text(err) : "not accepted");
    }
    pubsub__turn_soon(client);
}
