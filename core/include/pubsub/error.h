/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_ERROR_H
#define PUBSUB_ERROR_H

/** @file error.h
 *  One error enum for the whole library. A code is what programs branch on; the text in pubsub_error
 *  is for people. Values are stable: a code is never renumbered and never reused. */

#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a caller can do about an error. */
typedef enum pubsub_err_class {
    PUBSUB_CLASS_NONE = 0, /**< no error */
    PUBSUB_CLASS_USAGE =
        1, /**< the call or its arguments are wrong; fix the program or the input */
    PUBSUB_CLASS_RETRYABLE = 2, /**< may succeed later without any change */
    PUBSUB_CLASS_FATAL = 3, /**< will not succeed without help from outside (disk, memory, data) */
    PUBSUB_CLASS_DENIED = 4 /**< the broker refused credentials or permission */
} pubsub_err_class;

/** X(name, value, class, text): the one table behind the enum, pubsub_strerror, pubsub_err_name,
 *  pubsub_err_class_of and the generated error reference. */
#define PUBSUB_ERROR_MAP(X)                                                                        \
    X(OK, 0, NONE, "success")                                                                      \
    X(EINVAL, -1, USAGE, "invalid argument")                                                       \
    X(EURL, -2, USAGE, "malformed broker URL")                                                     \
    X(ESCHEME, -3, USAGE, "unknown URL scheme")                                                    \
    X(ENOTBUILT, -4, USAGE, "known scheme, but its adapter is not built in")                       \
    X(ETOPIC, -5, USAGE, "invalid topic")                                                          \
    X(EPATTERN, -6, USAGE, "invalid topic pattern")                                                \
    X(EOPTION, -7, USAGE, "unknown option or value out of range")                                  \
    X(ESTATE, -8, USAGE, "not allowed in this state or from this callback")                        \
    X(ENOTSUP, -9, USAGE, "not supported by this broker")                                          \
    X(ETOOBIG, -10, USAGE, "message too big")                                                      \
    X(ENOTFOUND, -11, USAGE, "not found")                                                          \
    X(EUTF8, -12, USAGE, "text is not valid UTF-8")                                                \
    X(EAGAIN, -20, RETRYABLE, "queue full, try again")                                             \
    X(ETIMEDOUT, -21, RETRYABLE, "timed out")                                                      \
    X(EFULL, -22, RETRYABLE, "broker or log full")                                                 \
    X(EBUSY, -23, RETRYABLE, "in use by another holder")                                           \
    X(ECONNECT, -24, RETRYABLE, "cannot connect")                                                  \
    X(ELOST, -25, RETRYABLE, "connection lost")                                                    \
    X(ECLOSED, -26, USAGE, "client or subscription is closed")                                     \
    X(ECANCELED, -27, RETRYABLE, "canceled")                                                       \
    X(ENORESPONDER, -28, RETRYABLE, "nobody is there to answer")                                   \
    X(ENOMEM, -40, FATAL, "out of memory")                                                         \
    X(EIO, -41, FATAL, "input/output error")                                                       \
    X(ENOSPC, -42, FATAL, "no space left on device")                                               \
    X(ECORRUPT, -43, FATAL, "stored data is damaged")                                              \
    X(EVERSION, -44, FATAL, "incompatible version")                                                \
    X(EPROTO, -45, FATAL, "protocol violation by the broker")                                      \
    X(EREJECTED, -46, FATAL, "rejected by the broker")                                             \
    X(EINTERNAL, -47, FATAL, "internal error, please report it")                                   \
    X(ESYSTEM, -48, FATAL, "operating system error")                                               \
    X(ETAKEN, -49, FATAL, "taken over by another holder")                                          \
    X(EAUTH, -60, DENIED, "authentication failed")                                                 \
    X(EDENIED, -61, DENIED, "permission denied")                                                   \
    X(ETLS, -62, DENIED, "TLS handshake or certificate refused")

typedef enum pubsub_err {
#define PUBSUB_X(name, value, class_, text) PUBSUB_##name = (value),
    PUBSUB_ERROR_MAP(PUBSUB_X)
#undef PUBSUB_X
} pubsub_err;

/** Detail of a failure. A plain value: the caller owns it, nothing in it needs freeing.
 *  Functions that take an optional `pubsub_error *` write it only when they fail. */
typedef struct pubsub_error {
    pubsub_err code;
    int native_code;  /**< errno or the broker's own code, 0 when there is none */
    char adapter[16]; /**< "local", "mqtt", ..., or "" for the core */
    char text[256];   /**< one line, UTF-8, no newline, says what to do where that is known */
} pubsub_error;

/** An all-clear pubsub_error. */
#define PUBSUB_ERROR_INIT                                                                          \
    {                                                                                              \
        PUBSUB_OK, 0, "", ""                                                                       \
    }

/** The constant text of a code.
 *  Returns:   a string constant, also for values that are no code ("unknown error").
 *  Thread:    any.
 *  Ownership: the string is static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_strerror(pubsub_err code);

/** The name of a code as programs write it, "PUBSUB_EAGAIN".
 *  Returns:   a string constant, also for values that are no code ("PUBSUB_?").
 *  Thread:    any.
 *  Ownership: the string is static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_err_name(pubsub_err code);

/** What a caller can do about a code.
 *  Returns:   the class; PUBSUB_CLASS_FATAL for values that are no code.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err_class pubsub_err_class_of(pubsub_err code);

/** Whether the same call may succeed later without any change.
 *  Returns:   true for codes of class PUBSUB_CLASS_RETRYABLE.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_err_is_retryable(pubsub_err code);

/** The text to show a person for a filled error: its text, or the code's constant text when empty.
 *  @param err  not NULL.
 *  Returns:   a string that lives as long as err is not written to.
 *  Thread:    any.
 *  Ownership: belongs to err.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_error_text(const pubsub_error *err);

/** Fill an error and return its code, so that `return pubsub_error_set(err, PUBSUB_EINVAL, "...")` works.
 *  @param err     where to write, may be NULL.
 *  @param code    the code.
 *  @param format  printf format of the text; line breaks are replaced by spaces.
 *  Returns:   code.
 *  Thread:    any.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_error_set(pubsub_error *err, pubsub_err code, const char *format, ...)
    PUBSUB_PRINTF(3, 4);

/** The same with the operating system's code, whose text is appended as ": No space left on device".
 *  The library code is chosen by the caller.
 *  @param sys_errno  an errno value, stored in native_code.
 *  Returns:   code.
 *  Thread:    any.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_error_set_errno(pubsub_error *err, pubsub_err code, int sys_errno,
                                             const char *format, ...) PUBSUB_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif

#endif
