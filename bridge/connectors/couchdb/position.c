/* SPDX-License-Identifier: MIT */
#include "connectors/couchdb/position.h"

#include "json/slice.h"

#include <pubsub/connector.h>
#include <string.h>

bool couch_position_write(pubsub__buf *out, pubsub_bytes instance, pubsub_bytes seq)
{
    pubsub__buf_reset(out);
    return pubsub__buf_add_text(out, "{\"instance\":\"") == PUBSUB__BUF_OK &&
           pubsub__buf_add(out, instance.data, instance.len) == PUBSUB__BUF_OK &&
           pubsub__buf_add_text(out, "\",\"seq\":") == PUBSUB__BUF_OK &&
           pubsub__buf_add(out, seq.data, seq.len) == PUBSUB__BUF_OK &&
           pubsub__buf_add_byte(out, '}') == PUBSUB__BUF_OK;
}

bool couch_position_read(pubsub_bytes position, pubsub_bytes *instance, pubsub_bytes *seq)
{
    pubsub_bytes quoted = {NULL, 0};
    if (bridge_json_check(position, NULL) != NULL ||
        bridge_json_type_of(position) != BRIDGE_JSON_OBJECT) {
        return false;
    }
    quoted = bridge_json_member(position, "instance");
    *seq = bridge_json_member(position, "seq");
    if (quoted.len < 2 || bridge_json_type_of(quoted) != BRIDGE_JSON_STRING || seq->len == 0 ||
        bridge_json_type_of(*seq) == BRIDGE_JSON_NULL) {
        return false;
    }
    *instance = (pubsub_bytes){(const char *)quoted.data + 1, quoted.len - 2};
    return true;
}

int couch_url_add(pubsub__buf *out, pubsub_bytes bytes)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    const unsigned char *at = bytes.data;
    int code = PUBSUB__BUF_OK;
    for (size_t i = 0; i < bytes.len && code == PUBSUB__BUF_OK; i++) {
        if (at[i] != '\0' && strchr(plain, at[i]) != NULL) {
            code = pubsub__buf_add_byte(out, (char)at[i]);
        } else {
            const char escaped[3] = {'%', hex[at[i] >> 4], hex[at[i] & 15]};
            code = pubsub__buf_add(out, escaped, sizeof(escaped));
        }
    }
    return code;
}

int couch_url_add_seq(pubsub__buf *out, pubsub_bytes seq)
{
    pubsub__buf text;
    int code = PUBSUB__BUF_FULL;
    if (bridge_json_type_of(seq) != BRIDGE_JSON_STRING) {
        return couch_url_add(out, seq);
    }
    pubsub__buf_init(&text, PUBSUB_POSITION_BYTES_MAX);
    if (bridge_json_unescape(seq, &text)) {
        code = couch_url_add(out, (pubsub_bytes){text.data, text.len});
    }
    pubsub__buf_fini(&text);
    return code;
}
