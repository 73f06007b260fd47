/* SPDX-License-Identifier: MIT */
#include "local/store.h"

#include <string.h>

#include "local/record.h"

#define PROP_HEAD 8u

size_t pubsub__local_props_size(const local_prop *props, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t name = props[i].name.len, value = props[i].value.len;
        bool named = props[i].kind == LOCAL_PROP_HEADER;
        if (name > UINT16_MAX || value > UINT32_MAX || named != (name > 0) ||
            total > SIZE_MAX / 2) {
            return SIZE_MAX;
        }
        total += PROP_HEAD + name + value;
    }
    return total;
}

size_t pubsub__local_props_encode(const local_prop *props, size_t count, uint8_t *buf)
{
    uint8_t *p = buf;
    for (size_t i = 0; i < count; i++) {
        const local_prop *prop = &props[i];
        p[0] = (uint8_t)prop->kind;
        p[1] = 0;
        local_put16(p + 2, (uint16_t)prop->name.len);
        local_put32(p + 4, (uint32_t)prop->value.len);
        p += PROP_HEAD;
        if (prop->name.len > 0) {
            memcpy(p, prop->name.data, prop->name.len);
            p += prop->name.len;
        }
        if (prop->value.len > 0) {
            memcpy(p, prop->value.data, prop->value.len);
            p += prop->value.len;
        }
    }
    return (size_t)(p - buf);
}

int pubsub__local_props_next(pubsub_bytes *blob, local_prop *out)
{
    if (blob->len == 0) {
        return 0;
    }
    if (blob->len < PROP_HEAD) {
        return -1;
    }
    const uint8_t *p = blob->data;
    size_t name = local_get16(p + 2), value = local_get32(p + 4);
    if (p[1] != 0 || name + value > blob->len - PROP_HEAD ||
        (p[0] == LOCAL_PROP_HEADER) != (name > 0)) {
        return -1;
    }
    out->kind = (local_prop_kind)p[0];
    out->name.data = p + PROP_HEAD;
    out->name.len = name;
    out->value.data = p + PROP_HEAD + name;
    out->value.len = value;
    blob->data = p + PROP_HEAD + name + value;
    blob->len -= PROP_HEAD + name + value;
    return 1;
}
