/* SPDX-License-Identifier: MIT */
#include "amqp/wire.h"

#include "base/alloc.h"

#include <string.h>

/* Frames: written into one buffer that grows, read in place. */

#define FRAME_HEAD 7u
/* Class, weight, size of the body: what a content header begins with. */
#define HEADER_HEAD 12u
#define OUT_FIRST ((size_t)16 * 1024)

void pubsub__amqp_out_fini(amq_out *out)
{
    pubsub__free(out->data);
    memset(out, 0, sizeof(*out));
}

static bool reserve(amq_out *out, size_t more)
{
    if (out->at == out->len) {
        out->at = out->len = 0;
    }
    if (out->cap - out->len >= more) {
        return true;
    }
    if (out->at > 0) {
        memmove(out->data, out->data + out->at, out->len - out->at);
        out->len -= out->at;
        out->at = 0;
        if (out->cap - out->len >= more) {
            return true;
        }
    }
    size_t cap = out->cap == 0 ? OUT_FIRST : out->cap;
    while (cap - out->len < more) {
        cap *= 2;
    }
    unsigned char *data = pubsub__realloc(out->data, cap);
    if (data == NULL) {
        return false;
    }
    out->data = data;
    out->cap = cap;
    return true;
}

static void store_16(unsigned char *to, uint16_t value)
{
    to[0] = (unsigned char)(value >> 8);
    to[1] = (unsigned char)value;
}

static void store_32(unsigned char *to, uint32_t value)
{
    store_16(to, (uint16_t)(value >> 16));
    store_16(to + 2, (uint16_t)value);
}

static void store_64(unsigned char *to, uint64_t value)
{
    store_32(to, (uint32_t)(value >> 32));
    store_32(to + 4, (uint32_t)value);
}

/* Complete the frame whose payload of `size` bytes was written behind its head. */
static void finish(amq_out *out, uint8_t type, uint16_t channel, size_t size)
{
    unsigned char *frame = out->data + out->len;
    frame[0] = type;
    store_16(frame + 1, channel);
    store_32(frame + 3, (uint32_t)size);
    frame[FRAME_HEAD + size] = AMQP_FRAME_END;
    out->len += AMQ_FRAME_REST + size;
}

bool pubsub__amqp_put_raw(amq_out *out, const void *data, size_t len)
{
    if (!reserve(out, len)) {
        return false;
    }
    memcpy(out->data + out->len, data, len);
    out->len += len;
    return true;
}

bool pubsub__amqp_put_method(amq_out *out, uint16_t channel, amqp_method_number_t id, void *fields,
                             size_t room)
{
    if (!reserve(out, AMQ_FRAME_REST + 4 + room)) {
        return false;
    }
    unsigned char *payload = out->data + out->len + FRAME_HEAD;
    amqp_bytes_t place = {room, payload + 4};
    int len = amqp_encode_method(id, fields, place);
    if (len < 0) {
        return false;
    }
    store_32(payload, id);
    finish(out, AMQP_FRAME_METHOD, channel, 4 + (size_t)len);
    return true;
}

bool pubsub__amqp_put_header(amq_out *out, uint16_t channel, uint64_t body_size,
                             amqp_basic_properties_t *properties, size_t room)
{
    if (!reserve(out, AMQ_FRAME_REST + HEADER_HEAD + room)) {
        return false;
    }
    unsigned char *payload = out->data + out->len + FRAME_HEAD;
    amqp_bytes_t place = {room, payload + HEADER_HEAD};
    int len = amqp_encode_properties(AMQP_BASIC_CLASS, properties, place);
    if (len < 0) {
        return false;
    }
    store_16(payload, AMQP_BASIC_CLASS);
    store_16(payload + 2, 0);
    store_64(payload + 4, body_size);
    finish(out, AMQP_FRAME_HEADER, channel, HEADER_HEAD + (size_t)len);
    return true;
}

bool pubsub__amqp_put_body(amq_out *out, uint16_t channel, const void *data, size_t len)
{
    if (!reserve(out, AMQ_FRAME_REST + len)) {
        return false;
    }
    memcpy(out->data + out->len + FRAME_HEAD, data, len);
    finish(out, AMQP_FRAME_BODY, channel, len);
    return true;
}

bool pubsub__amqp_put_heartbeat(amq_out *out)
{
    if (!reserve(out, AMQ_FRAME_REST)) {
        return false;
    }
    finish(out, AMQP_FRAME_HEARTBEAT, 0, 0);
    return true;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static uint16_t load_16(const unsigned char *at)
{
    return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static uint32_t load_32(const unsigned char *at)
{
    return (uint32_t)load_16(at) << 16 | load_16(at + 2);
}

amq_read pubsub__amqp_frame_read(const unsigned char *in, size_t len, uint32_t frame_max,
                                 amq_frame *out, size_t *used)
{
    if (len > 0 && in[0] == 'A') {
        size_t n = len < 4 ? len : 4;
        return memcmp(in, "AMQP", n) != 0 ? AMQ_READ_BROKEN
               : len < 8                  ? AMQ_READ_MORE
                                          : AMQ_READ_VERSION;
    }
    if (len < FRAME_HEAD) {
        return AMQ_READ_MORE;
    }
    uint32_t size = load_32(in + 3);
    if (size > frame_max - AMQ_FRAME_REST) {
        return AMQ_READ_BROKEN;
    }
    if (len < AMQ_FRAME_REST + (size_t)size) {
        return AMQ_READ_MORE;
    }
    if (in[FRAME_HEAD + size] != AMQP_FRAME_END) {
        return AMQ_READ_BROKEN;
    }
    out->type = in[0];
    out->channel = load_16(in + 1);
    out->payload = in + FRAME_HEAD;
    out->size = size;
    *used = AMQ_FRAME_REST + (size_t)size;
    return AMQ_READ_OK;
}
