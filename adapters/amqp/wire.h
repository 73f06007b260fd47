/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_AMQP_WIRE_H
#define PUBSUB_AMQP_WIRE_H

/* AMQP 0-9-1 on the wire, without any I/O. Methods, and the properties of what is published, are encoded
 * and decoded by rabbitmq-c. Frames, and the properties of what arrives, are read here: in place, without
 * an allocation for each message and with a bound for what is nested, which the library has not. */

#include <pubsub/types.h>

#include <amqp.h>
#include <amqp_framing.h>

/* A frame: type, channel, size, payload, end. AMQP 0-9-1 section 4.2.3. */
#define AMQ_FRAME_REST 8u
/* The smallest frame-max a peer may ask for, section 1.4.2.6. */
#define AMQ_FRAME_MIN 4096u
/* What we offer; RabbitMQ's own default. */
#define AMQ_FRAME_MAX 131072u
/* What a peer may send before that is agreed: 4,096 by the same section, twice that is taken. */
#define AMQ_FRAME_FIRST (2 * AMQ_FRAME_MIN)
/* The longest short string. */
#define AMQ_SHORT_MAX 255u

/* ---- sending ---- */

/* Whole frames that wait to be written. */
typedef struct amq_out {
    unsigned char *data;
    size_t at; /* what is before it was written */
    size_t len;
    size_t cap;
} amq_out;

void pubsub__amqp_out_fini(amq_out *out);
static inline size_t pubsub__amqp_out_waits(const amq_out *out)
{
    return out->len - out->at;
}
/* All return false when memory is short, or what is encoded is larger than `room` allows. */
bool pubsub__amqp_put_raw(amq_out *out, const void *data, size_t len);
bool pubsub__amqp_put_method(amq_out *out, uint16_t channel, amqp_method_number_t id, void *fields,
                             size_t room);
bool pubsub__amqp_put_header(amq_out *out, uint16_t channel, uint64_t body_size,
                             amqp_basic_properties_t *properties, size_t room);
/* One frame of a body; len is at most frame_max - AMQ_FRAME_REST. */
bool pubsub__amqp_put_body(amq_out *out, uint16_t channel, const void *data, size_t len);
bool pubsub__amqp_put_heartbeat(amq_out *out);

static inline amqp_bytes_t pubsub__amqp_bytes(pubsub_bytes bytes)
{
    amqp_bytes_t result = {bytes.len, (void *)(uintptr_t)bytes.data};
    return result;
}

/* ---- reading ---- */

typedef struct amq_frame {
    uint8_t type; /* AMQP_FRAME_* */
    uint16_t channel;
    const unsigned char *payload;
    uint32_t size;
} amq_frame;

typedef enum amq_read {
    AMQ_READ_OK = 0,
    AMQ_READ_MORE = 1,    /* not complete yet */
    AMQ_READ_BROKEN = 2,  /* no frame, or one larger than agreed */
    AMQ_READ_VERSION = 3, /* a protocol header: the peer speaks another version */
} amq_read;

/* The frame at the start of `in`; *used is its length. */
amq_read pubsub__amqp_frame_read(const unsigned char *in, size_t len, uint32_t frame_max,
                                 amq_frame *out, size_t *used);

/* The properties of a message, pointing into the frame. What is absent is {NULL, 0}. */
typedef struct amq_properties {
    uint64_t body_size;
    pubsub_bytes content_type;
    pubsub_bytes content_encoding;
    pubsub_bytes headers; /* the table without its length */
    pubsub_bytes correlation_id;
    pubsub_bytes reply_to;
    pubsub_bytes expiration;
    pubsub_bytes message_id;
    pubsub_bytes type;
    pubsub_bytes user_id;
    pubsub_bytes app_id;
    pubsub_bytes cluster_id;
    uint64_t timestamp; /* seconds, 0 = absent */
    uint8_t delivery_mode;
    uint8_t priority;
} amq_properties;

/* The payload of a content header frame. False when it is broken. */
bool pubsub__amqp_properties_read(const unsigned char *payload, size_t size, amq_properties *out);

/* One field of a table. */
typedef struct amq_field {
    pubsub_bytes name;
    uint8_t kind;       /* AMQP_FIELD_KIND_* */
    pubsub_bytes value; /* of strings, tables and arrays without their length */
} amq_field;

/* Take the next field off a table. False at its end, and at what cannot be read: then *rest is not
 * empty. */
bool pubsub__amqp_table_next(pubsub_bytes *rest, amq_field *out);
/* Whether the value is its own text: a string or bytes. */
bool pubsub__amqp_field_is_bytes(const amq_field *field);
/* A whole number of any width; false for what is none. */
bool pubsub__amqp_field_number(const amq_field *field, int64_t *out);
/* The value as text: numbers in decimal, true and false, tables and arrays as JSON; void is empty. Like
 * snprintf: returns the whole length, writes what fits, no NUL. */
size_t pubsub__amqp_field_text(const amq_field *field, char *out, size_t size);

#endif
