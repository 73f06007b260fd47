/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_COLLECT_H
#define PUBSUB_TESTS_COLLECT_H

/* Collectors: copies of the messages, delivery reports and events that handlers were given. Filled
 * on whatever thread runs the handlers, read by the test at any time. */

#include <pthread.h>
#include <pubsub/pubsub.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing list of pointers that are never moved or freed before the list is. */
typedef struct kit_list {
    pthread_mutex_t lock;
    void **items;
    size_t count;
    size_t capacity;
} kit_list;

void kit_list_init(kit_list *list);
void kit_list_fini(kit_list *list, void (*release)(void *item));
void kit_list_add(kit_list *list, void *item);
size_t kit_list_count(kit_list *list);
void *kit_list_at(kit_list *list, size_t index); /* NULL when out of range */

/* A copy of a received message. */
typedef struct kit_message {
    pubsub_bytes topic, payload, key, content_type, reply_to, correlation;
    bool has_key, retained, redelivered, tombstone;
    pubsub_header *headers;
    size_t header_count;
    pubsub_qos qos;
    uint32_t attempt;
    uint64_t timestamp_ns;
    uint64_t expires_ns;
    pubsub_position position;
    uint64_t at_ns;      /* when it was seen, monotonic */
    pubsub_message *ref; /* when it was kept */
} kit_message;

typedef struct kit_report {
    pubsub_report report; /* its error pointer leads to the copy below */
    pubsub_error error;
    uint64_t at_ns;
} kit_report;

typedef struct kit_event {
    pubsub_event_type type;
    pubsub_state state;
    pubsub_subscription *subscription;
    pubsub_error error; /* code PUBSUB_OK when there was none */
    char gap_reason[64];
    uint64_t missed;
    bool resumed;
    uint64_t at_ns;
} kit_event;

kit_message *kit_message_copy(const pubsub_message *message);
void kit_message_free(kit_message *copy); /* gives its ref back */
/* Payload or topic as text, for comparing with strings. */
bool kit_is(pubsub_bytes bytes, const char *text);
bool kit_same(pubsub_bytes a, pubsub_bytes b);
/* The value of the first header of that name; {NULL,0} when there is none. */
pubsub_bytes kit_header(const kit_message *copy, const char *name);
/* How many headers have that name. */
size_t kit_header_count(const kit_message *copy, const char *name);

kit_report *kit_report_copy(const pubsub_report *report);
kit_event *kit_event_copy(const pubsub_event *event);

#endif
