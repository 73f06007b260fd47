/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_PROXY_H
#define PUBSUB_TESTS_PROXY_H

/* A TCP proxy between a client and a broker, in a thread of the test program, that does on demand what
 * networks do: it is slow, stops, breaks, half-closes, loses a packet, or sends nonsense.
 *
 * All functions may be called from any thread of the test but not from a filter; what they ask for has
 * happened when they return. Only loopback. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kit_proxy kit_proxy;

/* The two directions of a connection. */
typedef enum kit_way { KIT_TO_BROKER = 0, KIT_TO_CLIENT = 1 } kit_way;

typedef enum kit_door {
    KIT_DOOR_OPEN = 0,   /* connections are accepted and forwarded */
    KIT_DOOR_CLOSED = 1, /* nobody listens: connection refused */
    KIT_DOOR_MUTE = 2    /* accepted, but nothing is ever forwarded or answered */
} kit_door;

/* Listen on a free port of 127.0.0.1 and forward to that port there; 0 = named later by
 * kit_proxy_target. Fails the test when that does not work. */
kit_proxy *kit_proxy_start(uint16_t target);
/* End every connection and the thread. NULL is allowed. */
void kit_proxy_stop(kit_proxy *proxy);
/* Where connections made from now on go. */
void kit_proxy_target(kit_proxy *proxy, uint16_t target);
uint16_t kit_proxy_port(const kit_proxy *proxy);
/* url with the proxy in the broker's place; a host "localhost" stays, for certificates. The result is
 * cut to size; url must be of one host. */
void kit_proxy_url(const kit_proxy *proxy, const char *url, char *out, size_t size);
/* The port in a url of one host, 0 = none. */
uint16_t kit_url_port(const char *url);

/* Every byte takes ms longer; 0 = at once. */
void kit_proxy_delay(kit_proxy *proxy, kit_way way, int64_t ms);
/* At most so many bytes a second for each connection; 0 = no limit. */
void kit_proxy_bandwidth(kit_proxy *proxy, kit_way way, uint64_t bytes_per_second);
/* Forward nothing while set; the proxy takes some 256 KiB, then the sender is held up. */
void kit_proxy_stall(kit_proxy *proxy, kit_way way, bool on);
/* Break every connection: both ends get a reset. Bytes still inside are lost. */
void kit_proxy_cut(kit_proxy *proxy);
/* End one direction of every connection: its receiver reads the end of the stream, bytes still inside
 * and sent later are lost, the other direction goes on. */
void kit_proxy_half_close(kit_proxy *proxy, kit_way way);
/* Put bytes into one direction of every connection, behind what is inside. */
void kit_proxy_inject(kit_proxy *proxy, kit_way way, const void *data, size_t len);
/* How new connections are met; those there are stay. */
void kit_proxy_door(kit_proxy *proxy, kit_door door);

/* Bytes taken from the sender, of all connections, before any filter. */
uint64_t kit_proxy_bytes(kit_proxy *proxy, kit_way way);
/* Connections open now, and accepted so far. */
size_t kit_proxy_open(kit_proxy *proxy);
size_t kit_proxy_accepted(kit_proxy *proxy);

/* --- filters: what sees the stream and decides --- */

typedef struct kit_out kit_out;
/* Forward bytes; only inside a filter's call. */
void kit_pass(kit_out *out, const void *data, size_t len);

typedef struct kit_filter {
    /* Bytes came; forward what is to be forwarded, in one or many calls of kit_pass. false = cut this
     * connection, after what was passed. Runs on the proxy's thread: no assertions. */
    bool (*bytes)(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len);
    void *ctx;
    size_t state_size; /* of state: one for each connection, zero at its beginning */
} kit_filter;

/* The filter of connections made from now on; copied. NULL = none. */
void kit_proxy_filter(kit_proxy *proxy, kit_way way, const kit_filter *filter);

/* MQTT 3.1.1 and 5: packets by type, 1 CONNECT ... 15 AUTH. Zero it first, set it at any time. */
typedef struct kit_mqtt_tap {
    atomic_uint swallow; /* bits 1 << type: these do not pass */
    atomic_uint cut;     /* bits 1 << type: the connection is cut instead */
    atomic_uint skip;    /* so many of those to swallow or cut pass before */
    atomic_uint seen[16];
} kit_mqtt_tap;
kit_filter kit_mqtt_filter(kit_mqtt_tap *tap);

/* AMQP 0-9-1: methods as KIT_AMQP_METHOD(60, 80) for basic.ack; what carries content takes it along.
 * KIT_AMQP_HEARTBEAT stands for heart-beats. */
#define KIT_AMQP_METHOD(class_id, method_id) ((unsigned)(class_id) << 16 | (unsigned)(method_id))
#define KIT_AMQP_HEARTBEAT 1u
typedef struct kit_amqp_tap {
    atomic_uint swallow; /* this method does not pass */
    atomic_uint cut;     /* the connection is cut instead */
    atomic_uint skip;    /* so many of those to swallow or cut pass before */
    atomic_uint watch;   /* count these */
    atomic_uint seen;
} kit_amqp_tap;
kit_filter kit_amqp_filter(kit_amqp_tap *tap);

#endif
