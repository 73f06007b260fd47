/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define FIRST_CAP 64

void pubsub__buf_init(pubsub__buf *buf, size_t max)
{
    *buf = (pubsub__buf){.data = NULL, .len = 0, .cap = 0, .max = max < SIZE_MAX ? max : max - 1};
}

void pubsub__buf_fini(pubsub__buf *buf)
{
    pubsub__free(buf->data);
    pubsub__buf_init(buf, buf->max);
}

void pubsub__buf_reset(pubsub__buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

int pubsub__buf_reserve(pubsub__buf *buf, size_t more)
{
    if (more > buf->max - buf->len) {
        return PUBSUB__BUF_FULL;
    }
    size_t need = buf->len + more;
    if (buf->data != NULL && need <= buf->cap) {
        return PUBSUB__BUF_OK;
    }
    size_t cap = buf->cap > buf->max / 2 ? buf->max : buf->cap * 2;
    if (cap < FIRST_CAP) {
        cap = buf->max < FIRST_CAP ? buf->max : FIRST_CAP;
    }
    if (cap < need) {
        cap = need;
    }
    char *data = pubsub__realloc(buf->data, cap + 1);
    if (data == NULL) {
        return PUBSUB__BUF_NOMEM;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return PUBSUB__BUF_OK;
}

int pubsub__buf_add(pubsub__buf *buf, const void *data, size_t len)
{
    int rc = pubsub__buf_reserve(buf, len);
    if (rc == PUBSUB__BUF_OK && len > 0) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
        buf->data[buf->len] = '\0';
    }
    return rc;
}

int pubsub__buf_add_byte(pubsub__buf *buf, char byte)
{
    return pubsub__buf_add(buf, &byte, 1);
}

int pubsub__buf_add_text(pubsub__buf *buf, const char *text)
{
    return pubsub__buf_add(buf, text, strlen(text));
}

int pubsub__buf_vprintf(pubsub__buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0) {
        return PUBSUB__BUF_FULL;
    }
    int rc = pubsub__buf_reserve(buf, (size_t)len);
    if (rc == PUBSUB__BUF_OK) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
        buf->len += (size_t)len;
    }
    return rc;
}

int pubsub__buf_printf(pubsub__buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = pubsub__buf_vprintf(buf, format, args);
    va_end(args);
    return rc;
}

void pubsub__buf_drop(pubsub__buf *buf, size_t n)
{
    if (n == 0) {
        return;
    }
    buf->len -= n;
    memmove(buf->data, buf->data + n, buf->len);
    buf->data[buf->len] = '\0';
}

const char *pubsub__buf_text(const pubsub__buf *buf)
{
    return buf->data == NULL ? "" : buf->data;
}

char *pubsub__buf_take(pubsub__buf *buf)
{
    char *data = buf->data;
    pubsub__buf_init(buf, buf->max);
    return data;
}
