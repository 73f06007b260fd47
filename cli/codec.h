/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_CODEC_H
#define PUBSUB_CLI_CODEC_H

/* Bytes as text and back. */

#include "base/buf.h"

#include <pubsub/types.h>

#include <stdbool.h>

/* Add to out; false when it gets too big or memory is short. */
bool cli_hex_add(pubsub__buf *out, pubsub_bytes bytes);
bool cli_base64_add(pubsub__buf *out, pubsub_bytes bytes);
/* A JSON string with its quotes. What is not UTF-8 becomes U+FFFD. */
bool cli_json_add(pubsub__buf *out, pubsub_bytes bytes);

/* Decode; white space between digits is passed over. On a wrong character returns false with its
 * offset in *at; also when out gets too big, with *at == text.len. */
bool cli_hex_decode(pubsub__buf *out, pubsub_bytes text, size_t *at);
bool cli_base64_decode(pubsub__buf *out, pubsub_bytes text, size_t *at);

/* One escape at text[0] == '\\': \n \t \r \0 \e \a \b \f \v \\ \xNN \xN. Returns how many bytes of
 * text it takes, 0 when it is none. */
size_t cli_escape(const char *text, char *out);
/* A whole NUL-terminated text with escapes; what is no escape is refused with its offset in *at. */
bool cli_unescape(pubsub__buf *out, const char *text, size_t *at);

#endif
