/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"

#include <string.h>

/* Publishes are bump-allocated from chunks under the client's lock, so that the steady state costs one
 * copy and no allocation: outcomes come mostly in order, a chunk empties as a whole and is used again. */

#define CHUNK_BYTES ((size_t)256 * 1024)
#define CHUNKS_KEPT 16u

struct pubsub__chunk {
    pubsub__chunk *next_free;
    size_t live; /* publishes in it, plus 1 while it is open */
    size_t used;
    size_t size;
    max_align_t bytes[];
};

static size_t aligned(size_t len)
{
    size_t unit = sizeof(max_align_t);
    return (len + unit - 1) / unit * unit;
}

static size_t needed(const pubsub_publication *pub)
{
    size_t size = aligned(sizeof(pubsub__publish)) + pub->header_count * sizeof(pubsub_header) +
                  pub->topic.len + pub->payload.len + pub->key.len + pub->content_type.len +
                  pub->reply_to.len + pub->correlation.len;
    for (size_t i = 0; i < pub->header_count; i++) {
        size += pub->headers[i].name.len + pub->headers[i].value.len;
    }
    return aligned(size);
}

static void retire(pubsub__chunk_pool *pool, pubsub__chunk *chunk)
{
    if (chunk->size == CHUNK_BYTES && pool->kept < CHUNKS_KEPT) {
        chunk->used = 0;
        chunk->next_free = pool->free;
        pool->free = chunk;
        pool->kept++;
        return;
    }
    pubsub__free(chunk);
}

static void close_open(pubsub__chunk_pool *pool)
{
    pubsub__chunk *chunk = pool->open;
    pool->open = NULL;
    if (chunk != NULL && --chunk->live == 0) {
        retire(pool, chunk);
    }
}

static pubsub__chunk *chunk_for(pubsub__chunk_pool *pool, size_t size)
{
    pubsub__chunk *chunk = pool->open;
    if (chunk != NULL && chunk->size - chunk->used >= size) {
        return chunk;
    }
    if (size > CHUNK_BYTES / 4) { /* a big one gets its own and leaves the open one open */
        chunk = pubsub__alloc(sizeof *chunk + size);
        if (chunk != NULL) {
            chunk->live = 0;
            chunk->used = 0;
            chunk->size = size;
        }
        return chunk;
    }
    close_open(pool);
    if (pool->free != NULL) {
        chunk = pool->free;
        pool->free = chunk->next_free;
        pool->kept--;
    } else {
        chunk = pubsub__alloc(sizeof *chunk + CHUNK_BYTES);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->size = CHUNK_BYTES;
    }
    chunk->used = 0;
    chunk->live = 1;
    pool->open = chunk;
    return chunk;
}

static pubsub_bytes put(unsigned char **at, pubsub_bytes bytes)
{
    pubsub_bytes out = {NULL, 0};
    if (bytes.data != NULL) {
        out.data = *at;
        out.len = bytes.len;
        memcpy(*at, bytes.data, bytes.len);
        *at += bytes.len;
    }
    return out;
}

pubsub__publish *pubsub__chunk_add(pubsub__chunk_pool *pool, const pubsub_publication *pub)
{
    size_t size = needed(pub);
    pubsub__chunk *chunk = chunk_for(pool, size);
    if (chunk == NULL) {
        return NULL;
    }
    unsigned char *at = (unsigned char *)chunk->bytes + chunk->used;
    pubsub__publish *publish = (pubsub__publish *)(void *)at;
    memset(publish, 0, sizeof *publish);
    publish->chunk = chunk;
    publish->bytes = size;
    pubsub_publication *copy = &publish->spi.pub;
    *copy = *pub;
    at += aligned(sizeof *publish);
    pubsub_header *headers = (pubsub_header *)(void *)at;
    at += pub->header_count * sizeof *headers;
    for (size_t i = 0; i < pub->header_count; i++) {
        headers[i].name = put(&at, pub->headers[i].name);
        headers[i].value = put(&at, pub->headers[i].value);
    }
    copy->headers = pub->header_count > 0 ? headers : NULL;
    copy->topic = put(&at, pub->topic);
    copy->key = put(&at, pub->key);
    copy->content_type = put(&at, pub->content_type);
    copy->reply_to = put(&at, pub->reply_to);
    copy->correlation = put(&at, pub->correlation);
    copy->payload = put(&at, pub->payload);
    chunk->used += size;
    chunk->live++;
    return publish;
}

void pubsub__chunk_drop(pubsub__chunk_pool *pool, pubsub__publish *publish)
{
    pubsub__chunk *chunk = publish->chunk;
    pubsub__free(publish->error);
    if (--chunk->live == 0) {
        retire(pool, chunk);
    } else if (chunk == pool->open && chunk->live == 1) {
        chunk->used = 0; /* everything in it is through: start over in place */
    }
}

void pubsub__chunk_pool_fini(pubsub__chunk_pool *pool)
{
    close_open(pool);
    while (pool->free != NULL) {
        pubsub__chunk *chunk = pool->free;
        pool->free = chunk->next_free;
        pubsub__free(chunk);
    }
    pool->kept = 0;
}

/* ---- lists ---- */

void pubsub__publish_push(pubsub__publish_list *list, pubsub__publish *publish)
{
    publish->next = NULL;
    publish->prev = list->tail;
    if (list->tail == NULL) {
        list->head = publish;
    } else {
        list->tail->next = publish;
    }
    list->tail = publish;
    list->count++;
}

static void unlink_publish(pubsub__publish_list *list, pubsub__publish *publish)
{
    if (publish->prev != NULL) {
        publish->prev->next = publish->next;
    } else {
        list->head = publish->next;
    }
    if (publish->next != NULL) {
        publish->next->prev = publish->prev;
    } else {
        list->tail = publish->prev;
    }
    publish->next = publish->prev = NULL;
    list->count--;
}

void pubsub__publish_remove(pubsub__publish_list *list, pubsub__publish *publish)
{
    unlink_publish(list, publish);
}

pubsub__publish *pubsub__publish_pop(pubsub__publish_list *list)
{
    pubsub__publish *publish = list->head;
    if (publish != NULL) {
        unlink_publish(list, publish);
    }
    return publish;
}

void pubsub__publish_insert(pubsub__publish_list *list, pubsub__publish *publish,
                            pubsub__publish *before)
{
    /* Those that come back are older than nearly all that wait: walk from the front, or from the one that
     * came back before. */
    bool behind = before != NULL && before->spi.id < publish->spi.id;
    pubsub__publish *at = behind ? before : list->head;
    if (list->tail != NULL && list->tail->spi.id < publish->spi.id) {
        at = NULL; /* the undelivered ones come in order, and there may be very many */
    }
    while (at != NULL && at->spi.id < publish->spi.id) {
        at = at->next;
    }
    if (at == NULL) {
        pubsub__publish_push(list, publish);
        return;
    }
    publish->next = at;
    publish->prev = at->prev;
    if (at->prev != NULL) {
        at->prev->next = publish;
    } else {
        list->head = publish;
    }
    at->prev = publish;
    list->count++;
}

void pubsub__publish_append(pubsub__publish_list *list, pubsub__publish_list *other)
{
    if (other->head == NULL) {
        return;
    }
    if (list->tail == NULL) {
        *list = *other;
    } else {
        list->tail->next = other->head;
        other->head->prev = list->tail;
        list->tail = other->tail;
        list->count += other->count;
    }
    other->head = other->tail = NULL;
    other->count = 0;
}

void pubsub__message_push(pubsub__message_list *list, pubsub_message *message)
{
    message->next = NULL;
    if (list->tail == NULL) {
        list->head = message;
    } else {
        list->tail->next = message;
    }
    list->tail = message;
    list->count++;
}

pubsub_message *pubsub__message_pop(pubsub__message_list *list)
{
    pubsub_message *message = list->head;
    if (message != NULL) {
        list->head = message->next;
        if (list->head == NULL) {
            list->tail = NULL;
        }
        message->next = NULL;
        list->count--;
    }
    return message;
}

void pubsub__message_append(pubsub__message_list *list, pubsub__message_list *other)
{
    if (other->head == NULL) {
        return;
    }
    if (list->tail == NULL) {
        list->head = other->head;
    } else {
        list->tail->next = other->head;
    }
    list->tail = other->tail;
    list->count += other->count;
    other->head = other->tail = NULL;
    other->count = 0;
}
