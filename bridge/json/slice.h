/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SLICE_H
#define PUBSUB_BRIDGE_SLICE_H

/* JSON by slices (RFC 8259): finds values and leaves their bytes as they are, because a document is
 * passed on unchanged. No allocation, no tree; one pass over the bytes. Depth is bounded. */

#include "base/buf.h"

#include <pubsub/types.h>

#define BRIDGE_JSON_DEPTH_MAX 128

typedef enum bridge_json_type {
    BRIDGE_JSON_NONE = 0, /* no value there */
    BRIDGE_JSON_OBJECT,
    BRIDGE_JSON_ARRAY,
    BRIDGE_JSON_STRING,
    BRIDGE_JSON_NUMBER,
    BRIDGE_JSON_TRUE,
    BRIDGE_JSON_FALSE,
    BRIDGE_JSON_NULL,
} bridge_json_type;

/* Whether the bytes are exactly one valid JSON value in UTF-8 with white space around it. When not,
 * *offset (may be NULL) is where it goes wrong and the result's text says what; NULL = valid. */
const char *bridge_json_check(pubsub_bytes json, size_t *offset);

/* What the first non-space byte says; the value itself is not checked. */
bridge_json_type bridge_json_type_of(pubsub_bytes value);

/* Walk the members of an object or the elements of an array (name is empty then). Start with a zeroed
 * walk. False at the end and at the first thing that is no JSON (walk->broken). A name is given with its
 * quotes off and its escapes on. */
typedef struct bridge_json_walk {
    size_t at; /* 0 = not begun */
    bool broken;
    pubsub_bytes name;
    pubsub_bytes value; /* without white space around it */
} bridge_json_walk;
bool bridge_json_next(bridge_json_walk *walk, pubsub_bytes container);

/* The value of a member, {NULL,0} when there is none or the object is broken before it. Names with
 * escapes are compared by what they mean. The first of equal names counts. */
pubsub_bytes bridge_json_member(pubsub_bytes object, const char *name);

/* RFC 6901: "/a/0/b"; "" is the whole. {NULL,0} when there is nothing. */
pubsub_bytes bridge_json_pointer(pubsub_bytes value, const char *pointer);

/* What a string value means, appended as UTF-8. False when it is no valid string or does not fit. */
bool bridge_json_unescape(pubsub_bytes string, pubsub__buf *out);

/* Bytes as a JSON string with quotes; what is not UTF-8 becomes U+FFFD. A PUBSUB__BUF_* code. */
int bridge_json_quote(pubsub_bytes bytes, pubsub__buf *out);

/* A number value as an unsigned integer; false when it is none or too big. */
bool bridge_json_u64(pubsub_bytes value, uint64_t *out);

#endif
