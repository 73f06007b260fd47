/* SPDX-License-Identifier: MIT */
/* Topics, patterns, the matcher and the container names. Input: a pattern, a newline, a topic. */
#include <pubsub/topic.h>

#include "topic/container.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* A container either cannot be had, or leads back to the topic or asks for the header. */
static void round_trip(pubsub__container_kind kind, const char *topic, size_t len)
{
    char container[PUBSUB__CONTAINER_BUF];
    char back[PUBSUB__CONTAINER_BUF];
    size_t container_len = 0;
    size_t back_len = 0;
    if (pubsub__container_encode(kind, topic, len, container, sizeof container, &container_len,
                                 NULL) != PUBSUB_OK) {
        return;
    }
    must(pubsub__container_decode(kind, container, container_len, back, sizeof back, &back_len) ==
         PUBSUB_OK);
    bool same = back_len == len && memcmp(back, topic, len) == 0;
    must(same || pubsub__container_needs_header(kind, topic, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *pattern = (const char *)data;
    const char *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t plen = newline != NULL ? (size_t)(newline - pattern) : size;
    const char *topic = newline != NULL ? newline + 1 : pattern;
    size_t tlen = newline != NULL ? size - plen - 1 : size;
    pubsub_error err = PUBSUB_ERROR_INIT;

    bool pattern_ok = pubsub_pattern_check(pattern, plen, &err) == PUBSUB_OK;
    must(pattern_ok || err.text[0] != '\0');
    bool topic_ok = pubsub_topic_check(topic, tlen, NULL) == PUBSUB_OK;
    if (topic_ok) {
        /* A topic is also a literal pattern, and matches itself. */
        must(pubsub_pattern_check(topic, tlen, NULL) == PUBSUB_OK);
        must(pubsub_pattern_is_literal(topic, tlen));
        must(pubsub_topic_matches(topic, tlen, topic, tlen));
        round_trip(PUBSUB__CONTAINER_PLAIN, topic, tlen);
        round_trip(PUBSUB__CONTAINER_AMQP, topic, tlen);
        round_trip(PUBSUB__CONTAINER_KAFKA, topic, tlen);
    }
    if (pattern_ok && topic_ok) {
        bool matches = pubsub_topic_matches(pattern, plen, topic, tlen);
        bool same = plen == tlen && memcmp(pattern, topic, plen) == 0;
        must(!pubsub_pattern_is_literal(pattern, plen) || matches == same);
    }
    if (pattern_ok) {
        char out[PUBSUB__CONTAINER_REGEX_BUF];
        for (int kind = PUBSUB__CONTAINER_PLAIN; kind <= PUBSUB__CONTAINER_KAFKA; kind++) {
            bool exact = false;
            (void)pubsub__container_pattern((pubsub__container_kind)kind, pattern, plen, out,
                                            sizeof out, &exact, NULL);
        }
    }
    return 0;
}
