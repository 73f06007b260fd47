/* SPDX-License-Identifier: MIT */
#include "http/head.h"

/* Bodies in chunks (RFC 9112 section 7.1), one byte of framing at a time. */

enum {
    CHUNK_DIGITS_MAX = 15, /* of a size: fits 60 bits */
    CHUNK_EXTRA_MAX = 256, /* of an extension */
    TRAILER_MAX = 4096,
};

enum {
    SIZE = 0,
    SIZE_BLANK,
    EXTENSION,
    SIZE_LF,
    CONTENT,
    CONTENT_CR,
    CONTENT_LF,
    TRAILER,
    TRAILER_LF,
    LAST_LF
};

/* Blanks, an extension, or the line's end: "5 6" is 5 to one reader and 86 to another. */
static bool after_size(bridge_chunks *chunks, char c)
{
    chunks->state = c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : SIZE_BLANK;
    return (c == '\r' || c == ';' || c == ' ' || c == '\t') && ++chunks->extra <= CHUNK_EXTRA_MAX;
}

static bool size_byte(bridge_chunks *chunks, char c)
{
    int digit = bridge_hex_digit(c);
    if (digit >= 0) {
        chunks->left = chunks->left * 16 + (unsigned)digit;
        return ++chunks->digits <= CHUNK_DIGITS_MAX;
    }
    chunks->extra = 0;
    return chunks->digits > 0 && after_size(chunks, c);
}

/* One byte that is no content. False = broken. */
static bool frame_byte(bridge_chunks *chunks, char c)
{
    switch (chunks->state) {
    case SIZE:
        return size_byte(chunks, c);
    case SIZE_BLANK:
        return after_size(chunks, c);
    case EXTENSION:
        chunks->state = c == '\r' ? SIZE_LF : EXTENSION;
        return c != '\n' && ++chunks->extra <= CHUNK_EXTRA_MAX;
    case SIZE_LF:
        chunks->state = chunks->left > 0 ? CONTENT : TRAILER;
        chunks->digits = 0;
        chunks->extra = 0;
        return c == '\n';
    case CONTENT_CR:
        chunks->state = CONTENT_LF;
        return c == '\r';
    case CONTENT_LF:
        chunks->state = SIZE;
        return c == '\n';
    case TRAILER: /* digits: bytes of this line; extra: of all */
        if (c == '\r') {
            chunks->state = chunks->digits == 0 ? LAST_LF : TRAILER_LF;
            return true;
        }
        chunks->digits = 1;
        return c != '\n' && ++chunks->extra <= TRAILER_MAX;
    case TRAILER_LF:
        chunks->state = TRAILER;
        chunks->digits = 0;
        return c == '\n';
    default:
        return c == '\n';
    }
}

bridge_chunk_result bridge_chunks_take(bridge_chunks *chunks, pubsub_bytes *data,
                                       pubsub_bytes *piece)
{
    while (data->len > 0) {
        const char *at = data->data;
        size_t take = 1;
        bool is_content = chunks->state == CONTENT;
        bool is_last = chunks->state == LAST_LF;
        if (is_content) {
            take = chunks->left < data->len ? (size_t)chunks->left : data->len;
            chunks->left -= take;
            chunks->state = chunks->left == 0 ? CONTENT_CR : CONTENT;
            piece->data = at;
            piece->len = take;
        } else if (!frame_byte(chunks, *at)) {
            return BRIDGE_CHUNK_BAD;
        }
        data->data = at + take;
        data->len -= take;
        if (is_content) {
            return BRIDGE_CHUNK_PIECE;
        }
        if (is_last) {
            return BRIDGE_CHUNK_END;
        }
    }
    return BRIDGE_CHUNK_MORE;
}
