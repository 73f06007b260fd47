/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_BUS_H
#define MEMORY_BUS_H

/* The broker: queues under one lock. It knows clients by their sink, which it only wakes; everything else of
 * a client is touched by the client's own thread. */

#include <pubsub/spi/sink.h>

typedef struct memory_bus memory_bus;
typedef struct subscription subscription;

/* One message, for all subscriptions that get it. Its bytes lie behind each other: topic, payload, key,
 * content type, reply-to, correlation, then name and value of each header. */
typedef struct bus_message {
    size_t refs; /* under the lock */
    size_t topic_len, payload_len, key_len, content_type_len, reply_to_len, correlation_len;
    size_t header_count;
    const size_t *header_lens; /* of name, value, name, value ... */
    bool has_key;
    bool tombstone;
    int32_t qos;
    uint64_t timestamp_ns;
    uint64_t expires_ns;
    size_t body_len;
    unsigned char *body;
} bus_message;

/* One client. */
typedef struct memory {
    pubsub_sink *sink;
    memory_bus *bus;
    int64_t queue_max;
    int64_t lose;
    uint64_t published;
    subscription *subs; /* its own; read by its thread, changed by it under the lock */
    bool entered;       /* under the lock, as what follows */
    bool blocked;       /* a queue was full for it */
    bool room;          /* and is not any more */
    struct memory *next;
} memory;

struct subscription {
    memory *owner;
    pubsub_spi_subscription *spi;
    pubsub_qos qos;
    subscription *mine; /* the owner's next one */
    subscription *next; /* the bus's, under the lock, as what follows */
    struct waiting *first;
    struct waiting *last;
    size_t count;
    uint64_t bytes;
};

typedef enum bus_answer { BUS_TAKEN, BUS_NOBODY, BUS_FULL, BUS_NO_MEMORY } bus_answer;

/* The bus of a name, made when it is new; there for ever. NULL when memory is short. */
memory_bus *bus_of(const char *name);
/* Publishers that wait are woken as long as they are in. Both may be called twice. */
void bus_enter(memory *self);
void bus_leave(memory *self);

void bus_subscribe(subscription *sub);
/* What waits for it is dropped. */
void bus_unsubscribe(subscription *sub);

/* Into the queue of each subscription that matches, or of none: BUS_FULL when one of them is full, and the
 * publisher is woken when there is room. */
bus_answer bus_publish(memory *self, const pubsub_spi_publish *publish);
/* Whether a full queue has room again; asked once. */
bool bus_unblock(memory *self);

/* The next messages of a queue, at least one if there is one and no more than fit into so many bytes beyond the
 * first; they stay in it until they are dropped. Returns how many. */
size_t bus_look(subscription *sub, bus_message **out, size_t most, uint64_t bytes);
void bus_drop(subscription *sub, size_t count);

#endif
