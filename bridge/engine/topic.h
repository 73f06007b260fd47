/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_TOPIC_H
#define PUBSUB_BRIDGE_TOPIC_H

/* Topic templates: text with {model}, {source}, {route}, {topic}, {key}, {event}, {id} or a pointer into
 * the document, {/a/b}, in it; {{ is a brace. Values are put in as they are, so that a model "a/b" gives
 * levels. What a pointer leads to has to be a text, a number, true or false. */

#include "base/buf.h"

#include <pubsub/connector.h>

typedef struct bridge_topic_names {
    const char *source;
    const char *route;
    pubsub_bytes id;
} bridge_topic_names;

/* Whether it is a template; *err names the unknown word and the known ones. */
pubsub_err bridge_topic_check(const char *template_text, pubsub_error *err);

/* Append the topic of an event. PUBSUB_ETOPIC when it is empty, too long or no topic, or a pointer leads
 * to nothing. */
pubsub_err bridge_topic_make(const char *template_text, const bridge_topic_names *names,
                             const pubsub_source_event *event, pubsub__buf *out, pubsub_error *err);

#endif
