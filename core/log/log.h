/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOG_LOG_H
#define PUBSUB_LOG_LOG_H

/* Logging inside the library. A line costs one relaxed load when its level is off or nobody
 * listens:
 *
 *     pubsub__log(PUBSUB_LOG_WARN, "local", "segment %u is damaged", id);
 *
 * Line breaks and control characters in the text are replaced, and it is cut after about 1 KiB.
 * Never hand it a secret: URLs go through pubsub_url_redacted first. */

#include <pubsub/log.h>

#include <stdatomic.h>

/* The level that passes; PUBSUB_LOG_OFF while no function is set. */
extern atomic_int pubsub__log_threshold;

#define pubsub__log(level, component, ...)                                                         \
    do {                                                                                           \
        if ((int)(level) <= atomic_load_explicit(&pubsub__log_threshold, memory_order_relaxed)) {  \
            pubsub__log_write((level), (component), __VA_ARGS__);                                  \
        }                                                                                          \
    } while (0)

/* Whether a line of this level would be shown, to avoid preparing its arguments. */
bool pubsub__log_enabled(pubsub_log_level level, const char *component);

/* Use the macro. */
void pubsub__log_write(pubsub_log_level level, const char *component, const char *format, ...)
    PUBSUB_PRINTF(3, 4);

#endif
