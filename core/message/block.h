/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MESSAGE_BLOCK_H
#define PUBSUB_MESSAGE_BLOCK_H

/* Received messages live in blocks: one allocation for up to PUBSUB_BLOCK_MESSAGES messages and their
 * bytes, counted as a whole. Blocks of the usual size are recycled by a pool that outlives its client
 * as long as a message of it is referenced. */

#include <pubsub/spi/sink.h>

#include <pthread.h>
#include <stdatomic.h>

/* What a handler, or the end of a redelivery, decided about a message. */
enum pubsub__verdict {
    PUBSUB__UNSETTLED = 0,
    PUBSUB__ACK = 1,
    PUBSUB__NACK = 2,
    PUBSUB__DONE = 3,      /* nothing to tell the broker: qos 0 */
    PUBSUB__HAND_BACK = 4, /* nobody has seen it: the broker may give it to somebody else */
    PUBSUB__RELEASED = 5   /* settled before; the last reference of a caller is gone now */
};

struct pubsub_message {
    pubsub_spi_message spi; /* first: the adapter fills it through this address */
    pubsub_block *block;
    struct pubsub_message *next; /* in one queue at a time: ready, settled, outstanding */
    struct pubsub_message *prev; /* outstanding only */
    uint64_t due_ns;             /* held for redelivery until then */
    pubsub_duration_ms nack_delay;
    char *reason;        /* of a nack, owned; NULL mostly */
    uint32_t generation; /* of its subscription */
    uint32_t size;       /* credit it took, in bytes */
    atomic_uint refs; /* 1 for the core until settled and processed, 1 per reference of a caller */
    atomic_uchar verdict; /* enum pubsub__verdict; set once by who settles it */
    /* Of a subscription with several workers, see client/lanes.c; guarded by the client's lock. */
    struct pubsub_message *lane_next; /* the next leader of its bucket */
    struct pubsub_message *behind;    /* the last of those that wait for it, a ring by `next` */
    uint32_t lane_hash;               /* [io] until it is ready */
    atomic_bool leads;                /* its key is taken by it; may be read without the lock */
    bool handling;                    /* its handler runs */
    bool lane_over;                   /* settled while its handler runs: the lane ends with that */
    bool again;                       /* refused while its handler runs: to be ready after that */
    bool manual;                      /* waits for pubsub_message_ack, ack=auto does not apply */
    bool gone;                        /* [io] the core is through with it */
    atomic_bool recalled;             /* the adapter wants it back; set by the I/O thread */
};

typedef struct pubsub__block_pool pubsub__block_pool;

struct pubsub_block {
    pubsub__block_pool *pool;
    void *owner; /* the subscription, counted by the core; NULL before it is given away */
    pubsub_block *next_free;
    pubsub_block *next_live, *prev_live; /* [io] in its subscription's list */
    uint32_t live;                       /* [io] messages that are not gone */
    atomic_uint refs;                    /* messages not finally released */
    uint32_t count;
    uint32_t capacity;
    uint32_t size_class;
    size_t used; /* of bytes */
    size_t size;
    unsigned char *bytes; /* behind the messages */
    pubsub_message messages[];
};

/* on_free is called with the owner when the last message of a block is gone, on any thread. */
pubsub__block_pool *pubsub__block_pool_new(size_t keep, void (*on_free)(void *owner));
void pubsub__block_pool_unref(pubsub__block_pool *pool);

/* An empty block with room for at least that. NULL when memory is short. */
pubsub_block *pubsub__block_new(pubsub__block_pool *pool, size_t messages, size_t min_bytes);
/* n messages of the block are finally gone; any thread. */
void pubsub__block_drop(pubsub_block *block, uint32_t n);

#endif
