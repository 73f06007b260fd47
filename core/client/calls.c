/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <inttypes.h>
#include <string.h>

/* Requests that wait: found by number, ended by an answer, an error or their time. A caller that waits
 * brings the memory and watches the time itself; the others share the core's timer through a heap. */

#define BUCKETS_FIRST 64u
#define SPARE_MAX 64u
#define NOWHERE SIZE_MAX

void pubsub__calls_init(pubsub__calls *calls)
{
    pubsub__rand_name(calls->tag, PUBSUB__CALL_TAG_LEN);
    atomic_init(&calls->next_due_ns, PUBSUB__FOREVER_NS);
}

void pubsub__calls_fini(pubsub__calls *calls)
{
    while (calls->spare != NULL) {
        pubsub__call *call = calls->spare;
        calls->spare = call->next;
        pubsub__free(call);
    }
    pubsub__free(calls->buckets);
    pubsub__free(calls->heap);
    pubsub__free(calls->address);
}

/* ---- by number ---- */

static pubsub__call **bucket_of(pubsub__calls *calls, uint64_t number)
{
    return &calls->buckets[number & (calls->bucket_count - 1)];
}

static bool grow_buckets(pubsub__calls *calls)
{
    size_t count = calls->bucket_count == 0 ? BUCKETS_FIRST : calls->bucket_count * 2;
    pubsub__call **buckets = pubsub__calloc(count, sizeof(pubsub__call *));
    if (buckets == NULL) {
        return calls->bucket_count > 0; /* longer chains will do */
    }
    for (size_t i = 0; i < calls->bucket_count; i++) {
        for (pubsub__call *call = calls->buckets[i]; call != NULL;) {
            pubsub__call *next = call->next;
            call->next = buckets[call->number & (count - 1)];
            buckets[call->number & (count - 1)] = call;
            call = next;
        }
    }
    pubsub__free(calls->buckets);
    calls->buckets = buckets;
    calls->bucket_count = count;
    return true;
}

pubsub__call *pubsub__call_find_locked(pubsub_client *client, uint64_t number)
{
    pubsub__call *call = client->calls.bucket_count > 0 ? *bucket_of(&client->calls, number) : NULL;
    while (call != NULL && call->number != number) {
        call = call->next;
    }
    return call;
}

/* ---- by time ---- */

static void heap_put(pubsub__calls *calls, size_t at, pubsub__call *call)
{
    calls->heap[at] = call;
    call->heap_at = at;
}

static void heap_up(pubsub__calls *calls, size_t at)
{
    pubsub__call *call = calls->heap[at];
    while (at > 0 && calls->heap[(at - 1) / 2]->due_ns > call->due_ns) {
        heap_put(calls, at, calls->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(calls, at, call);
}

static void heap_down(pubsub__calls *calls, size_t at)
{
    pubsub__call *call = calls->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < calls->heap_count &&
            calls->heap[child + 1]->due_ns < calls->heap[child]->due_ns) {
            child++;
        }
        if (child >= calls->heap_count || calls->heap[child]->due_ns >= call->due_ns) {
            break;
        }
        heap_put(calls, at, calls->heap[child]);
        at = child;
    }
    heap_put(calls, at, call);
}

static void heap_changed(pubsub__calls *calls)
{
    atomic_store_explicit(&calls->next_due_ns,
                          calls->heap_count > 0 ? calls->heap[0]->due_ns : PUBSUB__FOREVER_NS,
                          memory_order_relaxed);
}

static bool heap_add(pubsub__calls *calls, pubsub__call *call)
{
    if (calls->heap_count == calls->heap_capacity) {
        size_t more = calls->heap_capacity == 0 ? 64 : calls->heap_capacity * 2;
        pubsub__call **heap = pubsub__realloc(calls->heap, more * sizeof(pubsub__call *));
        if (heap == NULL) {
            return false;
        }
        calls->heap = heap;
        calls->heap_capacity = more;
    }
    calls->heap[calls->heap_count] = call;
    heap_up(calls, calls->heap_count++);
    heap_changed(calls);
    return true;
}

static void heap_remove(pubsub__calls *calls, pubsub__call *call)
{
    size_t at = call->heap_at;
    pubsub__call *last = calls->heap[--calls->heap_count];
    call->heap_at = NOWHERE;
    if (last != call) {
        heap_put(calls, at, last);
        heap_up(calls, at);
        heap_down(calls, last->heap_at);
    }
    heap_changed(calls);
}

/* ---- coming and going ---- */

pubsub_err pubsub__call_add_locked(pubsub_client *client, pubsub__call *call, pubsub_error *err)
{
    pubsub__calls *calls = &client->calls;
    bool timed = call->cond == NULL && call->due_ns != PUBSUB__FOREVER_NS;
    call->heap_at = NOWHERE;
    if ((calls->count >= calls->bucket_count && !grow_buckets(calls)) ||
        (timed && !heap_add(calls, call))) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a request");
    }
    call->number = ++calls->last_number;
    pubsub__call **bucket = bucket_of(calls, call->number);
    call->next = *bucket;
    *bucket = call;
    calls->count++;
    return PUBSUB_OK;
}

void pubsub__call_remove_locked(pubsub_client *client, pubsub__call *call)
{
    pubsub__calls *calls = &client->calls;
    pubsub__call **at = bucket_of(calls, call->number);
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    call->next = NULL;
    calls->count--;
    if (call->heap_at != NOWHERE) {
        heap_remove(calls, call);
    }
}

void pubsub__call_end_locked(pubsub_client *client, pubsub__call *call, pubsub_message *reply,
                             const pubsub_error *err)
{
    pubsub__call_remove_locked(client, call);
    call->reply = pubsub_message_ref(reply);
    if (reply == NULL) {
        call->error = *err;
    }
    call->done = true;
    client->progress = true;
    if (call->cond != NULL) {
        pthread_cond_signal(call->cond);
        return;
    }
    if (client->calls.ended_tail == NULL) {
        client->calls.ended = call;
    } else {
        client->calls.ended_tail->next = call;
    }
    client->calls.ended_tail = call;
    pubsub__ready_changed(client);
}

void pubsub__calls_due(pubsub_client *client, uint64_t now_ns)
{
    pubsub__calls *calls = &client->calls;
    if (pubsub__calls_next_due(client) > now_ns) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    while (calls->heap_count > 0 && calls->heap[0]->due_ns <= now_ns) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ETIMEDOUT, "no answer within %" PRId64 " ms",
                         calls->heap[0]->timeout);
        pubsub__call_end_locked(client, calls->heap[0], NULL, &err);
    }
    pthread_mutex_unlock(&client->lock);
}

uint64_t pubsub__calls_next_due(const pubsub_client *client)
{
    return atomic_load_explicit(&client->calls.next_due_ns, memory_order_relaxed);
}

/* ---- telling ---- */

/* @locks lock held */
static void recycle(pubsub__calls *calls, pubsub__call *call)
{
    if (calls->spare_count >= SPARE_MAX) {
        pubsub__free(call);
        return;
    }
    call->next = calls->spare;
    calls->spare = call;
    calls->spare_count++;
}

int pubsub__calls_dispatch(pubsub_client *client)
{
    pubsub__calls *calls = &client->calls;
    pubsub__call *call = calls->ended;
    int called = 0;
    calls->ended = calls->ended_tail = NULL;
    while (call != NULL) {
        pubsub__call *next = call->next;
        pthread_mutex_unlock(&client->lock);
        call->fn(call->ctx, call->reply, call->reply == NULL ? &call->error : NULL);
        pubsub_message_unref(call->reply);
        pthread_mutex_lock(&client->lock);
        recycle(calls, call);
        called++;
        call = next;
    }
    return called;
}
