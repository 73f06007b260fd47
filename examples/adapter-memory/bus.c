/* SPDX-License-Identifier: MIT */
#include "bus.h"

#include <pubsub/spi/support.h>
#include <pubsub/topic.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

/* Most bytes that wait for one subscription. */
#define QUEUE_BYTES (UINT64_C(64) << 20)

typedef struct waiting {
    struct waiting *next;
    bus_message *message;
} waiting;

struct memory_bus {
    memory_bus *next;
    pthread_mutex_t lock;
    memory *clients;
    subscription *subs;
    char name[];
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static memory_bus *all;

memory_bus *bus_of(const char *name)
{
    memory_bus *found = NULL;
    size_t len = name == NULL ? 0 : strlen(name);
    pthread_mutex_lock(&all_lock);
    for (found = all; found != NULL && strcmp(found->name, len == 0 ? "" : name) != 0;) {
        found = found->next;
    }
    if (found == NULL) {
        found = pubsub_spi_calloc(1, sizeof(*found) + len + 1);
        if (found != NULL) {
            memcpy(found->name, len == 0 ? "" : name, len);
            (void)pthread_mutex_init(&found->lock, NULL);
            found->next = all;
            all = found;
        }
    }
    pthread_mutex_unlock(&all_lock);
    return found;
}

/* ---- clients ------------------------------------------------------------------------------- */

void bus_enter(memory *self)
{
    pthread_mutex_lock(&self->bus->lock);
    if (!self->entered) {
        self->entered = true;
        self->blocked = false;
        self->next = self->bus->clients;
        self->bus->clients = self;
    }
    pthread_mutex_unlock(&self->bus->lock);
}

void bus_leave(memory *self)
{
    pthread_mutex_lock(&self->bus->lock);
    for (memory **at = &self->bus->clients; *at != NULL; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    self->entered = false;
    pthread_mutex_unlock(&self->bus->lock);
}

bool bus_unblock(memory *self)
{
    pthread_mutex_lock(&self->bus->lock);
    bool room = self->room;
    self->room = false;
    pthread_mutex_unlock(&self->bus->lock);
    return room;
}

/* @locks held */
static void wake_blocked(memory_bus *bus)
{
    for (memory *client = bus->clients; client != NULL; client = client->next) {
        if (client->blocked) {
            client->blocked = false;
            client->room = true;
            pubsub_sink_wake(client->sink);
        }
    }
}

/* ---- messages ------------------------------------------------------------------------------ */

static void add(bus_message *message, pubsub_bytes bytes, size_t *len)
{
    if (bytes.len > 0) {
        memcpy(message->body + message->body_len, bytes.data, bytes.len);
        message->body_len += bytes.len;
    }
    *len = bytes.len;
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A copy in one piece of memory: the struct, the lengths of the headers, the bytes. */
static bus_message *copy_of(const pubsub_spi_publish *publish)
{
    const pubsub_publication *pub = &publish->pub;
    size_t bytes = pub->topic.len + pub->payload.len + pub->key.len + pub->content_type.len +
                   pub->reply_to.len + pub->correlation.len;
    for (size_t i = 0; i < pub->header_count; i++) {
        bytes += pub->headers[i].name.len + pub->headers[i].value.len;
    }
    bus_message *copy =
        pubsub_spi_alloc(sizeof(*copy) + pub->header_count * 2 * sizeof(size_t) + bytes);
    if (copy == NULL) {
        return NULL;
    }
    memset(copy, 0, sizeof(*copy));
    size_t *lens = (size_t *)(void *)(copy + 1);
    copy->header_lens = lens;
    copy->header_count = pub->header_count;
    copy->body = (unsigned char *)(lens + 2 * pub->header_count);
    add(copy, pub->topic, &copy->topic_len);
    add(copy, pub->payload, &copy->payload_len);
    add(copy, pub->key, &copy->key_len);
    add(copy, pub->content_type, &copy->content_type_len);
    add(copy, pub->reply_to, &copy->reply_to_len);
    add(copy, pub->correlation, &copy->correlation_len);
    for (size_t i = 0; i < pub->header_count; i++) {
        add(copy, pub->headers[i].name, &lens[2 * i]);
        add(copy, pub->headers[i].value, &lens[2 * i + 1]);
    }
    copy->has_key = pub->key.data != NULL;
    copy->tombstone = (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0;
    copy->qos = pub->qos;
    copy->timestamp_ns = wall_ns();
    copy->expires_ns = publish->expires_ns;
    return copy;
}

/* @locks held */
static void unref(bus_message *message)
{
    if (--message->refs == 0) {
        pubsub_spi_free(message);
    }
}

/* ---- queues -------------------------------------------------------------------------------- */

static bool wants(const subscription *sub, pubsub_bytes topic)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    for (size_t i = 0; i < request->pattern_count; i++) {
        const pubsub_bytes *pattern = &request->patterns[i];
        if (pubsub_topic_matches(pattern->data, pattern->len, topic.data, topic.len)) {
            return true;
        }
    }
    return false;
}

static bool is_full(const subscription *sub)
{
    return sub->count >= (size_t)sub->owner->queue_max || sub->bytes >= QUEUE_BYTES;
}

/* @locks held. False: no memory. */
static bool enqueue(subscription *sub, bus_message *message)
{
    waiting *one = pubsub_spi_alloc(sizeof(*one));
    if (one == NULL) {
        return false;
    }
    *one = (waiting){NULL, message};
    message->refs++;
    if (sub->last == NULL) {
        sub->first = one;
        pubsub_sink_wake(sub->owner->sink);
    } else {
        sub->last->next = one;
    }
    sub->last = one;
    sub->count++;
    sub->bytes += message->body_len;
    return true;
}

/* @locks held. The queue must not be empty. */
static bus_message *dequeue(subscription *sub)
{
    waiting *one = sub->first;
    bus_message *message = one->message;
    sub->first = one->next;
    sub->last = one->next == NULL ? NULL : sub->last;
    sub->count--;
    sub->bytes -= message->body_len;
    pubsub_spi_free(one);
    return message;
}

bus_answer bus_publish(memory *self, const pubsub_spi_publish *publish)
{
    bus_answer answer = BUS_NOBODY;
    bus_message *copy = NULL;
    pthread_mutex_lock(&self->bus->lock);
    for (subscription *sub = self->bus->subs; sub != NULL; sub = sub->next) {
        if (wants(sub, publish->pub.topic)) {
            answer = is_full(sub) ? BUS_FULL : BUS_TAKEN;
            if (answer == BUS_FULL) {
                self->blocked = true;
                goto out;
            }
        }
    }
    if (answer == BUS_NOBODY) {
        goto out;
    }
    copy = copy_of(publish);
    answer = copy == NULL ? BUS_NO_MEMORY : BUS_TAKEN;
    if (copy == NULL) {
        goto out;
    }
    copy->refs = 1;
    for (subscription *sub = self->bus->subs; sub != NULL; sub = sub->next) {
        if (wants(sub, publish->pub.topic) && !enqueue(sub, copy)) {
            answer = BUS_NO_MEMORY; /* some have it: published again, those get it twice */
            break;
        }
    }
    unref(copy);
out:
    pthread_mutex_unlock(&self->bus->lock);
    return answer;
}

/* Only the owner's thread takes from a queue, so what it has seen stays in front. */
size_t bus_look(subscription *sub, bus_message **out, size_t most, uint64_t bytes)
{
    size_t count = 0;
    uint64_t seen = 0;
    pthread_mutex_lock(&sub->owner->bus->lock);
    for (waiting *one = sub->first; one != NULL && count < most; one = one->next) {
        seen += one->message->body_len;
        if (count > 0 && seen > bytes) {
            break;
        }
        out[count++] = one->message;
    }
    pthread_mutex_unlock(&sub->owner->bus->lock);
    return count;
}

void bus_drop(subscription *sub, size_t count)
{
    memory_bus *bus = sub->owner->bus;
    pthread_mutex_lock(&bus->lock);
    bool full = is_full(sub);
    while (count-- > 0) {
        unref(dequeue(sub));
    }
    if (full) {
        wake_blocked(bus);
    }
    pthread_mutex_unlock(&bus->lock);
}

/* ---- subscriptions ------------------------------------------------------------------------- */

void bus_subscribe(subscription *sub)
{
    memory *owner = sub->owner;
    pthread_mutex_lock(&owner->bus->lock);
    sub->mine = owner->subs;
    owner->subs = sub;
    sub->next = owner->bus->subs;
    owner->bus->subs = sub;
    pthread_mutex_unlock(&owner->bus->lock);
}

void bus_unsubscribe(subscription *sub)
{
    memory *owner = sub->owner;
    pthread_mutex_lock(&owner->bus->lock);
    for (subscription **at = &owner->subs; *at != NULL; at = &(*at)->mine) {
        if (*at == sub) {
            *at = sub->mine;
            break;
        }
    }
    for (subscription **at = &owner->bus->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            break;
        }
    }
    while (sub->first != NULL) {
        unref(dequeue(sub));
    }
    wake_blocked(owner->bus);
    pthread_mutex_unlock(&owner->bus->lock);
}
