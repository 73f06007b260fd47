/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MQTT_PAHO_INTERNAL_H
#define PUBSUB_MQTT_PAHO_INTERNAL_H

/* The engine over paho.mqtt.c, whose MQTTAsync has two threads and one lock for the whole process.
 *
 * Its callbacks run with that lock held, so all they do is to put a node into the engine's queue, under
 * the engine's own lock; that lock is never held while the library is called. Everything else of an engine
 * belongs to the client's I/O thread. A node is also the context the library hands back with an answer,
 * so it belongs to the library until its callback came, and is never freed before. */

#include "mqtt/engine.h"

#include <MQTTAsync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* What the library says when it has no memory; its headers do not name it. */
#define PAHO_NO_MEMORY (-99)

typedef enum paho_kind {
    PAHO_CONNECTED,
    PAHO_FAILED,
    PAHO_LOST,
    PAHO_CLOSED,
    PAHO_MESSAGE,
    PAHO_PUBLISH,
    PAHO_SUBSCRIBE,
    PAHO_UNSUBSCRIBE
} paho_kind;

typedef struct paho_link paho_link;

/* Something that happened, or an answer awaited. */
typedef struct paho_node {
    struct paho_node *next;          /* in the queue, or in the list of spare ones */
    struct paho_node *older, *newer; /* awaited: in the engine's list */
    paho_link *link;
    paho_kind kind;
    uint32_t attempt; /* whose connection this is about */
    bool queued;      /* the callback came; the engine's lock */
    bool orphan;      /* nobody waits for it any more */
    bool answered;
    uint8_t qos;
    uint8_t reasons[MQTT_FILTERS_MAX];
    uint32_t count;
    size_t size;
    void *token;
    mqtt_published_how how;
    int reason;
} paho_node;

/* PAHO_CONNECTED */
typedef struct paho_connected {
    paho_node node;
    mqtt_connack connack;
} paho_connected;

/* PAHO_FAILED, PAHO_LOST */
typedef struct paho_failed {
    paho_node node;
    mqtt_failure failure;
} paho_failed;

/* PAHO_MESSAGE */
typedef struct paho_arrived {
    paho_node node;
    mqtt_message message;
    MQTTAsync_message *paho;
    char *topic;
    size_t topic_len;
    uint32_t forks; /* which process got it */
    mqtt_user_property user[];
} paho_arrived;

/* One handle of the library. Its callbacks have it as context. */
struct paho_link {
    mqtt_engine *engine;
    MQTTAsync handle;
    int version;
    bool tls;
    bool websocket;
    char *client_id;
    uint32_t attempt; /* of the engine, when this last began to connect */
    uint16_t keep_alive_s;
    bool session; /* the server may have one that outlives the connection */
    /* the engine's lock */
    bool busy;     /* the library is connecting, connected or disconnecting */
    bool dying;    /* being destroyed: what it still says of the connection is of no interest */
    bool poisoned; /* a write failed in a way after which the library's session is not sound */
    bool leaving;  /* a disconnect was asked for */
    atomic_bool listening; /* to the library's trace */
    /* written before an attempt, and by the thread that makes it */
    char host[128]; /* for errors */
    bool own_ca, own_certificate;
    char tls_text[200]; /* what OpenSSL said first */
};

typedef enum paho_state { PAHO_IDLE, PAHO_CONNECTING, PAHO_UP, PAHO_CLOSING } paho_state;

struct mqtt_engine {
    mqtt_host host;
    pthread_mutex_t lock; /* guards the queue and what says so above */
    paho_node *first, *last;
    size_t waiting; /* messages */
    size_t waiting_bytes;
    uint64_t overflowed;

    /* the I/O thread's */
    paho_link *link;
    paho_state state;
    uint32_t attempt;
    uint64_t deadline_ns;       /* of the attempt, 0 = none */
    paho_node *oldest, *newest; /* awaited */
    paho_node *spare;
    size_t in_flight;       /* publishes not yet reported */
    size_t in_flight_bytes; /* of their topics and payloads */
    size_t acks_due;        /* those of them with qos 1 and 2 */
    size_t twos_due;        /* those with qos 2 */
    bool takes_twos;        /* there was a subscription with qos 2 */
    size_t window;          /* for acks_due */
    MQTTProperty *properties;
    size_t property_room;
    char *topic;
    size_t topic_room;
    bool lose_requests; /* in the next run */
    bool running;
    bool gone; /* freed from inside an event */
};

/* paho_queue.c */
paho_node *pubsub__paho_node(mqtt_engine *engine, paho_link *link, paho_kind kind, void *token);
void pubsub__paho_spare(mqtt_engine *engine, paho_node *node);
/* Put at the end of the queue; from any thread. */
void pubsub__paho_push(mqtt_engine *engine, paho_node *node);
/* What this link was to answer and will not any more, is lost. */
void pubsub__paho_orphan_link(mqtt_engine *engine, paho_link *link);
/* Answer open subscribes and unsubscribes as lost. */
void pubsub__paho_lose_requests(mqtt_engine *engine);
void pubsub__paho_run(mqtt_engine *engine);
void pubsub__paho_clear(mqtt_engine *engine);
/* @locks the engine's is held. Returns whether the queue was empty. */
bool pubsub__paho_append(mqtt_engine *engine, paho_node *node);

/* paho_message.c */
void pubsub__paho_raise_message(mqtt_engine *engine, paho_node *node);
int pubsub__paho_arrived(void *context, char *topic, int topic_len, MQTTAsync_message *message);
void pubsub__paho_message_free(mqtt_message *message);

/* paho_subscribe.c */
pubsub_err pubsub__paho_subscribe(mqtt_engine *engine, const mqtt_filter *filters, size_t count,
                                  uint32_t id, void *token, pubsub_error *err);
pubsub_err pubsub__paho_unsubscribe(mqtt_engine *engine, const char *const *filters, size_t count,
                                    void *token, pubsub_error *err);
/* Text for a parameter that the library copies but does not call const. */
char *pubsub__paho_writable(const void *text);

/* paho_connect.c */
pubsub_err pubsub__paho_connect(mqtt_engine *engine, const mqtt_target *target, pubsub_error *err);

/* paho_leave.c */
void pubsub__paho_abort(mqtt_engine *engine);
void pubsub__paho_disconnect(mqtt_engine *engine, bool end_session);
void pubsub__paho_destroy(mqtt_engine *engine);
/* Whether the attempt took too long; then it is ended and a failure is queued. */
void pubsub__paho_watch(mqtt_engine *engine);

/* paho_fail.c */
void pubsub__paho_failed3(void *context, MQTTAsync_failureData *data);
void pubsub__paho_failed5(void *context, MQTTAsync_failureData5 *data);
void pubsub__paho_lost(void *context, char *cause);
void pubsub__paho_disconnected(void *context, MQTTProperties *properties,
                               enum MQTTReasonCodes reason);
int pubsub__paho_tls_error(const char *text, size_t len, void *context);
/* The attempt took longer than it may. */
void pubsub__paho_timed_out(paho_link *link);

/* paho_trace.c */
typedef struct paho_heard {
    char alert[64];       /* of TLS, "" = none */
    bool alert_is_theirs; /* the server sent it */
    bool tls_done;        /* the handshake was finished */
    bool wrong_name;      /* the certificate is good but for another host */
    bool no_address;      /* the name was not found */
    char socket[96];      /* the system's text, "" = none */
} paho_heard;

void pubsub__paho_trace_install(void);
/* From the beginning of an attempt to its end. */
void pubsub__paho_listen(paho_link *link);
void pubsub__paho_unlisten(paho_link *link);
/* What this thread heard since it last asked. */
paho_heard pubsub__paho_heard(void);

/* paho_kick.c */
typedef struct paho_mask {
    sigset_t old;
    bool pending; /* SIGPIPE, before */
} paho_mask;

/* Around calls that may write or start threads: the library's threads have all signals blocked, and no
 * SIGPIPE of its writing reaches the program. */
void pubsub__paho_mask(paho_mask *mask);
void pubsub__paho_unmask(paho_mask *mask);
/* MQTTAsync_createWithOptions that leaves the process's SIGPIPE alone. */
int pubsub__paho_create(MQTTAsync *handle, const char *uri, const char *client_id, int version);
/* Before the first handle. False in a child of a process that used the library, or without memory. */
bool pubsub__paho_begin(const mqtt_host *host);
/* An attempt is over, well or not. */
void pubsub__paho_settled(void);
/* See to it that the library's threads look around. Any thread. */
void pubsub__paho_kick(void);
/* How often this process was forked since it was loaded. */
uint32_t pubsub__paho_forks(void);

#endif
