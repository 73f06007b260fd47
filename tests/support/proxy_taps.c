/* SPDX-License-Identifier: MIT */
#include "support/proxy.h"

#include <string.h>

/* Whether something to be swallowed or cut still passes. */
static bool skips(atomic_uint *skip)
{
    unsigned left = atomic_load(skip);
    while (left > 0) {
        if (atomic_compare_exchange_weak(skip, &left, left - 1)) {
            return true;
        }
    }
    return false;
}

/* --- MQTT --- */

typedef struct mqtt_state {
    uint8_t head[5]; /* type and remaining length */
    size_t used;
    size_t left;  /* of the body */
    bool in_body; /* head is complete and was decided upon */
    bool drop;
} mqtt_state;

/* The head is complete: decide. false = cut. */
static bool mqtt_decide(kit_mqtt_tap *tap, mqtt_state *state, kit_out *out)
{
    unsigned type = state->head[0] >> 4;
    unsigned bit = 1u << type;
    bool hit = ((atomic_load(&tap->swallow) | atomic_load(&tap->cut)) & bit) != 0;
    bool act = hit && !skips(&tap->skip);
    (void)atomic_fetch_add(&tap->seen[type], 1);
    if (act && (atomic_load(&tap->cut) & bit) != 0) {
        return false;
    }
    state->left = 0;
    for (size_t i = 1; i < state->used; i++) {
        state->left |= (size_t)(state->head[i] & 0x7f) << (7 * (i - 1));
    }
    state->drop = act;
    state->in_body = true;
    if (!act) {
        kit_pass(out, state->head, state->used);
    }
    return true;
}

static bool mqtt_bytes(void *ctx, void *memory, kit_out *out, const uint8_t *data, size_t len)
{
    mqtt_state *state = memory;
    size_t at = 0;
    while (at < len) {
        if (!state->in_body) {
            bool more = false;
            state->head[state->used++] = data[at++];
            more =
                state->used == 1 || (state->used < 5 && (state->head[state->used - 1] & 0x80) != 0);
            if (!more && !mqtt_decide(ctx, state, out)) {
                return false;
            }
        } else {
            size_t part = len - at < state->left ? len - at : state->left;
            if (!state->drop) {
                kit_pass(out, data + at, part);
            }
            at += part;
            state->left -= part;
        }
        if (state->in_body && state->left == 0) {
            state->in_body = false;
            state->used = 0;
        }
    }
    return true;
}

kit_filter kit_mqtt_filter(kit_mqtt_tap *tap)
{
    return (kit_filter){mqtt_bytes, tap, sizeof(mqtt_state)};
}

/* --- AMQP 0-9-1 --- */

enum { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8, CHANNELS = 256 };

typedef struct amqp_state {
    uint8_t head[11]; /* type, channel, size, and of a method its class and number */
    size_t used;
    size_t left; /* of the frame with its end byte */
    bool in_body;
    bool drop;
    bool dropping[CHANNELS]; /* the content that follows on this channel goes too */
} amqp_state;

/* How much of the head is needed before it can be decided. */
static size_t amqp_head_size(const amqp_state *state)
{
    if (state->used > 0 && state->head[0] == 'A') {
        return 8; /* "AMQP" and the version */
    }
    return state->used > 0 && state->head[0] == FRAME_METHOD ? 11 : 7;
}

static unsigned amqp_what(const amqp_state *state)
{
    const uint8_t *head = state->head;
    if (head[0] == FRAME_METHOD) {
        return (unsigned)head[7] << 24 | (unsigned)head[8] << 16 | (unsigned)head[9] << 8 |
               head[10];
    }
    return head[0] == FRAME_HEARTBEAT ? KIT_AMQP_HEARTBEAT : 0;
}

/* false = cut. */
static bool amqp_decide(kit_amqp_tap *tap, amqp_state *state, kit_out *out)
{
    const uint8_t *head = state->head;
    size_t channel = (size_t)head[1] << 8 | head[2];
    size_t size = (size_t)head[3] << 24 | (size_t)head[4] << 16 | (size_t)head[5] << 8 | head[6];
    unsigned what = amqp_what(state);
    state->left = 0;
    state->drop = false;
    if (head[0] != 'A') {
        state->left = size + 1 - (head[0] == FRAME_METHOD ? 4 : 0);
        if (what == 0) {
            state->drop = channel < CHANNELS && state->dropping[channel];
        } else {
            bool cut = what == atomic_load(&tap->cut);
            bool hit = cut || what == atomic_load(&tap->swallow);
            if (what == atomic_load(&tap->watch)) {
                (void)atomic_fetch_add(&tap->seen, 1);
            }
            state->drop = hit && !skips(&tap->skip);
            if (state->drop && cut) {
                return false;
            }
            if (what != KIT_AMQP_HEARTBEAT && channel < CHANNELS) {
                state->dropping[channel] = state->drop;
            }
        }
    }
    state->in_body = true;
    if (!state->drop) {
        kit_pass(out, head, state->used);
    }
    return true;
}

static bool amqp_bytes(void *ctx, void *memory, kit_out *out, const uint8_t *data, size_t len)
{
    amqp_state *state = memory;
    size_t at = 0;
    while (at < len) {
        if (!state->in_body) {
            state->head[state->used++] = data[at++];
            if (state->used == amqp_head_size(state) && !amqp_decide(ctx, state, out)) {
                return false;
            }
        } else {
            size_t part = len - at < state->left ? len - at : state->left;
            if (!state->drop) {
                kit_pass(out, data + at, part);
            }
            at += part;
            state->left -= part;
        }
        if (state->in_body && state->left == 0) {
            state->in_body = false;
            state->used = 0;
        }
    }
    return true;
}

kit_filter kit_amqp_filter(kit_amqp_tap *tap)
{
    return (kit_filter){amqp_bytes, tap, sizeof(amqp_state)};
}
