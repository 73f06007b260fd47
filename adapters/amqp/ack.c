/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/alloc.h"

#include <string.h>

/* Acks: what is settled without a gap leaves as one frame for all, what is settled out of order alone.
 * Two rings of bits know which deliveries are settled, and which of them the broker was told. */

#define RING_FIRST ((size_t)4096)
#define RING_MAX ((size_t)1 << 22)

bool pubsub__amqp_acks_begin(amq_sub *sub)
{
    sub->upto = 0;
    sub->epoch++;
    if (sub->ring == 0) {
        sub->ring = RING_FIRST;
        sub->settled = pubsub__calloc(sub->ring / 64, sizeof(uint64_t));
        sub->told = pubsub__calloc(sub->ring / 64, sizeof(uint64_t));
        return sub->settled != NULL && sub->told != NULL;
    }
    memset(sub->settled, 0, sub->ring / 8);
    memset(sub->told, 0, sub->ring / 8);
    return true;
}

void pubsub__amqp_acks_free(amq_sub *sub)
{
    pubsub__free(sub->settled);
    pubsub__free(sub->told);
    sub->settled = sub->told = NULL;
    sub->ring = 0;
}

static bool get(const uint64_t *bits, size_t ring, uint64_t tag)
{
    size_t at = (size_t)tag & (ring - 1);
    return (bits[at / 64] >> (at % 64) & 1) != 0;
}

static void put(uint64_t *bits, size_t ring, uint64_t tag, bool on)
{
    size_t at = (size_t)tag & (ring - 1);
    uint64_t bit = UINT64_C(1) << (at % 64);
    bits[at / 64] = on ? bits[at / 64] | bit : bits[at / 64] & ~bit;
}

/* Room for one message that stays open while many later ones are settled. */
static bool grow(amq_sub *sub)
{
    size_t ring = sub->ring * 2;
    uint64_t *settled = ring > RING_MAX ? NULL : pubsub__calloc(ring / 64, sizeof(uint64_t));
    uint64_t *told = settled == NULL ? NULL : pubsub__calloc(ring / 64, sizeof(uint64_t));
    if (told == NULL) {
        pubsub__free(settled);
        return false;
    }
    for (uint64_t tag = sub->upto + 1; tag <= sub->upto + sub->ring; tag++) {
        put(settled, ring, tag, get(sub->settled, sub->ring, tag));
        put(told, ring, tag, get(sub->told, sub->ring, tag));
    }
    pubsub__free(sub->settled);
    pubsub__free(sub->told);
    sub->settled = settled;
    sub->told = told;
    sub->ring = ring;
    return true;
}

/* False: too far from the oldest open one to be remembered, it can only be settled alone. */
static bool remember(amq_sub *sub, uint64_t tag)
{
    while (tag - sub->upto > sub->ring) {
        if (!grow(sub)) {
            return false;
        }
    }
    put(sub->settled, sub->ring, tag, true);
    return true;
}

static void send_ack(amq_sub *sub, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t ack = {tag, multiple};
    pubsub__amqp_send(sub->channel->conn, sub->channel->number, AMQP_BASIC_ACK_METHOD, &ack);
}

static void send_back(amq_sub *sub, uint64_t tag)
{
    amqp_basic_nack_t nack = {tag, 0, 1};
    pubsub__amqp_send(sub->channel->conn, sub->channel->number, AMQP_BASIC_NACK_METHOD, &nack);
}

/* Everything up to the first open one. */
static void advance(amq_sub *sub)
{
    uint64_t last = 0;
    while (get(sub->settled, sub->ring, sub->upto + 1)) {
        uint64_t tag = ++sub->upto;
        last = get(sub->told, sub->ring, tag) ? last : tag;
        put(sub->settled, sub->ring, tag, false);
        put(sub->told, sub->ring, tag, false);
    }
    if (last != 0) {
        send_ack(sub, last, true);
    }
}

/* One that cannot leave together with others. */
static void settle_alone(amq_sub *sub, uint64_t tag, bool remembered)
{
    if (remembered && (tag <= sub->upto || get(sub->told, sub->ring, tag))) {
        return; /* told already */
    }
    if (remembered) {
        put(sub->told, sub->ring, tag, true);
    }
    send_ack(sub, tag, false);
}

static uint64_t tag_of(const pubsub_spi_ack *ack)
{
    return ack->token & ((UINT64_C(1) << AMQ_TAG_BITS) - 1);
}

/* Whose it is; NULL when there is nothing to say to the broker any more. */
static amq_sub *sub_of(const pubsub_spi_ack *ack)
{
    amq_sub *sub = ack->subscription->data;
    bool live = sub != NULL && sub->channel != NULL && sub->channel->state == AMQ_CHANNEL_OPEN &&
                sub->ring > 0 && !sub->no_ack && tag_of(ack) > sub->upto &&
                ack->token >> AMQ_TAG_BITS == sub->epoch;
    return live ? sub : NULL;
}

/* A stream gives nothing back: reading goes on behind what was settled, whatever the verdict. */
static bool is_ack(const amq_sub *sub, const pubsub_spi_ack *ack)
{
    return ack->settle == PUBSUB_SPI_ACK || sub->queue.stream;
}

void pubsub__amqp_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    amq_self *self = ctx;
    (void)self;
    for (size_t i = 0; i < count; i++) {
        amq_sub *sub = sub_of(&acks[i]);
        if (sub == NULL) {
            continue;
        }
        bool remembered = remember(sub, tag_of(&acks[i]));
        if (!is_ack(sub, &acks[i])) {
            send_back(sub, tag_of(&acks[i]));
            if (remembered) {
                put(sub->told, sub->ring, tag_of(&acks[i]), true);
            }
        } else if (!remembered) {
            settle_alone(sub, tag_of(&acks[i]), false);
        }
    }
    for (size_t i = 0; i < count; i++) {
        amq_sub *sub = sub_of(&acks[i]);
        bool next_is_other = i + 1 == count || acks[i + 1].subscription != acks[i].subscription;
        if (sub != NULL && next_is_other) {
            advance(sub);
        }
    }
    for (size_t i = 0; i < count; i++) {
        amq_sub *sub = sub_of(&acks[i]);
        if (sub != NULL && is_ack(sub, &acks[i]) && tag_of(&acks[i]) - sub->upto <= sub->ring) {
            settle_alone(sub, tag_of(&acks[i]), true);
        }
    }
}
