/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_FORMAT_H
#define PUBSUB_BRIDGE_FORMAT_H

/* From an event to a payload. A document's bytes pass through unchanged.
 *
 * Where a format puts the document into JSON, a document that is no JSON (its content type says so, or
 * the bytes do) is put there as a JSON string when it is UTF-8, and otherwise as base64 under the
 * member's name with `_base64` behind it, which is what CloudEvents does. Nothing is lost and the
 * result is always valid JSON. An empty document is `null`.
 *
 *   event         {"model":"accounts","message":DOCUMENT}
 *   changestream  {"target":KEY,"data":DOCUMENT,"type":"create|update|remove"}, as LoopBack writes it;
 *                 `data` is null for remove; a change that is not known is "update", and the header
 *                 `pubsub-event` says "unknown"; without a key `target` is null
 *   cloudevents   CloudEvents 1.0, structured; `subject` is the key
 *   raw           DOCUMENT */

#include "base/buf.h"
#include "config/config.h"

/* What formats need to know beside the event. */
typedef struct bridge_format_names {
    const char *source; /* in the configuration */
    pubsub_bytes id;    /* of the event; never empty */
} bridge_format_names;

/* Append the payload to `out`. *content_type is a constant or borrowed from the event.
 * PUBSUB_ENOMEM, PUBSUB_ETOOBIG. */
pubsub_err bridge_format_payload(bridge_format format, const bridge_format_names *names,
                                 const pubsub_source_event *event, pubsub__buf *out,
                                 pubsub_bytes *content_type, pubsub_error *err);

/* ---- CloudEvents ---- */

/* The attributes of an event, in a fixed order; empty ones are left out. */
#define BRIDGE_CE_MAX 6
typedef struct bridge_ce {
    const char *name;
    pubsub_bytes value;
} bridge_ce;
typedef struct bridge_ce_text {
    char source[8 + 3 * (PUBSUB_MODEL_MAX + 256)];
    char type[32];
    char time[96];
} bridge_ce_text;
size_t bridge_ce_attributes(const bridge_format_names *names, const pubsub_source_event *event,
                            bridge_ce_text *text, bridge_ce out[BRIDGE_CE_MAX]);

/* What stands before an attribute's name in a header of the binary mode, as the binding of that
 * protocol says. */
const char *bridge_ce_prefix(const char *url);

#endif
