/* SPDX-License-Identifier: MIT */
#include "connectors/broker/internal.h"

#include "base/alloc.h"

#include <pubsub/client.h>

#include <string.h>

#define ACK_BATCH 256
#define ID_ROOM (PUBSUB_TOPIC_MAX < 900 ? PUBSUB_TOPIC_MAX : 900)

/* ---- lists ---- */

void broker_append(broker_list *list, broker_item *item)
{
    item->next = NULL;
    item->prev = list->tail;
    if (list->tail != NULL) {
        list->tail->next = item;
    } else {
        list->head = item;
    }
    list->tail = item;
}

void broker_take_out(broker_list *list, broker_item *item)
{
    if (item->prev != NULL) {
        item->prev->next = item->next;
    } else {
        list->head = item->next;
    }
    if (item->next != NULL) {
        item->next->prev = item->prev;
    } else {
        list->tail = item->prev;
    }
}

static broker_item *new_item(broker_self *self, pubsub_message *message)
{
    broker_item *item = self->pool;
    if (item != NULL) {
        self->pool = item->next;
    } else {
        item = pubsub__alloc(sizeof *item);
    }
    if (item != NULL) {
        *item = (broker_item){
            .owner = self, .message = pubsub_message_ref(message), .lives = self->lives};
    }
    return item;
}

/* Its message was let go of. */
static void recycle(broker_self *self, broker_item *item)
{
    broker_item *copy = item->copy;
    pubsub__free(item->mark);
    item->message = NULL;
    item->mark = NULL;
    item->copy = NULL;
    item->next = self->pool;
    self->pool = item;
    if (copy != NULL) { /* it has no copy of its own */
        pubsub_message_unref(copy->message);
        copy->message = NULL;
        copy->next = self->pool;
        self->pool = copy;
    }
}

void broker_release(broker_self *self, broker_item *item)
{
    pubsub_message_unref(item->message);
    recycle(self, item);
}

/* ---- events ---- */

typedef struct event_room {
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char id[ID_ROOM + PUBSUB_POSITION_TEXT_MAX + 2];
} event_room;

static bool is_named(pubsub_bytes name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

static pubsub_change change_of(pubsub_bytes text)
{
    static const pubsub_change changes[] = {PUBSUB_CHANGE_CREATE, PUBSUB_CHANGE_UPDATE,
                                            PUBSUB_CHANGE_DELETE};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        if (is_named(text, pubsub_change_name(changes[i]))) {
            return changes[i];
        }
    }
    return PUBSUB_CHANGE_UNKNOWN;
}

/* Headers go along, except those that every route writes itself. */
static void add_headers(const pubsub_message *message, event_room *room, pubsub_source_event *event)
{
    size_t count = pubsub_message_header_count(message);
    event->headers = room->headers;
    for (size_t i = 0; i < count; i++) {
        pubsub_header header = pubsub_message_header(message, i);
        if (is_named(header.name, "pubsub-id")) {
            event->id = header.value;
        } else if (is_named(header.name, "pubsub-event")) {
            event->change = change_of(header.value);
        } else if (event->header_count < PUBSUB_HEADERS_MAX) {
            room->headers[event->header_count++] = header;
        }
    }
}

/* Without an id of its own a message is known by where it stands, where the broker tells that. */
static void make_id(const pubsub_message *message, event_room *room, pubsub_source_event *event)
{
    if (event->id.len > 0 || event->topic.len > ID_ROOM) {
        return;
    }
    pubsub_position position = pubsub_message_position(message);
    size_t used = event->topic.len + 1;
    size_t len = pubsub_position_text(&position, room->id + used, sizeof room->id - used);
    if (len == 0 || len >= sizeof room->id - used) {
        return;
    }
    memcpy(room->id, event->topic.data, used - 1);
    room->id[used - 1] = '@';
    event->id = (pubsub_bytes){room->id, used + len};
}

static pubsub_err emit(broker_self *self, broker_item *item)
{
    event_room room;
    const pubsub_message *message = item->message;
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.topic = pubsub_message_topic(message);
    event.model = self->model != NULL ? pubsub_bytes_of(self->model) : event.topic;
    if (event.model.len > PUBSUB_MODEL_MAX) {
        event.model = pubsub_bytes_of(self->patterns[0]);
    }
    event.document = pubsub_message_payload(message);
    event.content_type = pubsub_message_content_type(message);
    event.key = pubsub_message_key(message);
    event.reply_to = pubsub_message_reply_to(message);
    event.correlation = pubsub_message_correlation(message);
    event.timestamp_ns = pubsub_message_timestamp_ns(message);
    event.token = self->acks ? item : NULL;
    add_headers(message, &room, &event);
    make_id(message, &room, &event);
    return self->emitter->event(self->emitter, &event);
}

/* A message that the emitter will never take: said, and given back to the broker, which keeps it. */
static void refuse(broker_self *self, broker_item *item, pubsub_err rc)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes topic = pubsub_message_topic(item->message);
    (void)pubsub_error_set(&err, rc, "a message of '%.*s' cannot be passed on: %s",
                           (int)(topic.len > 80 ? 80 : topic.len), (const char *)topic.data,
                           pubsub_strerror(rc));
    self->emitter->error(self->emitter, pubsub_bytes_of(self->patterns[0]), &err);
    if (self->acks) {
        (void)pubsub_message_nack(item->message, -1, err.text);
        if (item->copy != NULL) {
            (void)pubsub_message_nack(item->copy->message, -1, err.text);
        }
    }
    broker_release(self, item);
}

/* True when the message is out of our hands or waits to be settled. */
static bool offer(broker_self *self, broker_item *item)
{
    if (self->acks) { /* it may be settled inside the call */
        broker_append(&self->open, item);
    }
    pubsub_err rc = emit(self, item);
    if (rc == PUBSUB_OK) {
        if (!self->acks) {
            broker_release(self, item);
        }
        return true;
    }
    if (self->acks) {
        broker_take_out(&self->open, item);
    }
    if (rc == PUBSUB_EAGAIN) {
        return false;
    }
    if (rc == PUBSUB_ECLOSED) {
        broker_release(self, item);
    } else {
        refuse(self, item, rc);
    }
    return true;
}

static void wait_for_room(broker_self *self, broker_item *item)
{
    broker_append(&self->waiting, item);
    /* Nothing more is dispatched; what the broker hands out is bounded by the prefetch. */
    self->host->watch_set(self->watch, 0);
}

int broker_on_message(void *ctx, pubsub_message *message)
{
    broker_self *self = ctx;
    if (self->emitter == NULL) {
        return -1; /* stopping: it goes back */
    }
    broker_item *item = new_item(self, message);
    if (item == NULL) {
        if (self->acks) {
            (void)pubsub_message_nack(message, -1, NULL);
        }
        return -1;
    }
    if (self->acks && pubsub_message_is_redelivered(message) && broker_is_again(self, item)) {
        return 0;
    }
    if (self->waiting.head != NULL || !offer(self, item)) {
        wait_for_room(self, item);
    }
    return 0;
}

void broker_resume(void *ctx)
{
    broker_self *self = ctx;
    if (self->draining || self->emitter == NULL) {
        return;
    }
    self->draining = true;
    while (self->emitter != NULL && self->waiting.head != NULL) {
        broker_item *item = self->waiting.head;
        broker_take_out(&self->waiting, item);
        if (!offer(self, item)) { /* back to the front */
            item->prev = NULL;
            item->next = self->waiting.head;
            if (item->next != NULL) {
                item->next->prev = item;
            } else {
                self->waiting.tail = item;
            }
            self->waiting.head = item;
            break;
        }
    }
    self->draining = false;
    if (self->waiting.head == NULL && self->emitter != NULL) {
        self->host->watch_set(self->watch, PUBSUB_HOST_READ);
    }
}

/* ---- settling ---- */

/* Acknowledged, and let go of together. What came before an interruption may be handed out all the same: what
 * to know it by is kept. */
static void ack_all(broker_self *self, broker_item **items, pubsub_message **messages, size_t count)
{
    size_t done = 0;
    (void)pubsub_message_ack_batch(messages, count);
    for (size_t i = 0; i < count; i++) {
        if (items[i]->copy != NULL) {
            (void)pubsub_message_ack(items[i]->copy->message);
        }
        messages[done++] = items[i]->message;
        if (items[i]->lives != self->lives && broker_mark_item(items[i])) {
            items[i]->message = NULL;
            if (items[i]->copy != NULL) {
                broker_release(self, items[i]->copy);
                items[i]->copy = NULL;
            }
            broker_append(&self->late, items[i]);
        } else {
            recycle(self, items[i]);
        }
    }
    pubsub_message_unref_batch(messages, done);
}

static void give_back(broker_self *self, broker_item *item, pubsub_err why)
{
    (void)pubsub_message_nack(item->message, -1, pubsub_strerror(why));
    if (item->copy != NULL) {
        (void)pubsub_message_nack(item->copy->message, -1, pubsub_strerror(why));
    }
    broker_release(self, item);
}

void broker_settled(void *ctx, const pubsub_settled *settled, size_t count)
{
    broker_self *self = ctx;
    pubsub_message *good[ACK_BATCH];
    broker_item *items[ACK_BATCH];
    size_t filled = 0;
    if (self->emitter == NULL) {
        return; /* stopping: everything was given back already */
    }
    for (size_t i = 0; i <= count; i++) {
        if (filled == ACK_BATCH || (i == count && filled > 0)) {
            ack_all(self, items, good, filled);
            filled = 0;
        }
        if (i == count) {
            break;
        }
        broker_item *item = settled[i].token;
        broker_take_out(&self->open, item);
        if (settled[i].result == PUBSUB_OK) {
            items[filled] = item;
            good[filled++] = item->message;
        } else {
            give_back(self, item, settled[i].result);
        }
    }
}

/* Not settled: the broker hands them out again. */
void broker_drop_all(broker_self *self)
{
    broker_list *lists[] = {&self->waiting, &self->open, &self->late};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (lists[i]->head != NULL) {
            broker_item *item = lists[i]->head;
            broker_take_out(lists[i], item);
            broker_release(self, item);
        }
    }
}
