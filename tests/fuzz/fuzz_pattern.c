/* SPDX-License-Identifier: MIT */
/* "pattern LF topic": the checks, the matcher against a plain table of what matches, the index against the
 * matcher, and names of containers there and back. */
#include "fuzz/fuzz.h"

#include "topic/container.h"
#include "topic/index.h"

#include <pubsub/topic.h>

#include <string.h>

#define LEVELS_MAX (PUBSUB_TOPIC_MAX + 1)

typedef struct levels {
    const char *at[LEVELS_MAX];
    size_t len[LEVELS_MAX];
    size_t count;
} levels;

static void split(levels *out, const char *text, size_t len)
{
    const char *end = text + len;
    out->count = 0;
    for (;;) {
        const char *slash = memchr(text, '/', (size_t)(end - text));
        out->at[out->count] = text;
        out->len[out->count++] = (size_t)((slash == NULL ? end : slash) - text);
        if (slash == NULL) {
            return;
        }
        text = slash + 1;
    }
}

static bool is_level(const levels *in, size_t i, char c)
{
    return in->len[i] == 1 && in->at[i][0] == c;
}

static bool is_hash(const levels *in, size_t i)
{
    return is_level(in, i, '#') || is_level(in, i, '*');
}

/* row[t] after p pattern levels: do they match the first t topic levels? */
static bool matches_by_table(const levels *pattern, const levels *topic)
{
    static bool row[LEVELS_MAX + 1];
    memset(row, 0, sizeof(row));
    row[0] = true;
    if (topic->at[0][0] == '$' && (is_hash(pattern, 0) || is_level(pattern, 0, '+'))) {
        return false;
    }
    for (size_t p = 0; p < pattern->count; p++) {
        if (is_hash(pattern, p)) {
            for (size_t t = 1; t <= topic->count; t++) {
                row[t] = row[t] || row[t - 1];
            }
            continue;
        }
        for (size_t t = topic->count; t > 0; t--) {
            bool fits = is_level(pattern, p, '+') ||
                        (pattern->len[p] == topic->len[t - 1] &&
                         memcmp(pattern->at[p], topic->at[t - 1], pattern->len[p]) == 0);
            row[t] = row[t - 1] && fits;
        }
        row[0] = false;
    }
    return row[topic->count];
}

static void check_index(const char *pattern, size_t plen, const char *topic, size_t tlen,
                        bool match)
{
    pubsub__topic_index *index = NULL;
    FUZZ_CHECK(pubsub__topic_index_new(&index, 4) == PUBSUB_OK);
    FUZZ_CHECK(pubsub__topic_index_add(index, pattern, plen, &index) == PUBSUB_OK);
    FUZZ_CHECK(pubsub__topic_index_add(index, topic, tlen, index) == PUBSUB_OK);
    size_t hits = pubsub__topic_index_match(index, topic, tlen, NULL, NULL);
    FUZZ_CHECK(hits == (match ? 2 : 1));
    FUZZ_CHECK(pubsub__topic_index_remove(index, pattern, plen, &index));
    FUZZ_CHECK(pubsub__topic_index_match(index, topic, tlen, NULL, NULL) == 1);
    pubsub__topic_index_free(index);
}

static void check_containers(const char *pattern, size_t plen, const char *topic, size_t tlen)
{
    static const pubsub__container_kind kinds[] = {PUBSUB__CONTAINER_PLAIN, PUBSUB__CONTAINER_AMQP,
                                                   PUBSUB__CONTAINER_KAFKA};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char name[PUBSUB__CONTAINER_BUF];
        char back[PUBSUB__CONTAINER_BUF];
        char filter[PUBSUB__CONTAINER_REGEX_BUF];
        size_t len = 0;
        size_t back_len = 0;
        pubsub_err rc =
            pubsub__container_pattern(kinds[i], pattern, plen, filter, sizeof(filter), NULL, NULL);
        FUZZ_CHECK(rc == PUBSUB_OK || rc == PUBSUB_EPATTERN || rc == PUBSUB_ETOPIC);
        /* Any topic is also a name that somebody else could have chosen. */
        FUZZ_CHECK(pubsub__container_decode(kinds[i], topic, tlen, back, sizeof(back), NULL) ==
                   PUBSUB_OK);
        rc = pubsub__container_encode(kinds[i], topic, tlen, name, sizeof(name), &len, NULL);
        if (rc != PUBSUB_OK) {
            FUZZ_CHECK(rc == PUBSUB_ETOPIC);
            continue;
        }
        FUZZ_CHECK(pubsub__container_decode(kinds[i], name, len, back, sizeof(back), &back_len) ==
                   PUBSUB_OK);
        bool same = back_len == tlen && memcmp(back, topic, tlen) == 0;
        FUZZ_CHECK(same != pubsub__container_needs_header(kinds[i], topic, tlen));
        FUZZ_CHECK(pubsub__container_topic_of(kinds[i], name, len, topic, tlen, back, sizeof(back),
                                              &back_len) == PUBSUB_OK);
        FUZZ_CHECK(back_len == tlen && memcmp(back, topic, tlen) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static levels pattern_levels;
    static levels topic_levels;
    const char *pattern = (const char *)data;
    const char *newline = size == 0 ? NULL : memchr(pattern, '\n', size);
    size_t plen = newline == NULL ? size : (size_t)(newline - pattern);
    const char *topic = newline == NULL ? pattern + size : newline + 1;
    size_t tlen = size - (size_t)(topic - pattern);
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool topic_fine = pubsub_topic_check(topic, tlen, &err) == PUBSUB_OK;
    bool pattern_fine = pubsub_pattern_check(pattern, plen, &err) == PUBSUB_OK;
    /* A literal pattern is a topic and the other way round. */
    FUZZ_CHECK(!topic_fine || (pubsub_pattern_check(topic, tlen, NULL) == PUBSUB_OK &&
                               pubsub_pattern_is_literal(topic, tlen)));
    if (topic_fine && pattern_fine) {
        split(&pattern_levels, pattern, plen);
        split(&topic_levels, topic, tlen);
        bool match = pubsub_topic_matches(pattern, plen, topic, tlen);
        FUZZ_CHECK(match == matches_by_table(&pattern_levels, &topic_levels));
        check_index(pattern, plen, topic, tlen, match);
        check_containers(pattern, plen, topic, tlen);
    }
    return 0;
}
