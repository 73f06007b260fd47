/* SPDX-License-Identifier: MIT */
#include "engine/topic.h"

#include "json/slice.h"

#include <stdio.h>
#include <string.h>

#define WORDS "{model}, {source}, {route}, {topic}, {key}, {event}, {id} and {/pointer}"
#define POINTER_MAX 256

typedef enum word_kind {
    WORD_NONE,
    WORD_MODEL,
    WORD_SOURCE,
    WORD_ROUTE,
    WORD_TOPIC,
    WORD_KEY,
    WORD_EVENT,
    WORD_ID,
    WORD_POINTER,
} word_kind;

/* A piece of a template: text, or a word. */
typedef struct piece {
    pubsub_bytes text; /* of a word: without braces */
    word_kind word;    /* WORD_NONE with `is_word`: an unknown one */
    bool is_word;
} piece;

static word_kind kind_of(pubsub_bytes text)
{
    static const char *const names[] = {NULL,    "model", "source", "route",
                                        "topic", "key",   "event",  "id"};
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (text.len == strlen(names[i]) && memcmp(text.data, names[i], text.len) == 0) {
            return (word_kind)i;
        }
    }
    return text.len > 0 && text.len < POINTER_MAX && *(const char *)text.data == '/' ? WORD_POINTER
                                                                                     : WORD_NONE;
}

/* The piece at `at`. Returns what follows it; NULL where a brace has no partner. */
static const char *next_piece(const char *at, piece *out)
{
    const char *end = NULL;
    *out = (piece){{at, 1}, WORD_NONE, false};
    if (at[0] != '{') {
        out->text.len = strcspn(at, "{");
        return at + out->text.len;
    }
    if (at[1] == '{') {
        return at + 2;
    }
    end = strchr(at, '}');
    if (end == NULL) {
        return NULL;
    }
    out->text = (pubsub_bytes){at + 1, (size_t)(end - at) - 1};
    out->is_word = true;
    out->word = kind_of(out->text);
    return end + 1;
}

pubsub_err bridge_topic_check(const char *template_text, pubsub_error *err)
{
    if (template_text == NULL || *template_text == '\0') {
        return pubsub_error_set(err, PUBSUB_ETOPIC, "the topic is empty");
    }
    piece part;
    for (const char *at = template_text; *at != '\0';) {
        const char *next = next_piece(at, &part);
        if (next == NULL) {
            return pubsub_error_set(err, PUBSUB_ETOPIC,
                                    "'{' at byte %zu of the topic has no '}'; {{ is a brace",
                                    (size_t)(at - template_text));
        }
        if (part.is_word && part.word == WORD_NONE) {
            return pubsub_error_set(
                err, PUBSUB_ETOPIC, "the topic has the unknown word {%.*s}; there are " WORDS,
                (int)(part.text.len > 64 ? 64 : part.text.len), (const char *)part.text.data);
        }
        at = next;
    }
    return PUBSUB_OK;
}

/* Append what a pointer leads to. */
static bool add_pointed(pubsub_bytes pointer, pubsub_bytes document, pubsub__buf *out)
{
    char text[POINTER_MAX];
    (void)snprintf(text, sizeof text, "%.*s", (int)pointer.len, (const char *)pointer.data);
    pubsub_bytes value = bridge_json_pointer(document, text);
    switch (bridge_json_type_of(value)) {
    case BRIDGE_JSON_STRING:
        return bridge_json_unescape(value, out);
    case BRIDGE_JSON_NUMBER:
    case BRIDGE_JSON_TRUE:
    case BRIDGE_JSON_FALSE:
        return pubsub__buf_add(out, value.data, value.len) == PUBSUB__BUF_OK;
    default:
        return false;
    }
}

static bool add_piece(const piece *part, const bridge_topic_names *names,
                      const pubsub_source_event *event, pubsub__buf *out)
{
    pubsub_bytes value = part->text;
    switch (part->word) {
    case WORD_NONE:
        break;
    case WORD_MODEL:
        value = event->model;
        break;
    case WORD_SOURCE:
        value = pubsub_bytes_of(names->source);
        break;
    case WORD_ROUTE:
        value = pubsub_bytes_of(names->route);
        break;
    case WORD_TOPIC:
        value = event->topic;
        break;
    case WORD_KEY:
        value = event->key;
        break;
    case WORD_EVENT:
        value = pubsub_bytes_of(pubsub_change_name(event->change));
        break;
    case WORD_ID:
        value = names->id;
        break;
    case WORD_POINTER:
        return add_pointed(part->text, event->document, out);
    }
    return value.len <= PUBSUB_TOPIC_MAX &&
           pubsub__buf_add(out, value.data, value.len) == PUBSUB__BUF_OK;
}

pubsub_err bridge_topic_make(const char *template_text, const bridge_topic_names *names,
                             const pubsub_source_event *event, pubsub__buf *out, pubsub_error *err)
{
    size_t begin = out->len;
    piece part;
    for (const char *at = template_text; *at != '\0';) {
        const char *next = next_piece(at, &part);
        if (next == NULL || (part.is_word && part.word == WORD_NONE) ||
            !add_piece(&part, names, event, out)) {
            return pubsub_error_set(err, PUBSUB_ETOPIC,
                                    "the topic '%s' cannot be made: '%.*s' gives nothing, or too "
                                    "much",
                                    template_text, (int)(part.text.len > 64 ? 64 : part.text.len),
                                    (const char *)part.text.data);
        }
        if (out->len - begin > PUBSUB_TOPIC_MAX) {
            return pubsub_error_set(err, PUBSUB_ETOPIC, "the topic made of '%s' is too long",
                                    template_text);
        }
        at = next;
    }
    return pubsub_topic_check(out->len > begin ? out->data + begin : NULL, out->len - begin, err);
}
