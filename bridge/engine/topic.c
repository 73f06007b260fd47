/* SPDX-License-Identifier: MIT */
#include "engine/topic.h"

#include <string.h>

#define WORDS "{model}, {key}, {change}, {topic}, {source} and {route}"

static bool is_word(pubsub_bytes word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

/* The value of a word; false when there is no such word. Without an event it is only looked up. */
static bool value_of(pubsub_bytes word, const bridge_topic_names *names,
                     const pubsub_source_event *event, pubsub_bytes *out)
{
    static const pubsub_source_event none = PUBSUB_SOURCE_EVENT_INIT;
    const pubsub_source_event *of = event != NULL ? event : &none;
    if (is_word(word, "model")) {
        *out = of->model;
    } else if (is_word(word, "key")) {
        *out = of->key;
    } else if (is_word(word, "topic")) {
        *out = of->topic;
    } else if (is_word(word, "change")) {
        *out = pubsub_bytes_of(pubsub_change_name(of->change));
    } else if (is_word(word, "source")) {
        *out = pubsub_bytes_of(names != NULL ? names->source : "");
    } else if (is_word(word, "route")) {
        *out = pubsub_bytes_of(names != NULL ? names->route : "");
    } else {
        return false;
    }
    return true;
}

/* The piece at `at`: text up to a brace, a doubled brace, or a word. Returns what follows it, NULL
 * where it is no template. */
static const char *next_piece(const char *at, pubsub_bytes *text, pubsub_bytes *word)
{
    *word = (pubsub_bytes){NULL, 0};
    if (at[0] == '{' && at[1] != '{') {
        const char *end = strchr(at, '}');
        *text = (pubsub_bytes){NULL, 0};
        *word = (pubsub_bytes){at + 1, end != NULL ? (size_t)(end - at) - 1 : 0};
        return end != NULL ? end + 1 : NULL;
    }
    if (at[0] == '{' || at[0] == '}') {
        *text = (pubsub_bytes){at, 1};
        return at[1] == at[0] ? at + 2 : NULL;
    }
    *text = (pubsub_bytes){at, strcspn(at, "{}")};
    return at + text->len;
}

pubsub_err bridge_topic_check(const char *template_text, pubsub_error *err)
{
    if (template_text == NULL || *template_text == '\0') {
        return pubsub_error_set(err, PUBSUB_ETOPIC, "the topic is empty");
    }
    pubsub_bytes text;
    pubsub_bytes word;
    pubsub_bytes value;
    for (const char *at = template_text; *at != '\0';) {
        const char *next = next_piece(at, &text, &word);
        if (next == NULL) {
            return pubsub_error_set(err, PUBSUB_ETOPIC,
                                    "a brace at byte %zu of the topic has no partner; write {{ or "
                                    "}} for a brace",
                                    (size_t)(at - template_text));
        }
        if (text.data == NULL && !value_of(word, NULL, NULL, &value)) {
            return pubsub_error_set(err, PUBSUB_ETOPIC,
                                    "the topic has the unknown word {%.*s}; there are " WORDS,
                                    (int)(word.len > 64 ? 64 : word.len), (const char *)word.data);
        }
        at = next;
    }
    return PUBSUB_OK;
}

pubsub_err bridge_topic_make(const char *template_text, const bridge_topic_names *names,
                             const pubsub_source_event *event, pubsub__buf *out, pubsub_error *err)
{
    size_t begin = out->len;
    pubsub_bytes text;
    pubsub_bytes word;
    for (const char *at = template_text; *at != '\0';) {
        const char *next = next_piece(at, &text, &word);
        if (next == NULL || (text.data == NULL && !value_of(word, names, event, &text))) {
            return pubsub_error_set(err, PUBSUB_ETOPIC, "the topic '%s' is no template",
                                    template_text);
        }
        if (pubsub__buf_add(out, text.data, text.len) != PUBSUB__BUF_OK) {
            return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a topic");
        }
        if (out->len - begin > PUBSUB_TOPIC_MAX) {
            return pubsub_error_set(err, PUBSUB_ETOPIC, "the topic made of '%s' is too long",
                                    template_text);
        }
        at = next;
    }
    return pubsub_topic_check(out->len > begin ? out->data + begin : NULL, out->len - begin, err);
}
