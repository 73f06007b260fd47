/* SPDX-License-Identifier: MIT */
#include <pubsub/topic.h>

#include "base/utf8.h"
#include "topic/level.h"

/* What topics and patterns have in common. */
static pubsub_err check_text(const char *what, pubsub_err code, const char *text, size_t len,
                             pubsub_error *err)
{
    if (text == NULL && len > 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "%s is NULL", what);
    }
    if (len == 0) {
        return pubsub_error_set(err, code, "%s is empty", what);
    }
    if (len > PUBSUB_TOPIC_MAX) {
        return pubsub_error_set(err, code, "%s has %zu bytes, more than %d", what, len,
                                PUBSUB_TOPIC_MAX);
    }
    const char *nul = memchr(text, '\0', len);
    if (nul != NULL) {
        return pubsub_error_set(err, code, "%s has a NUL at byte %zu", what, (size_t)(nul - text));
    }
    size_t valid = pubsub__utf8_valid_prefix(text, len);
    if (valid < len) {
        return pubsub_error_set(err, PUBSUB_EUTF8, "%s is not UTF-8: bad byte 0x%02X at byte %zu",
                                what, (unsigned)(unsigned char)text[valid], valid);
    }
    return PUBSUB_OK;
}

/* The offset of the first wildcard level; len when there is none. */
static size_t find_wildcard(const char *text, size_t len)
{
    for (size_t at = 0; at <= len;) {
        size_t n = pubsub__level_len(text, len, at);
        if (pubsub__level_is_wild(text + at, n)) {
            return at;
        }
        at += n + 1;
    }
    return len;
}

pubsub_err pubsub_topic_check(const char *topic, size_t len, pubsub_error *err)
{
    pubsub_err rc = check_text("topic", PUBSUB_ETOPIC, topic, len, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    size_t wild = find_wildcard(topic, len);
    if (wild < len) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "topic has the wildcard level '%c' at byte %zu; only patterns of "
                                "subscriptions may have wildcards",
                                topic[wild], wild);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_pattern_check(const char *pattern, size_t len, pubsub_error *err)
{
    return check_text("pattern", PUBSUB_EPATTERN, pattern, len, err);
}

bool pubsub_pattern_is_literal(const char *pattern, size_t len)
{
    return find_wildcard(pattern, len) == len;
}

/* Levels are compared from left to right. At a `#` its place and the topic's are noted; when a
 * later level does not fit, the last `#` swallows one level more and the rest is tried again. Only
 * the last one ever needs that: what an earlier `#` could swallow in addition, the last one can as
 * well. */
bool pubsub_topic_matches(const char *pattern, size_t plen, const char *topic, size_t tlen)
{
    if (plen == 0 || tlen == 0) {
        return false;
    }
    if (topic[0] == '$' && pubsub__level_is_wild(pattern, pubsub__level_len(pattern, plen, 0))) {
        return false;
    }
    size_t p = 0;
    size_t t = 0;
    size_t after_hash = 0; /* the level behind the last `#`; 0 while there was none */
    size_t swallowed = 0;  /* the topic level up to which it reaches */
    while (t <= tlen) {
        size_t tn = pubsub__level_len(topic, tlen, t);
        if (p <= plen) {
            size_t pn = pubsub__level_len(pattern, plen, p);
            if (pubsub__level_is_hash(pattern + p, pn)) {
                p += pn + 1;
                if (p > plen) {
                    return true; /* a final `#` takes all that is left */
                }
                after_hash = p;
                swallowed = t;
                continue;
            }
            if (pubsub__level_is_plus(pattern + p, pn) ||
                (pn == tn && memcmp(pattern + p, topic + t, tn) == 0)) {
                p += pn + 1;
                t += tn + 1;
                continue;
            }
        }
        if (after_hash == 0) {
            return false;
        }
        swallowed += pubsub__level_len(topic, tlen, swallowed) + 1;
        p = after_hash;
        t = swallowed;
    }
    /* The topic is used up; only `#` matches nothing. */
    while (p <= plen) {
        size_t pn = pubsub__level_len(pattern, plen, p);
        if (!pubsub__level_is_hash(pattern + p, pn)) {
            return false;
        }
        p += pn + 1;
    }
    return true;
}
