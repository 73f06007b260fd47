/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOG_H
#define PUBSUB_LOG_H

/** @file log.h
 *  What the library has to say about itself. It writes nothing on its own: without a function set
 *  here every line is discarded before it is formatted. */

#include <pubsub/error.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much a line matters; a level shows itself and all before it. */
typedef enum pubsub_log_level {
    PUBSUB_LOG_OFF = 0,   /**< nothing */
    PUBSUB_LOG_ERROR = 1, /**< something was lost or will not work */
    PUBSUB_LOG_WARN = 2,  /**< works, but somebody should look */
    PUBSUB_LOG_INFO = 3,  /**< connections made and lost, the default */
    PUBSUB_LOG_DEBUG = 4, /**< what the library decides */
    PUBSUB_LOG_TRACE = 5  /**< every frame and wake-up */
} pubsub_log_level;

/** Receives one line. Called on whatever thread had something to say, possibly on several at once.
 *  It must return soon and must not call pubsub_log_set*; lines logged while it runs on the same
 *  thread are discarded.
 *  @param ctx        the pointer given to pubsub_log_set.
 *  @param level      PUBSUB_LOG_ERROR .. PUBSUB_LOG_TRACE.
 *  @param component  "client", "local", "mqtt", ...
 *  @param text       one line of UTF-8 without newline; valid during the call. */
typedef void (*pubsub_log_fn)(void *ctx, pubsub_log_level level, const char *component,
                              const char *text);

/** Set the function that receives the lines of the whole process.
 *  @param fn   NULL = discard everything.
 *  @param ctx  handed to fn as it is.
 *  Returns:   nothing; when it returns, the previous function runs no more.
 *  Thread:    any except from inside fn.
 *  Ownership: ctx stays the caller's and must live until another function is set.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_log_set(pubsub_log_fn fn, void *ctx);

/** Set the level, PUBSUB_LOG_INFO at the start.
 *  @param level  values outside the enum are brought into its range.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_log_set_level(pubsub_log_level level);

/** The level that is set.
 *  Returns:   the level.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_log_level pubsub_log_get_level(void);

/** Choose components: a list such as "all,-kafka" or "client,local", applied from left to right on
 *  top of nothing; a leading `-` removes. At the start the list is the environment variable
 *  PUBSUB_LOG, or "all" when that is not set or not valid.
 *  @param filter  the list, "" = no component; NULL = back to the start.
 *  @param err     optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EINVAL for an empty or overlong name or more than 32 names.
 *  Thread:    any except from inside the log function.
 *  Ownership: filter is borrowed for the call.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_log_set_filter(const char *filter, pubsub_error *err);

/** The name of a level in lower case, "warn".
 *  @param level  any value.
 *  Returns:   a string constant, "?" for values that are no level.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_log_level_name(pubsub_log_level level);

#ifdef __cplusplus
}
#endif

#endif
