/* SPDX-License-Identifier: MIT */
#include <pubsub/error.h>

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct error_row {
    pubsub_err code;
    pubsub_err_class class_;
    const char *name;
    const char *text;
} error_row;

static const error_row rows[] = {
#define PUBSUB_X(name, value, class_, text)                                                        \
    {PUBSUB_##name, PUBSUB_CLASS_##class_, "PUBSUB_" #name, text},
    PUBSUB_ERROR_MAP(PUBSUB_X)
#undef PUBSUB_X
};

static const error_row *find_row(pubsub_err code)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *pubsub_strerror(pubsub_err code)
{
    const error_row *row = find_row(code);
    return row == NULL ? "unknown error" : row->text;
}

const char *pubsub_err_name(pubsub_err code)
{
    const error_row *row = find_row(code);
    return row == NULL ? "PUBSUB_?" : row->name;
}

pubsub_err_class pubsub_err_class_of(pubsub_err code)
{
    const error_row *row = find_row(code);
    return row == NULL ? PUBSUB_CLASS_FATAL : row->class_;
}

bool pubsub_err_is_retryable(pubsub_err code)
{
    return pubsub_err_class_of(code) == PUBSUB_CLASS_RETRYABLE;
}

const char *pubsub_error_text(const pubsub_error *err)
{
    return err->text[0] == '\0' ? pubsub_strerror(err->code) : err->text;
}

static void fill(pubsub_error *err, pubsub_err code, int native, const char *format, va_list args)
    PUBSUB_PRINTF(4, 0);

/* The whole error is written, so that one that was never initialised is fine; whoever knows the
 * adapter puts its name in afterwards. */
static void fill(pubsub_error *err, pubsub_err code, int native, const char *format, va_list args)
{
    char text[sizeof(err->text)];
    /* Through a local: an argument may be the old text of this very error. */
    int n = vsnprintf(text, sizeof(text), format, args);
    if (n < 0) {
        text[0] = '\0';
    }
    err->code = code;
    err->native_code = native;
    err->adapter[0] = '\0';
    memcpy(err->text, text, strlen(text) + 1);
}

pubsub_err pubsub_error_set(pubsub_error *err, pubsub_err code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, code, 0, format, args);
        va_end(args);
        pubsub__text_oneline(err->text);
    }
    return code;
}

pubsub_err pubsub_error_set_errno(pubsub_error *err, pubsub_err code, int sys_errno,
                                  const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, code, sys_errno, format, args);
        va_end(args);
        char reason[128];
        if (strerror_r(sys_errno, reason, sizeof(reason)) != 0) {
            snprintf(reason, sizeof(reason), "errno %d", sys_errno);
        }
        size_t len = strlen(err->text);
        snprintf(err->text + len, sizeof(err->text) - len, "%s%s", len > 0 ? ": " : "", reason);
        pubsub__text_oneline(err->text);
    }
    return code;
}
