/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/nearest.h"

#include <pubsub/topic.h>

#include <stdio.h>
#include <string.h>

#define POINTER_MAX 256

/* What each placeholder stands for while the template is tried. */
static bool is_placeholder(const char *name, size_t len, char *why, size_t why_size)
{
    static const char *const names[] = {"model", "source", "route", "topic", "key", "event", "id"};
    char word[PUBSUB__NEAREST_MAX];
    pubsub__nearest search;
    if (len > 0 && name[0] == '/') { /* a pointer into the document */
        if (len < POINTER_MAX) {
            return true;
        }
        (void)snprintf(why, why_size, "a pointer in a template has at most %d bytes",
                       POINTER_MAX - 1);
        return false;
    }
    (void)snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : sizeof(word) - 1),
                   name);
    pubsub__nearest_init(&search, word);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            return true;
        }
        pubsub__nearest_offer(&search, names[i]);
    }
    const char *nearest = pubsub__nearest_result(&search);
    if (nearest != NULL) {
        (void)snprintf(why, why_size, "there is no {%s}, did you mean {%s}?", word, nearest);
    } else {
        (void)snprintf(why, why_size,
                       "there is no {%s}; there are {model}, {source}, {route}, {topic}, {key}, "
                       "{event}, {id} and {/pointer}; {{ stands for one brace",
                       word);
    }
    return false;
}

bool bridge_template_check(const char *text, char *why, size_t why_size)
{
    char sample[PUBSUB_TOPIC_MAX + 2];
    size_t len = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    for (const char *at = text; *at != '\0'; at++) {
        if (len + 1 == sizeof(sample)) {
            break; /* too long, which the check says */
        }
        if (at[0] != '{' || at[1] == '{') {
            at += at[0] == '{' ? 1 : 0;
            sample[len++] = *at;
            continue;
        }
        const char *close = strchr(at, '}');
        if (close == NULL) {
            (void)snprintf(why, why_size, "'{' has no '}'; {{ stands for one brace");
            return false;
        }
        if (!is_placeholder(at + 1, (size_t)(close - at - 1), why, why_size)) {
            return false;
        }
        sample[len++] = 'x';
        at = close;
    }
    if (pubsub_topic_check(sample, len, &err) != PUBSUB_OK) {
        (void)snprintf(why, why_size, "%s", pubsub_error_text(&err));
        return false;
    }
    return true;
}
