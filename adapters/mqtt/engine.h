/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MQTT_ENGINE_H
#define PUBSUB_MQTT_ENGINE_H

/* One MQTT connection, whatever speaks the protocol below. The adapter is written against this table and
 * knows no library; today's only engine is paho.mqtt.c (paho.c), an own session can take its place.
 *
 * Everything is called on the client's I/O thread and does not block. An engine with threads of its own
 * keeps what happened in a queue, calls `wake` of its host from any thread, and hands the queue out in
 * `run`. Events are raised only inside `run`, never inside another call.
 *
 * Terms and numbers are those of MQTT Version 5.0 (OASIS Standard, 7 March 2019). */

#include <pubsub/error.h>
#include <pubsub/types.h>

typedef struct mqtt_engine mqtt_engine;

enum { MQTT_V311 = 4, MQTT_V5 = 5 };

/* Reason codes that the adapter decides by (MQTT 5 section 2.4). */
enum {
    MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_UNSPECIFIED = 0x80,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SESSION_TAKEN_OVER = 0x8E,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_QUOTA_EXCEEDED = 0x97
};

#define MQTT_USER_PROPERTIES_MAX 640u
#define MQTT_SUBSCRIPTION_IDS_MAX 16u
#define MQTT_FILTERS_MAX 64u
#define MQTT_EXPIRY_NONE UINT32_MAX /* no message expiry; of a session: it never ends */

typedef struct mqtt_user_property {
    pubsub_bytes name;
    pubsub_bytes value;
} mqtt_user_property;

/* What a PUBLISH carries, both ways. data NULL = the property is not there. */
typedef struct mqtt_message {
    pubsub_bytes topic;
    pubsub_bytes payload;
    pubsub_bytes content_type;
    pubsub_bytes response_topic;
    pubsub_bytes correlation;
    const mqtt_user_property *user;
    uint32_t user_count;
    uint32_t expiry_s; /* MQTT_EXPIRY_NONE = not there */
    uint8_t qos;
    bool retain;
    /* received ones only */
    bool dup;
    uint16_t packet_id;                      /* for `ack`, qos 1 and 2 */
    uint32_t ids[MQTT_SUBSCRIPTION_IDS_MAX]; /* subscription identifiers */
    uint32_t id_count;
    bool ids_cut;              /* there were more */
    uint64_t arrived_ns;       /* wall clock */
    uint32_t refs;             /* the adapter's */
    struct mqtt_message *next; /* the adapter's once it has been handed over */
} mqtt_message;

/* One attempt to connect. All of it is borrowed for the call. */
typedef struct mqtt_target {
    int version; /* MQTT_V311 or MQTT_V5 */
    const char *host;
    uint16_t port;
    bool websocket;
    const char *path; /* of a WebSocket, "/mqtt" */
    bool tls;
    const char *tls_ca; /* file or directory; NULL = the system's */
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name; /* NULL = host */
    bool tls_verify;             /* certificate and name */
    const char *client_id;       /* never empty, the same in every attempt of an engine */
    const char *user;            /* NULL = none */
    const char *password;        /* NULL = none */
    bool clean;                  /* clean start, clean session with 3.1.1 */
    uint32_t session_expiry_s;   /* version 5 */
    uint16_t keep_alive_s;       /* 0 = off */
    pubsub_duration_ms timeout;  /* look-up to CONNACK */
    uint16_t receive_maximum;    /* version 5, 0 = do not say */
    const char *will_topic;      /* NULL = no will */
    pubsub_bytes will_payload;
    uint8_t will_qos;
    bool will_retain;
} mqtt_target;

/* What the server said in CONNACK; where it said nothing, the specification's default. */
typedef struct mqtt_connack {
    int version;
    bool session_present;
    uint16_t receive_maximum; /* 65535 */
    uint8_t maximum_qos;      /* 2 */
    bool retain_available;    /* true */
    bool wildcards_available; /* true */
    bool ids_available;       /* true; false with 3.1.1 */
    bool shared_available;    /* true; with 3.1.1 unknown, said to be true */
    uint32_t maximum_packet;  /* bytes, UINT32_MAX = no limit */
    uint16_t keep_alive_s;    /* the server's, or ours */
    char client_id[64];       /* assigned by the server, or "" */
} mqtt_connack;

/* Why an attempt failed or a connection was lost. */
typedef struct mqtt_failure {
    pubsub_error
        error;  /* code: ECONNECT, EAUTH, EDENIED, ETLS, ETAKEN, ELOST, EREJECTED, EPROTO ... */
    int reason; /* MQTT 5 reason code, or 0 */
    bool version_refused; /* the server does not speak this version, or may not: another may do */
    bool reached;         /* TCP (and TLS) stood: another host is not worth trying */
    bool perhaps_made;    /* the server may have taken the CONNECT and made a session */
    bool doubtful;        /* it may be the end of an earlier connection: try the same again */
} mqtt_failure;

typedef enum mqtt_published_how {
    MQTT_PUBLISHED = 0,       /* qos 0: written; 1: PUBACK; 2: PUBCOMP; reason below 0x80 */
    MQTT_PUBLISH_REFUSED = 1, /* PUBACK or PUBREC with a reason of 0x80 and above */
    MQTT_PUBLISH_LOST = 2,    /* sent perhaps; nobody will say any more */
    MQTT_PUBLISH_NOT_SENT = 3 /* nothing of it was sent */
} mqtt_published_how;

typedef struct mqtt_published {
    void *token; /* of the publish */
    mqtt_published_how how;
    int reason; /* reason code; 0 also where the library does not tell */
} mqtt_published;

typedef struct mqtt_filter {
    const char *filter; /* NUL-terminated, with $share/group/ where it is shared */
    uint8_t qos;
    bool no_local;            /* version 5 */
    bool retain_as_published; /* version 5 */
    uint8_t retain_handling;  /* version 5: 0 send at subscribe, 2 do not */
} mqtt_filter;

/* What an engine tells. */
typedef struct mqtt_events {
    void (*connected)(void *host, const mqtt_connack *connack);
    void (*failed)(void *host, const mqtt_failure *failure); /* an attempt; may be repeated */
    void (*lost)(void *host, const mqtt_failure *failure);   /* it was connected */
    void (*published)(void *host, const mqtt_published *results, size_t count);
    /* reasons: one for each filter, granted qos or 0x80 and above; NULL = lost before the answer. */
    void (*subscribed)(void *host, void *token, const uint8_t *reasons, size_t count);
    void (*unsubscribed)(void *host, void *token, bool answered);
    /* The message is the host's now; given back with message_free. */
    void (*message)(void *host, mqtt_message *message);
    void (*overflowed)(void *host,
                       uint64_t count); /* messages that had no room in the engine's queue */
    void (*closed)(void *host);         /* answer to disconnect */
} mqtt_events;

/* Whom an engine belongs to. */
typedef struct mqtt_host {
    const mqtt_events *events;
    void *host; /* first argument of events */
    void (*wake)(
        void
            *ctx); /* any thread: have `run` called soon; never from inside an engine call's lock */
    void *wake_ctx;
    /* any thread: a line for the log; level as pubsub_log_level */
    void (*log)(void *ctx, int level, const char *text);
} mqtt_host;

typedef struct mqtt_engine_ops {
    const char *name;
    bool
        withholds_acks; /* `ack` decides when PUBACK and PUBREC leave; else they left before `message` */
    bool tells_no_subscriber; /* mqtt_published.reason can be MQTT_NO_MATCHING_SUBSCRIBERS */

    /* No I/O yet. NULL when memory is short. *host is copied; what it points to outlives the engine. */
    mqtt_engine *(*open)(const mqtt_host *host, pubsub_error *err);
    /* One attempt; answered by connected or failed. After lost or failed it may be called again, on the
     * same engine, with the same client id: what was in flight is then sent again when the session is still
     * there (clean false, session_present), else reported as lost. Errors: what the library refuses at
     * once, then no event follows. */
    pubsub_err (*connect)(mqtt_engine *engine, const mqtt_target *target, pubsub_error *err);
    /* Give an attempt or connection up at once, without DISCONNECT where the library can (Paho cannot: its
     * DISCONNECT has the will published in version 5, and not with 3.1.1). No event for it follows, but
     * open subscribes and unsubscribes are answered as lost, and messages that had come are still raised,
     * by the next run. Publishes stay in flight until the next connect, or are lost now. */
    void (*abort)(mqtt_engine *engine);
    /* Only while connected. Copies the message. False when there is no room for another packet in flight:
     * the caller keeps it and tries again after the next published event. Answered by published, also
     * after lost; at the latest by `free`, which reports nothing: the caller gives up what is left. */
    bool (*publish)(mqtt_engine *engine, const mqtt_message *message, void *token);
    /* One SUBSCRIBE with up to MQTT_FILTERS_MAX filters. id: subscription identifier, 0 = none. */
    pubsub_err (*subscribe)(mqtt_engine *engine, const mqtt_filter *filters, size_t count,
                            uint32_t id, void *token, pubsub_error *err);
    pubsub_err (*unsubscribe)(mqtt_engine *engine, const char *const *filters, size_t count,
                              void *token, pubsub_error *err);
    /* Only with withholds_acks; in the order in which the messages came. */
    void (*ack)(mqtt_engine *engine, uint16_t packet_id);
    /* DISCONNECT in good order (nothing is in flight); answered by closed, at once when not connected.
     * end_session: also end the session, whatever its expiry was (version 5; 3.1.1 cannot). */
    void (*disconnect)(mqtt_engine *engine, bool end_session);
    /* Raise the events of everything that happened. */
    void (*run)(mqtt_engine *engine);
    /* Nothing came of what is in flight for a while: see to it that the library is not asleep. */
    void (*nudge)(mqtt_engine *engine);
    void (*message_free)(mqtt_message *message); /* any thread, also after `free` of its engine */
    /* No event follows. Also from inside an event. forked: close descriptors and free memory where that touches no thread or lock of
     * the parent; leaking is better than speaking. */
    void (*free)(mqtt_engine *engine, bool forked);
} mqtt_engine_ops;

extern const mqtt_engine_ops pubsub__mqtt_paho;

/* The name of a reason code, "not authorized"; "reason 0x.." for unknown ones is up to the caller: NULL. */
const char *pubsub__mqtt_reason(int reason);

#endif
