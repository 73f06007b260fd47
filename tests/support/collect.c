/* SPDX-License-Identifier: MIT */
#include "support/collect.h"

#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory in a test\n");
        abort();
    }
    return memory;
}

void kit_list_init(kit_list *list)
{
    memset(list, 0, sizeof(*list));
    (void)pthread_mutex_init(&list->lock, NULL);
}

void kit_list_fini(kit_list *list, void (*release)(void *item))
{
    for (size_t i = 0; i < list->count; i++) {
        release(list->items[i]);
    }
    free(list->items);
    (void)pthread_mutex_destroy(&list->lock);
    memset(list, 0, sizeof(*list));
}

void kit_list_add(kit_list *list, void *item)
{
    (void)pthread_mutex_lock(&list->lock);
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = must(realloc(list->items, list->capacity * sizeof(*list->items)));
    }
    list->items[list->count++] = item;
    (void)pthread_mutex_unlock(&list->lock);
}

size_t kit_list_count(kit_list *list)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&list->lock);
    count = list->count;
    (void)pthread_mutex_unlock(&list->lock);
    return count;
}

void *kit_list_at(kit_list *list, size_t index)
{
    void *item = NULL;
    (void)pthread_mutex_lock(&list->lock);
    item = index < list->count ? list->items[index] : NULL;
    (void)pthread_mutex_unlock(&list->lock);
    return item;
}

static pubsub_bytes copy_bytes(pubsub_bytes bytes)
{
    char *copy = must(malloc(bytes.len + 1));
    if (bytes.len > 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    copy[bytes.len] = '\0';
    return (pubsub_bytes){copy, bytes.len};
}

static void free_bytes(pubsub_bytes bytes)
{
    union {
        const void *borrowed;
        void *owned;
    } pointer = {bytes.data};
    free(pointer.owned);
}

kit_message *kit_message_copy(const pubsub_message *message)
{
    kit_message *copy = must(calloc(1, sizeof(*copy)));
    copy->topic = copy_bytes(pubsub_message_topic(message));
    copy->payload = copy_bytes(pubsub_message_payload(message));
    copy->key = copy_bytes(pubsub_message_key(message));
    copy->content_type = copy_bytes(pubsub_message_content_type(message));
    copy->reply_to = copy_bytes(pubsub_message_reply_to(message));
    copy->correlation = copy_bytes(pubsub_message_correlation(message));
    copy->has_key = pubsub_message_has_key(message);
    copy->retained = pubsub_message_is_retained(message);
    copy->redelivered = pubsub_message_is_redelivered(message);
    copy->tombstone = pubsub_message_is_tombstone(message);
    copy->header_count = pubsub_message_header_count(message);
    copy->headers = must(calloc(copy->header_count + 1, sizeof(*copy->headers)));
    for (size_t i = 0; i < copy->header_count; i++) {
        pubsub_header header = pubsub_message_header(message, i);
        copy->headers[i].name = copy_bytes(header.name);
        copy->headers[i].value = copy_bytes(header.value);
    }
    copy->qos = pubsub_message_qos(message);
    copy->attempt = pubsub_message_attempt(message);
    copy->timestamp_ns = pubsub_message_timestamp_ns(message);
    copy->expires_ns = pubsub_message_expires_ns(message);
    copy->position = pubsub_message_position(message);
    copy->at_ns = kit_now();
    return copy;
}

void kit_message_free(kit_message *copy)
{
    free_bytes(copy->topic);
    free_bytes(copy->payload);
    free_bytes(copy->key);
    free_bytes(copy->content_type);
    free_bytes(copy->reply_to);
    free_bytes(copy->correlation);
    for (size_t i = 0; i < copy->header_count; i++) {
        free_bytes(copy->headers[i].name);
        free_bytes(copy->headers[i].value);
    }
    free(copy->headers);
    pubsub_message_unref(copy->ref);
    free(copy);
}

bool kit_is(pubsub_bytes bytes, const char *text)
{
    return kit_same(bytes, pubsub_bytes_of(text));
}

bool kit_same(pubsub_bytes a, pubsub_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

pubsub_bytes kit_header(const kit_message *copy, const char *name)
{
    for (size_t i = 0; i < copy->header_count; i++) {
        if (kit_is(copy->headers[i].name, name)) {
            return copy->headers[i].value;
        }
    }
    return (pubsub_bytes){NULL, 0};
}

size_t kit_header_count(const kit_message *copy, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < copy->header_count; i++) {
        count += kit_is(copy->headers[i].name, name) ? 1 : 0;
    }
    return count;
}

kit_report *kit_report_copy(const pubsub_report *report)
{
    kit_report *copy = must(calloc(1, sizeof(*copy)));
    copy->report = *report;
    if (report->error != NULL) {
        copy->error = *report->error;
        copy->report.error = &copy->error;
    }
    copy->at_ns = kit_now();
    return copy;
}

kit_event *kit_event_copy(const pubsub_event *event)
{
    kit_event *copy = must(calloc(1, sizeof(*copy)));
    copy->type = event->type;
    copy->state = event->state;
    copy->subscription = event->subscription;
    copy->resumed = event->resumed;
    if (event->error != NULL) {
        copy->error = *event->error;
    }
    if (event->gap != NULL) {
        (void)snprintf(copy->gap_reason, sizeof(copy->gap_reason), "%s",
                       event->gap->reason != NULL ? event->gap->reason : "");
        copy->missed = event->gap->missed;
    }
    copy->at_ns = kit_now();
    return copy;
}
