/* SPDX-License-Identifier: MIT */
#include "connectors/broker/internal.h"

#include "base/alloc.h"

#include <pubsub/client.h>

#include <string.h>

/* After an interruption a broker hands out again what is not acknowledged, also what is on its way through
 * the route. Where messages have positions those are told apart from new ones: to publish them again would
 * add a duplicate to each that the route's own broker makes when it was away as well. */

enum {
    LOOK_MAX = 1024
}; /* they come again in the order they are in, so the first one mostly fits */

struct broker_mark {
    uint64_t timestamp_ns;
    size_t payload; /* bytes */
    size_t topic;
    char position[PUBSUB_POSITION_TEXT_MAX];
    char topic_text[];
};

/* False: it has none. */
static bool position_of(const pubsub_message *message, char text[PUBSUB_POSITION_TEXT_MAX])
{
    pubsub_position position = pubsub_message_position(message);
    size_t len = pubsub_position_text(&position, text, PUBSUB_POSITION_TEXT_MAX);
    return len > 0 && len < PUBSUB_POSITION_TEXT_MAX;
}

bool broker_mark_item(broker_item *item)
{
    const pubsub_message *message = item->message;
    pubsub_bytes topic = pubsub_message_topic(message);
    broker_mark *mark = pubsub__alloc(sizeof *mark + topic.len);
    if (mark == NULL || !position_of(message, mark->position)) {
        pubsub__free(mark);
        return false;
    }
    mark->timestamp_ns = pubsub_message_timestamp_ns(message);
    mark->payload = pubsub_message_payload(message).len;
    mark->topic = topic.len;
    if (topic.len > 0) {
        memcpy(mark->topic_text, topic.data, topic.len);
    }
    item->mark = mark;
    return true;
}

static bool is_marked(const broker_mark *mark, const pubsub_message *message)
{
    char text[PUBSUB_POSITION_TEXT_MAX];
    pubsub_bytes topic = pubsub_message_topic(message);
    return mark->topic == topic.len && mark->payload == pubsub_message_payload(message).len &&
           mark->timestamp_ns == pubsub_message_timestamp_ns(message) &&
           memcmp(mark->topic_text, topic.data, topic.len) == 0 && position_of(message, text) &&
           strcmp(mark->position, text) == 0;
}

static bool is_same(const pubsub_message *one, const pubsub_message *two)
{
    char texts[2][PUBSUB_POSITION_TEXT_MAX];
    pubsub_bytes topics[2] = {pubsub_message_topic(one), pubsub_message_topic(two)};
    return topics[0].len == topics[1].len &&
           pubsub_message_payload(one).len == pubsub_message_payload(two).len &&
           pubsub_message_timestamp_ns(one) == pubsub_message_timestamp_ns(two) &&
           memcmp(topics[0].data, topics[1].data, topics[0].len) == 0 &&
           position_of(one, texts[0]) && position_of(two, texts[1]) &&
           strcmp(texts[0], texts[1]) == 0;
}

static broker_item *find(const broker_list *list, const broker_item *item)
{
    int left = LOOK_MAX;
    for (broker_item *at = list->head; at != NULL && left-- > 0; at = at->next) {
        if (at->lives != item->lives && (at->mark != NULL ? is_marked(at->mark, item->message)
                                                          : is_same(at->message, item->message))) {
            return at;
        }
    }
    return NULL;
}

bool broker_is_again(broker_self *self, broker_item *item)
{
    broker_item *first = find(&self->late, item);
    if (first != NULL) {
        broker_take_out(&self->late, first);
        broker_release(self, first);
        (void)pubsub_message_ack(item->message);
        broker_release(self, item);
        return true;
    }
    first = find(&self->open, item);
    first = first != NULL ? first : find(&self->waiting, item);
    if (first == NULL) {
        return false;
    }
    if (first->copy != NULL) { /* interrupted twice: only the newest can still be acknowledged */
        broker_release(self, first->copy);
    }
    first->copy = item;
    first->lives = item->lives;
    return true;
}

void broker_interrupted(broker_self *self)
{
    self->lives++;
    while (self->late.head != NULL) { /* of the interruption before */
        broker_item *item = self->late.head;
        broker_take_out(&self->late, item);
        broker_release(self, item);
    }
}
