/* SPDX-License-Identifier: MIT */
#include "transport/queue.h"

#include "base/alloc.h"

#include <string.h>

#define FIRST_CAP 4096u
/* An empty queue that once grew beyond this gives its memory back. */
#define KEEP_CAP (256u * 1024u)

void pubsub__queue_init(pubsub__queue *queue, size_t max)
{
    memset(queue, 0, sizeof *queue);
    queue->max = max;
}

void pubsub__queue_fini(pubsub__queue *queue)
{
    pubsub__free(queue->data);
    pubsub__queue_init(queue, queue->max);
}

size_t pubsub__queue_room(const pubsub__queue *queue)
{
    return queue->max > queue->len ? queue->max - queue->len : 0;
}

/* Doubles, up to twice the maximum: from there on what waits is never more than half of it. */
static bool grow(pubsub__queue *queue, size_t need)
{
    size_t cap = queue->cap == 0 ? FIRST_CAP : queue->cap * 2;
    while (cap < need) {
        cap *= 2;
    }
    if (cap > queue->max * 2 && queue->max * 2 >= need) {
        cap = queue->max * 2;
    }
    char *data = pubsub__alloc(cap);
    if (data == NULL) {
        return false;
    }
    if (queue->len > 0) {
        memcpy(data, queue->data + queue->head, queue->len);
    }
    pubsub__free(queue->data);
    queue->data = data;
    queue->cap = cap;
    queue->head = 0;
    return true;
}

bool pubsub__queue_add(pubsub__queue *queue, const void *bytes, size_t len)
{
    if (len == 0) {
        return true;
    }
    if (queue->cap - queue->head - queue->len < len) {
        size_t need = queue->len + len;
        /* Moving what waits is worth it only when that is less than half; else it would be moved
         * again and again for a few bytes. */
        if (need <= queue->cap && queue->len <= queue->cap / 2) {
            memmove(queue->data, queue->data + queue->head, queue->len);
            queue->head = 0;
        } else if (!grow(queue, need)) {
            return false;
        }
    }
    memcpy(queue->data + queue->head + queue->len, bytes, len);
    queue->len += len;
    return true;
}

pubsub_bytes pubsub__queue_bytes(const pubsub__queue *queue)
{
    pubsub_bytes bytes = {queue->len == 0 ? NULL : queue->data + queue->head, queue->len};
    return bytes;
}

void pubsub__queue_drop(pubsub__queue *queue, size_t len)
{
    queue->head += len;
    queue->len -= len;
    if (queue->len == 0) {
        queue->head = 0;
        if (queue->cap > KEEP_CAP) {
            pubsub__free(queue->data);
            queue->data = NULL;
            queue->cap = 0;
        }
    }
}
