/* SPDX-License-Identifier: MIT */
#include "message/block.h"

#include "base/alloc.h"

#include <string.h>

/* Three usual sizes, so that a message that trickles in does not hold the memory of hundreds. */
static const struct {
    uint32_t messages;
    size_t bytes;
} g_classes[] = {{2, 1024}, {32, 16384}, {PUBSUB_BLOCK_MESSAGES, (size_t)128 * 1024}};

#define CLASSES (sizeof g_classes / sizeof g_classes[0])
/* Slots of a block for one big message: small ones may ride along. */
#define BIG_SLOTS 8u

struct pubsub__block_pool {
    pthread_mutex_t lock;
    pubsub_block *free[CLASSES];
    size_t kept[CLASSES];
    size_t keep; /* of each class */
    size_t refs; /* the client and each block alive outside the pool */
    void (*on_free)(void *owner);
};

pubsub__block_pool *pubsub__block_pool_new(size_t keep, void (*on_free)(void *owner))
{
    pubsub__block_pool *pool = pubsub__calloc(1, sizeof *pool);
    if (pool != NULL) {
        pthread_mutex_init(&pool->lock, NULL);
        pool->keep = keep;
        pool->refs = 1;
        pool->on_free = on_free;
    }
    return pool;
}

/* @locks pool->lock held; released on return */
static void unref_locked(pubsub__block_pool *pool)
{
    bool last = --pool->refs == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!last) {
        return;
    }
    for (size_t i = 0; i < CLASSES; i++) {
        while (pool->free[i] != NULL) {
            pubsub_block *block = pool->free[i];
            pool->free[i] = block->next_free;
            pubsub__free(block);
        }
    }
    pthread_mutex_destroy(&pool->lock);
    pubsub__free(pool);
}

void pubsub__block_pool_unref(pubsub__block_pool *pool)
{
    if (pool != NULL) {
        pthread_mutex_lock(&pool->lock);
        pool->keep = 0;
        unref_locked(pool);
    }
}

static void reset(pubsub_block *block)
{
    block->owner = NULL;
    block->next_free = NULL;
    block->count = 0;
    block->used = 0;
    atomic_store_explicit(&block->refs, 0, memory_order_relaxed);
}

static pubsub_block *allocate(uint32_t capacity, size_t size)
{
    size_t slots = sizeof(pubsub_message) * capacity;
    if (size > SIZE_MAX - slots - sizeof(pubsub_block)) {
        return NULL;
    }
    pubsub_block *block = pubsub__alloc(sizeof(pubsub_block) + slots + size);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0, sizeof *block);
    block->capacity = capacity;
    block->size = size;
    block->bytes = (unsigned char *)&block->messages[capacity];
    atomic_init(&block->refs, 0);
    return block;
}

/* The smallest class with that much room; CLASSES when there is none. */
static size_t class_for(size_t messages, size_t bytes)
{
    size_t i = 0;
    while (i < CLASSES && (g_classes[i].messages < messages || g_classes[i].bytes < bytes)) {
        i++;
    }
    return i;
}

pubsub_block *pubsub__block_new(pubsub__block_pool *pool, size_t messages, size_t min_bytes)
{
    if (messages > PUBSUB_BLOCK_MESSAGES) {
        messages = PUBSUB_BLOCK_MESSAGES;
    }
    size_t class = class_for(messages, min_bytes);
    pubsub_block *block = NULL;
    pthread_mutex_lock(&pool->lock);
    pool->refs++;
    if (class < CLASSES && pool->free[class] != NULL) {
        block = pool->free[class];
        pool->free[class] = block->next_free;
        pool->kept[class]--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (block != NULL) {
        reset(block);
        return block;
    }
    block = class < CLASSES
                ? allocate(g_classes[class].messages, g_classes[class].bytes)
                : allocate(messages > BIG_SLOTS ? (uint32_t)messages : BIG_SLOTS, min_bytes);
    if (block == NULL) {
        pthread_mutex_lock(&pool->lock);
        unref_locked(pool);
        return NULL;
    }
    block->pool = pool;
    block->size_class = (uint32_t) class;
    return block;
}

static void recycle(pubsub_block *block)
{
    pubsub__block_pool *pool = block->pool;
    if (pool->on_free != NULL && block->owner != NULL) {
        pool->on_free(block->owner);
    }
    pthread_mutex_lock(&pool->lock);
    size_t class = block->size_class;
    if (class < CLASSES && pool->kept[class] < pool->keep) {
        block->next_free = pool->free[class];
        pool->free[class] = block;
        pool->kept[class]++;
        block = NULL;
    }
    unref_locked(pool);
    pubsub__free(block);
}

void pubsub__block_drop(pubsub_block *block, uint32_t n)
{
    if (n > 0 && atomic_fetch_sub_explicit(&block->refs, n, memory_order_acq_rel) == n) {
        recycle(block);
    }
}

void pubsub_block_discard(pubsub_block *block)
{
    if (block != NULL) {
        recycle(block);
    }
}

size_t pubsub_block_room(const pubsub_block *block)
{
    return block->count < block->capacity ? block->size - block->used : 0;
}

void *pubsub_block_take(pubsub_block *block, size_t len)
{
    if (len > block->size - block->used) {
        return NULL;
    }
    void *ptr = block->bytes + block->used;
    size_t step = (len + 7u) & ~(size_t)7u;
    block->used = step > block->size - block->used ? block->size : block->used + step;
    return ptr;
}

pubsub_bytes pubsub_block_copy(pubsub_block *block, pubsub_bytes bytes)
{
    pubsub_bytes out = {NULL, 0};
    if (bytes.data == NULL) {
        return out;
    }
    void *ptr = pubsub_block_take(block, bytes.len);
    if (ptr != NULL) {
        memcpy(ptr, bytes.data, bytes.len);
        out.data = ptr;
        out.len = bytes.len;
    }
    return out;
}

pubsub_spi_message *pubsub_block_message(pubsub_block *block)
{
    if (block->count == block->capacity) {
        return NULL;
    }
    pubsub_message *message = &block->messages[block->count++];
    memset(&message->spi, 0, sizeof message->spi);
    message->spi.qos = PUBSUB_AT_LEAST_ONCE;
    message->spi.attempt = 1;
    message->spi.position[0] = message->spi.position[1] = UINT64_MAX;
    return &message->spi;
}

size_t pubsub_block_count(const pubsub_block *block)
{
    return block->count;
}
