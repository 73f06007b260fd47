/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

local_hooks pubsub__local_hooks;

pubsub_err pubsub__local_errno_code(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return PUBSUB_ENOSPC;
    case EACCES:
    case EPERM:
    case EROFS:
        return PUBSUB_EDENIED;
    case ENOMEM:
        return PUBSUB_ENOMEM;
    case ENOENT:
        return PUBSUB_ENOTFOUND;
    case EIO:
        return PUBSUB_EIO;
    default:
        return PUBSUB_ESYSTEM;
    }
}

static void name_adapter(pubsub_error *err)
{
    if (err != NULL) {
        memcpy(err->adapter, "local", sizeof("local"));
    }
}

pubsub_err pubsub__local_fail_errno(const char *dir, const char *what, int sys_errno,
                                    pubsub_error *err)
{
    pubsub_err code = pubsub__local_errno_code(sys_errno);
    if (sys_errno == EFBIG) {
        pubsub_error_set_errno(err, code, sys_errno,
                               "%s in %s: the process may not write files this big (ulimit -f)",
                               what, dir);
    } else {
        pubsub_error_set_errno(err, code, sys_errno, "%s in %s", what, dir);
    }
    name_adapter(err);
    return code;
}

pubsub_err pubsub__local_fail(pubsub_error *err, pubsub_err code, const char *format, ...)
{
    if (err != NULL) {
        char text[sizeof(err->text)];
        va_list args;
        va_start(args, format);
        int len = vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        pubsub_error_set(err, code, "%s", len < 0 ? "" : text);
        name_adapter(err);
    }
    return code;
}

pubsub_err pubsub__local_usable(const local_store *store, bool writing, pubsub_error *err)
{
    if (atomic_load_explicit(&store->dead, memory_order_relaxed)) {
        return pubsub__local_fail(err, PUBSUB_ESTATE,
                                  "the bus was opened before fork; open it again in the child");
    }
    if (writing && store->readonly) {
        return pubsub__local_fail(err, PUBSUB_EDENIED, "%s is open for reading only", store->dir);
    }
    return PUBSUB_OK;
}
