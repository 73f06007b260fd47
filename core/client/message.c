/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <string.h>

/* What a received message can be asked. */

static const pubsub_spi_message *spi_of(const pubsub_message *message)
{
    return &message->spi;
}

pubsub_bytes pubsub_message_topic(const pubsub_message *message)
{
    return spi_of(message)->topic;
}

pubsub_bytes pubsub_message_payload(const pubsub_message *message)
{
    return spi_of(message)->payload;
}

pubsub_bytes pubsub_message_key(const pubsub_message *message)
{
    return spi_of(message)->key;
}

bool pubsub_message_has_key(const pubsub_message *message)
{
    return spi_of(message)->key.data != NULL;
}

pubsub_bytes pubsub_message_content_type(const pubsub_message *message)
{
    return spi_of(message)->content_type;
}

pubsub_bytes pubsub_message_reply_to(const pubsub_message *message)
{
    return spi_of(message)->reply_to;
}

pubsub_bytes pubsub_message_correlation(const pubsub_message *message)
{
    return spi_of(message)->correlation;
}

size_t pubsub_message_header_count(const pubsub_message *message)
{
    return spi_of(message)->header_count;
}

pubsub_header pubsub_message_header(const pubsub_message *message, size_t index)
{
    pubsub_header none = {{NULL, 0}, {NULL, 0}};
    return index < spi_of(message)->header_count ? spi_of(message)->headers[index] : none;
}

pubsub_bytes pubsub_message_header_find(const pubsub_message *message, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < spi_of(message)->header_count; i++) {
        const pubsub_header *header = &spi_of(message)->headers[i];
        if (header->name.len == len && memcmp(header->name.data, name, len) == 0) {
            return header->value;
        }
    }
    return (pubsub_bytes){NULL, 0};
}

pubsub_qos pubsub_message_qos(const pubsub_message *message)
{
    return (pubsub_qos)spi_of(message)->qos;
}

bool pubsub_message_is_retained(const pubsub_message *message)
{
    return spi_of(message)->flags & PUBSUB_SPI_RETAINED;
}

bool pubsub_message_is_redelivered(const pubsub_message *message)
{
    return (spi_of(message)->flags & PUBSUB_SPI_REDELIVERED) || spi_of(message)->attempt > 1;
}

bool pubsub_message_is_tombstone(const pubsub_message *message)
{
    return spi_of(message)->flags & PUBSUB_SPI_TOMBSTONE;
}

uint32_t pubsub_message_attempt(const pubsub_message *message)
{
    return spi_of(message)->attempt;
}

uint64_t pubsub_message_timestamp_ns(const pubsub_message *message)
{
    return spi_of(message)->timestamp_ns;
}

uint64_t pubsub_message_expires_ns(const pubsub_message *message)
{
    return spi_of(message)->expires_ns;
}

pubsub_position pubsub_message_position(const pubsub_message *message)
{
    pubsub_position position = PUBSUB_POSITION_NONE;
    const pubsub_subscription *sub = message->block->owner;
    const uint64_t *word = spi_of(message)->position;
    if (sub != NULL && (word[0] != UINT64_MAX || word[1] != UINT64_MAX)) {
        position.word[0] = word[0];
        position.word[1] = word[1];
        position.adapter = sub->client->adapter;
    }
    return position;
}

pubsub_subscription *pubsub_message_subscription(const pubsub_message *message)
{
    return message->block->owner;
}

size_t pubsub_position_text(const pubsub_position *position, char *text, size_t size)
{
    if (size > 0) {
        text[0] = '\0';
    }
    if (position->adapter == NULL || position->adapter->position_text == NULL) {
        return 0;
    }
    return position->adapter->position_text(position, text, size);
}

pubsub_err pubsub_message_to_publication(const pubsub_message *message, pubsub_header *headers,
                                         size_t header_capacity, pubsub_publication *out)
{
    if (message == NULL || out == NULL) {
        return PUBSUB_EINVAL;
    }
    const pubsub_spi_message *spi = spi_of(message);
    if (spi->header_count > header_capacity) {
        return PUBSUB_ETOOBIG;
    }
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pub.topic = spi->topic;
    pub.payload = spi->payload;
    pub.key = spi->key;
    pub.content_type = spi->content_type;
    pub.reply_to = spi->reply_to;
    pub.correlation = spi->correlation;
    pub.qos = (pubsub_qos)spi->qos;
    pub.flags = spi->flags & PUBSUB_SPI_TOMBSTONE ? PUBSUB_PUBLISH_TOMBSTONE : 0;
    if (spi->header_count > 0) {
        memcpy(headers, spi->headers, spi->header_count * sizeof *headers);
        pub.headers = headers;
        pub.header_count = spi->header_count;
    }
    *out = pub;
    return PUBSUB_OK;
}
