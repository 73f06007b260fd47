/* SPDX-License-Identifier: MIT */
/* Bytes of a broker, of any content: frames, methods, the properties of messages. What is taken apart stays
 * inside what came, and a message that decodes has sane parts. */
#include "fuzz/fuzz.h"

#include "amqp/map.h"
#include "base/alloc.h"
#include "message/block.h"

#include <string.h>

static bool within(pubsub_bytes part, const unsigned char *start, size_t len)
{
    const unsigned char *at = part.data;
    return part.len == 0 || (at >= start && at + part.len <= start + len);
}

static void check_table(pubsub_bytes table, const amq_frame *frame)
{
    amq_field field;
    size_t before = table.len;
    while (pubsub__amqp_table_next(&table, &field)) {
        char text[64];
        int64_t number = 0;
        FUZZ_CHECK(table.len < before);
        before = table.len;
        FUZZ_CHECK(within(field.name, frame->payload, frame->size));
        FUZZ_CHECK(within(field.value, frame->payload, frame->size));
        size_t len = pubsub__amqp_field_text(&field, NULL, 0);
        FUZZ_CHECK(pubsub__amqp_field_text(&field, text, sizeof(text)) == len);
        (void)pubsub__amqp_field_number(&field, &number);
    }
}

static void check_message(const amq_frame *frame, const amq_properties *props, bool plain)
{
    static pubsub__block_pool *pool;
    static const char key[] = "a.%2E.b.%25";
    amq_naming naming = {{"amq.topic", 9}, plain};
    amq_delivery delivery = {{NULL, 0}, {key, sizeof(key) - 1}, 7, true};
    if (pool == NULL) {
        pool = pubsub__block_pool_new(4, NULL);
        FUZZ_CHECK(pool != NULL);
    }
    size_t need = pubsub__amqp_decode_need(props, frame->size, &delivery);
    pubsub_block *block = pubsub__block_new(pool, 1, need);
    FUZZ_CHECK(block != NULL);
    pubsub_spi_message message;
    memset(&message, 0, sizeof(message));
    FUZZ_CHECK(pubsub__amqp_decode(props, (pubsub_bytes){frame->payload, frame->size}, &delivery,
                                   &naming, (pubsub_bytes){NULL, 0}, 1, block, &message));
    FUZZ_CHECK(message.attempt >= 1 && message.token == 7);
    FUZZ_CHECK(message.header_count == 0 || message.headers != NULL);
    size_t sum = 0;
    for (uint32_t i = 0; i < message.header_count; i++) {
        pubsub_bytes value = message.headers[i].value;
        const unsigned char *bytes = value.data;
        for (size_t k = 0; k < value.len; k++) {
            sum += bytes[k]; /* it can be read */
        }
    }
    FUZZ_CHECK(sum < SIZE_MAX);
    pubsub_block_discard(block);
}

static void check_method(const amq_frame *frame)
{
    amqp_pool_t pool;
    void *decoded = NULL;
    if (frame->size < 4) {
        return;
    }
    amqp_method_number_t id = (amqp_method_number_t)frame->payload[0] << 24 |
                              (amqp_method_number_t)frame->payload[1] << 16 |
                              (amqp_method_number_t)frame->payload[2] << 8 | frame->payload[3];
    amqp_bytes_t fields = {frame->size - 4, (void *)(uintptr_t)(frame->payload + 4)};
    init_amqp_pool(&pool, 4096);
    (void)amqp_decode_method(id, &pool, fields, &decoded);
    empty_amqp_pool(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        amq_frame frame;
        size_t used = 0;
        amq_properties props;
        if (pubsub__amqp_frame_read(data + at, size - at, AMQ_FRAME_MAX, &frame, &used) !=
            AMQ_READ_OK) {
            break;
        }
        FUZZ_CHECK(used >= AMQ_FRAME_REST && used <= size - at);
        FUZZ_CHECK(frame.payload + frame.size < data + size);
        at += used;
        if (frame.type == AMQP_FRAME_METHOD) {
            check_method(&frame);
        }
        if (frame.type == AMQP_FRAME_HEADER &&
            pubsub__amqp_properties_read(frame.payload, frame.size, &props)) {
            uint64_t id = 0;
            FUZZ_CHECK(within(props.headers, frame.payload, frame.size));
            check_table(props.headers, &frame);
            check_message(&frame, &props, (frame.channel & 1) != 0);
            (void)pubsub__amqp_id_read(props.message_id, "abcdefgh", &id);
        }
    }
    return 0;
}
