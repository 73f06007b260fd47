/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

/* Reply codes of AMQP 0-9-1, section 1.4.2 and the constants of its XML file, as ours. */

static const struct row {
    int reply_code;
    pubsub_err code;
} rows[] = {
    {AMQP_CONTENT_TOO_LARGE, PUBSUB_ETOOBIG},
    {AMQP_NO_ROUTE, PUBSUB_ENOTFOUND},
    {AMQP_NO_CONSUMERS, PUBSUB_ENOTFOUND},
    {AMQP_CONNECTION_FORCED, PUBSUB_ELOST}, /* the broker shuts down, or somebody closed it there */
    {AMQP_INVALID_PATH, PUBSUB_ENOTFOUND},
    {AMQP_ACCESS_REFUSED, PUBSUB_EDENIED},
    {AMQP_NOT_FOUND, PUBSUB_ENOTFOUND},
    {AMQP_RESOURCE_LOCKED, PUBSUB_EBUSY},
    {AMQP_PRECONDITION_FAILED, PUBSUB_EREJECTED},
    {AMQP_FRAME_ERROR, PUBSUB_EPROTO},
    {AMQP_SYNTAX_ERROR, PUBSUB_EPROTO},
    {AMQP_COMMAND_INVALID, PUBSUB_EPROTO},
    {AMQP_CHANNEL_ERROR, PUBSUB_EPROTO},
    {AMQP_UNEXPECTED_FRAME, PUBSUB_EPROTO},
    {AMQP_RESOURCE_ERROR, PUBSUB_EFULL},
    {AMQP_NOT_ALLOWED, PUBSUB_EDENIED},
    {AMQP_NOT_IMPLEMENTED, PUBSUB_ENOTSUP},
    {AMQP_INTERNAL_ERROR, PUBSUB_ELOST},
};

pubsub_err pubsub__amqp_code(int reply_code)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].reply_code == reply_code) {
            return rows[i].code;
        }
    }
    return PUBSUB_EREJECTED;
}

void pubsub__amqp_explain(pubsub_error *err, pubsub_err code, int reply_code, amqp_bytes_t text,
                          const char *what)
{
    size_t len = text.len < 180 ? text.len : 180;
    pubsub_error_set(err, code, "%s: %.*s (%d)", what, (int)len,
                     text.bytes == NULL ? "" : (const char *)text.bytes, reply_code);
    err->native_code = reply_code;
}
