/* SPDX-License-Identifier: MIT */
#include "local/record.h"

#include <string.h>

#include "base/crc32c.h"

#define SEG_MAGIC "PSUBSEG1"

static size_t prefix_len(uint16_t flags)
{
    return ((flags & REC_F_EXPIRES) != 0 ? 8u : 0u) + ((flags & REC_F_ORIGIN) != 0 ? 8u : 0u);
}

/* A slice of the body; *p moves behind it. */
static pubsub_bytes slice(const uint8_t **p, size_t len)
{
    pubsub_bytes bytes = {*p, len};
    *p += len;
    return bytes;
}

local_scan pubsub__local_record_parse(const uint8_t *buf, size_t avail, local_raw *out)
{
    if (avail < REC_MARK) {
        return LOCAL_SCAN_END;
    }
    uint32_t body_len = local_get32(buf);
    if (body_len == REC_END) {
        return LOCAL_SCAN_END;
    }
    if (body_len == REC_ROLL) {
        return LOCAL_SCAN_ROLL;
    }
    uint64_t size = local_record_size(body_len);
    if (size > avail) {
        return LOCAL_SCAN_BAD;
    }
    uint16_t topic_len = local_get16(buf + 32);
    uint16_t flags = local_get16(buf + 34);
    uint16_t key_len = local_get16(buf + 36);
    uint32_t props_len = local_get32(buf + 40);
    uint64_t used = (uint64_t)prefix_len(flags) + topic_len + key_len + props_len;
    if (topic_len == 0 || used > body_len || (flags & ~REC_F_ALL) != 0 ||
        ((flags & REC_F_KEY) == 0 && key_len != 0)) {
        return LOCAL_SCAN_BAD;
    }
    out->body_len = body_len;
    out->size = (uint32_t)size;
    out->seq = local_get64(buf + 8);
    out->epoch = local_get32(buf + 16);
    out->topic_hash = local_get32(buf + 20);
    out->ts_ns = local_get64(buf + 24);
    out->flags = flags;
    out->header_count = local_get16(buf + 38);
    out->key_hash = local_get32(buf + 44);
    const uint8_t *p = buf + REC_HEAD;
    out->expiry_ns = out->origin = 0;
    if ((flags & REC_F_EXPIRES) != 0) {
        out->expiry_ns = local_get64(p);
        p += 8;
    }
    if ((flags & REC_F_ORIGIN) != 0) {
        out->origin = local_get64(p);
        p += 8;
    }
    out->topic = slice(&p, topic_len);
    out->key = slice(&p, key_len);
    if ((flags & REC_F_KEY) == 0) {
        out->key.data = NULL;
    }
    out->props = slice(&p, props_len);
    out->payload = slice(&p, (size_t)(body_len - used));
    return LOCAL_SCAN_RECORD;
}

static uint32_t partial_crc(const uint8_t *buf, size_t end)
{
    uint32_t crc = pubsub__crc32c(0, buf, 4);
    return pubsub__crc32c(crc, buf + 20, end - 20);
}

bool pubsub__local_record_crc_ok(const uint8_t *buf, const local_raw *raw)
{
    uint32_t crc = partial_crc(buf, REC_HEAD + (size_t)raw->body_len);
    return pubsub__crc32c(crc, buf + 8, 12) == local_get32(buf + 4);
}

local_scan pubsub__local_record_scan(const uint8_t *buf, size_t avail, const local_expect *expect,
                                     local_raw *out)
{
    local_scan scan = pubsub__local_record_parse(buf, avail, out);
    if (scan != LOCAL_SCAN_RECORD) {
        return scan;
    }
    bool seq_ok = expect->seq != 0 ? out->seq == expect->seq : out->seq >= expect->seq_min;
    if (!seq_ok || out->epoch < expect->epoch_min || out->epoch > expect->epoch_max ||
        !pubsub__local_record_crc_ok(buf, out)) {
        return LOCAL_SCAN_BAD;
    }
    return LOCAL_SCAN_RECORD;
}

size_t pubsub__local_record_resync(const uint8_t *buf, size_t len, size_t from,
                                   const local_expect *expect)
{
    local_raw raw;
    for (size_t at = from; at < len && len - at > REC_HEAD; at += REC_ALIGN) {
        /* The checksum is only computed where seq and lengths are plausible: a record behind the
         * damage cannot be further away than the bytes allow. */
        uint64_t seq = local_get64(buf + at + 8);
        uint64_t furthest = expect->seq_min + (at - from) / REC_HEAD + 1;
        if (seq < expect->seq_min || seq > furthest) {
            continue;
        }
        if (pubsub__local_record_scan(buf + at, len - at, expect, &raw) == LOCAL_SCAN_RECORD) {
            return at;
        }
    }
    return len;
}

static uint8_t *append(uint8_t *p, pubsub_bytes bytes)
{
    if (bytes.len > 0) {
        memcpy(p, bytes.data, bytes.len);
    }
    return p + bytes.len;
}

void pubsub__local_record_build(uint8_t *buf, const local_raw *raw)
{
    local_put32(buf, raw->body_len);
    local_put32(buf + 20, raw->topic_hash);
    local_put64(buf + 24, raw->ts_ns);
    local_put16(buf + 32, (uint16_t)raw->topic.len);
    local_put16(buf + 34, raw->flags);
    local_put16(buf + 36, (uint16_t)raw->key.len);
    local_put16(buf + 38, raw->header_count);
    local_put32(buf + 40, (uint32_t)raw->props.len);
    local_put32(buf + 44, raw->key_hash);
    uint8_t *p = buf + REC_HEAD;
    if ((raw->flags & REC_F_EXPIRES) != 0) {
        local_put64(p, raw->expiry_ns);
        p += 8;
    }
    if ((raw->flags & REC_F_ORIGIN) != 0) {
        local_put64(p, raw->origin);
        p += 8;
    }
    p = append(p, raw->topic);
    p = append(p, raw->key);
    if (raw->props.data != NULL) { /* NULL: the caller has encoded them in place already */
        p = append(p, raw->props);
    } else {
        p += raw->props.len;
    }
    p = append(p, raw->payload);
    size_t size = (size_t)local_record_size(raw->body_len);
    memset(p, 0, size - (size_t)(p - buf));
    local_put32(buf + 4, partial_crc(buf, REC_HEAD + (size_t)raw->body_len));
}

void pubsub__local_record_seal(uint8_t *buf, uint64_t seq, uint32_t epoch)
{
    local_put64(buf + 8, seq);
    local_put32(buf + 16, epoch);
    local_put32(buf + 4, pubsub__crc32c(local_get32(buf + 4), buf + 8, 12));
}

void pubsub__local_seg_head_encode(uint8_t buf[SEG_HEAD], const local_seg_head *head)
{
    memset(buf, 0, SEG_HEAD);
    memcpy(buf, SEG_MAGIC, 8);
    local_put32(buf + 8, SEG_VERSION);
    local_put32(buf + 12, head->epoch);
    local_put64(buf + 16, head->base);
    local_put64(buf + 24, head->size);
    local_put64(buf + 32, head->first_seq);
    local_put64(buf + 40, head->created_ns);
    memcpy(buf + 48, head->uuid, 8);
    local_put32(buf + 60, pubsub__crc32c(0, buf, 60));
}

bool pubsub__local_seg_head_decode(const uint8_t buf[SEG_HEAD], uint64_t base,
                                   const uint8_t uuid[8], local_seg_head *out)
{
    if (memcmp(buf, SEG_MAGIC, 8) != 0 || local_get32(buf + 8) != SEG_VERSION ||
        local_get32(buf + 60) != pubsub__crc32c(0, buf, 60) || memcmp(buf + 48, uuid, 8) != 0) {
        return false;
    }
    out->epoch = local_get32(buf + 12);
    out->base = local_get64(buf + 16);
    out->size = local_get64(buf + 24);
    out->first_seq = local_get64(buf + 32);
    out->created_ns = local_get64(buf + 40);
    memcpy(out->uuid, buf + 48, 8);
    return out->base == base && out->size >= SEG_MIN_BYTES && out->size <= SEG_MAX_BYTES &&
           out->size % REC_ALIGN == 0;
}
