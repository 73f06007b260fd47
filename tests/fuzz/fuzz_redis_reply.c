/* SPDX-License-Identifier: MIT */
/* "pattern LF topic LF bytes of a server". However the bytes are cut they are the same replies, an entry of any
 * fields stays inside what was asked for, and the pattern of channels matches whatever the pattern matches. */
#include "fuzz/fuzz.h"

#include "message/block.h"
#include "redis/conn.h"
#include "redis/fields.h"

#include <string.h>

static pubsub_bytes next_line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;
    const uint8_t *newline = start == end ? NULL : memchr(start, '\n', (size_t)(end - start));
    *at = newline == NULL ? end : newline + 1;
    return (pubsub_bytes){start, (size_t)((newline == NULL ? end : newline) - start)};
}

/* As the server matches: `*` and `\` are all that we write. */
static bool glob_matches(const char *glob, size_t glob_len, const char *text, size_t len)
{
    size_t star = SIZE_MAX;
    size_t back = 0;
    size_t g = 0;
    size_t t = 0;
    while (t < len) {
        size_t literal = g < glob_len && glob[g] == '\\' ? g + 1 : g;
        if (g < glob_len && glob[g] == '*') {
            star = g++;
            back = t;
        } else if (literal < glob_len && glob[literal] == text[t]) {
            g = literal + 1;
            t++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            t = ++back;
        } else {
            return false;
        }
    }
    while (g < glob_len && glob[g] == '*') {
        g++;
    }
    return g == glob_len;
}

static void check_glob(pubsub_bytes pattern, pubsub_bytes topic)
{
    char glob[2 * PUBSUB_TOPIC_MAX + 2];
    if (pubsub_pattern_check(pattern.data, pattern.len, NULL) != PUBSUB_OK ||
        pubsub_topic_check(topic.data, topic.len, NULL) != PUBSUB_OK) {
        return;
    }
    size_t len = pubsub__redis_glob(pattern.data, pattern.len, glob);
    FUZZ_CHECK(len < sizeof(glob));
    FUZZ_CHECK(!pubsub_topic_matches(pattern.data, pattern.len, topic.data, topic.len) ||
               glob_matches(glob, len, topic.data, topic.len));
}

static void check_reply(pubsub__block_pool *pool, const redis_reply *reply)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    uint64_t id[2];
    char text[REDIS_ID_TEXT];
    pubsub_bytes bytes = pubsub__redis_bytes(reply);
    (void)pubsub__redis_error(reply, &err);
    if (bytes.data != NULL && pubsub__redis_id_parse(bytes.data, bytes.len, id)) {
        FUZZ_CHECK(pubsub__redis_id_text(id, text) < sizeof(text));
    }
    (void)pubsub__redis_find(reply, "appendonly");
    if (reply->type == REDIS_ARRAY) {
        pubsub_block *block = pubsub__block_new(pool, 1, pubsub__redis_fields_need(reply, 5));
        FUZZ_CHECK(block != NULL);
        pubsub_spi_message *out = pubsub_block_message(block);
        pubsub__redis_fields_get(reply, (pubsub_bytes){"topic", 5}, block, out);
        FUZZ_CHECK(out->topic.len == 5 && out->header_count <= PUBSUB_HEADERS_MAX + 1);
        for (uint32_t i = 0; i < out->header_count; i++) {
            FUZZ_CHECK(out->headers[i].name.len > 0);
        }
        pubsub_block_discard(block);
    }
    for (size_t i = 0; i < pubsub__redis_count(reply) && i < 64; i++) {
        check_reply(pool, pubsub__redis_at(reply, i));
    }
}

static size_t parse(pubsub__block_pool *pool, const uint8_t *at, size_t size, size_t step)
{
    redis_parser *parser = pubsub__redis_parser_new();
    size_t replies = 0;
    const char *bad = NULL;
    FUZZ_CHECK(parser != NULL);
    for (size_t done = 0; done < size && bad == NULL; done += step) {
        const redis_reply *reply = NULL;
        size_t n = size - done < step ? size - done : step;
        FUZZ_CHECK(pubsub__redis_parser_feed(parser, at + done, n));
        while ((reply = pubsub__redis_parser_next(parser, &bad)) != NULL) {
            replies++;
            check_reply(pool, reply);
        }
    }
    pubsub__redis_parser_free(parser);
    return replies;
}

/* As a subscriber does it: messages in place, the rest by hiredis. */
static size_t parse_pushes(pubsub__block_pool *pool, const uint8_t *at, size_t size, size_t step)
{
    redis_parser *parser = pubsub__redis_parser_new();
    size_t replies = 0;
    const char *bad = NULL;
    FUZZ_CHECK(parser != NULL);
    for (size_t done = 0; done < size && bad == NULL;) {
        const char *bytes = (const char *)at + done;
        size_t n = size - done < step ? size - done : step;
        size_t used = 0;
        const redis_reply *reply = pubsub__redis_parser_push(parser, bytes, n, &used);
        if (reply == NULL) {
            FUZZ_CHECK(pubsub__redis_parser_feed(parser, bytes, n));
            reply = pubsub__redis_parser_next(parser, &bad);
            used = n - (reply == NULL ? 0 : pubsub__redis_parser_unread(parser));
        }
        FUZZ_CHECK(used <= n);
        done += used;
        if (reply != NULL) {
            replies++;
            check_reply(pool, reply);
        }
    }
    pubsub__redis_parser_free(parser);
    return replies;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pubsub__block_pool *pool;
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    if (pool == NULL) {
        pool = pubsub__block_pool_new(4, NULL);
        FUZZ_CHECK(pool != NULL);
    }
    pubsub_bytes pattern = next_line(&at, end);
    pubsub_bytes topic = next_line(&at, end);
    check_glob(pattern, topic);
    size_t left = (size_t)(end - at);
    size_t replies = parse(pool, at, left, left + 1);
    FUZZ_CHECK(replies == parse(pool, at, left, 7));
    FUZZ_CHECK(replies == parse_pushes(pool, at, left, left + 1));
    FUZZ_CHECK(replies == parse_pushes(pool, at, left, 97));
    return 0;
}
