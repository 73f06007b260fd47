/* SPDX-License-Identifier: MIT */
#include "log/log.h"

#include "base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 32
#define NAMES_MAX 32
#define LINE_MAX_BYTES 1024

/* One step of the filter, applied in order: "all" is the empty name. */
typedef struct filter_step {
    char name[NAME_MAX_BYTES];
    bool on;
} filter_step;

typedef struct filter {
    filter_step steps[NAMES_MAX];
    size_t count;
} filter;

atomic_int pubsub__log_threshold = PUBSUB_LOG_OFF;

/* Guards everything below. Lines are written with it held for reading, so that pubsub_log_set
 * returns only when the previous function runs no more. */
static pthread_rwlock_t g_lock = PTHREAD_RWLOCK_INITIALIZER;
static pubsub_log_fn g_fn;
static void *g_ctx;
static pubsub_log_level g_level = PUBSUB_LOG_INFO;
static filter g_filter;
static bool g_filter_set; /* false: take it from the environment when it is first needed */

/* A log function that calls the library must not come back here. */
static _Thread_local bool t_inside;

static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

const char *pubsub_log_level_name(pubsub_log_level level)
{
    int i = (int)level;
    return i < PUBSUB_LOG_OFF || i > PUBSUB_LOG_TRACE ? "?" : level_names[i];
}

static pubsub_err parse_filter(filter *out, const char *text, pubsub_error *err)
{
    *out = (filter){.count = 0};
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        const char *name = text;
        text += len + (text[len] == ',' ? 1 : 0);
        while (len > 0 && name[0] == ' ') {
            name++;
            len--;
        }
        while (len > 0 && name[len - 1] == ' ') {
            len--;
        }
        bool on = len == 0 || name[0] != '-';
        name += on ? 0 : 1;
        len -= on ? 0 : 1;
        if (len == 0 || len >= NAME_MAX_BYTES) {
            return pubsub_error_set(err, PUBSUB_EINVAL,
                                    "log filter: a component name has 1 to %d bytes",
                                    NAME_MAX_BYTES - 1);
        }
        if (out->count == NAMES_MAX) {
            return pubsub_error_set(err, PUBSUB_EINVAL, "log filter: more than %d names",
                                    NAMES_MAX);
        }
        filter_step *step = &out->steps[out->count++];
        step->on = on;
        if (len != 3 || memcmp(name, "all", 3) != 0) {
            memcpy(step->name, name, len);
        }
    }
    return PUBSUB_OK;
}

/* Called with the lock held for writing. */
static void load_default_filter(void)
{
    const char *text = getenv("PUBSUB_LOG");
    if (text == NULL || parse_filter(&g_filter, text, NULL) != PUBSUB_OK) {
        parse_filter(&g_filter, "all", NULL);
    }
    g_filter_set = true;
}

/* Called with the lock held for writing. */
static void update_threshold(void)
{
    bool listens = g_fn != NULL && g_filter.count > 0;
    atomic_store_explicit(&pubsub__log_threshold, listens ? (int)g_level : PUBSUB_LOG_OFF,
                          memory_order_relaxed);
}

void pubsub_log_set(pubsub_log_fn fn, void *ctx)
{
    pthread_rwlock_wrlock(&g_lock);
    g_fn = fn;
    g_ctx = ctx;
    if (!g_filter_set) {
        load_default_filter();
    }
    update_threshold();
    pthread_rwlock_unlock(&g_lock);
}

void pubsub_log_set_level(pubsub_log_level level)
{
    int i = (int)level;
    i = i < PUBSUB_LOG_OFF ? PUBSUB_LOG_OFF : i;
    i = i > PUBSUB_LOG_TRACE ? PUBSUB_LOG_TRACE : i;
    pthread_rwlock_wrlock(&g_lock);
    g_level = (pubsub_log_level)i;
    update_threshold();
    pthread_rwlock_unlock(&g_lock);
}

pubsub_log_level pubsub_log_get_level(void)
{
    pthread_rwlock_rdlock(&g_lock);
    pubsub_log_level level = g_level;
    pthread_rwlock_unlock(&g_lock);
    return level;
}

pubsub_err pubsub_log_set_filter(const char *text, pubsub_error *err)
{
    filter parsed;
    if (text != NULL) {
        pubsub_err rc = parse_filter(&parsed, text, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    pthread_rwlock_wrlock(&g_lock);
    if (text == NULL) {
        load_default_filter();
    } else {
        g_filter = parsed;
        g_filter_set = true;
    }
    update_threshold();
    pthread_rwlock_unlock(&g_lock);
    return PUBSUB_OK;
}

/* Called with the lock held. */
static bool passes(pubsub_log_level level, const char *component)
{
    if (g_fn == NULL || level > g_level) {
        return false;
    }
    bool on = false;
    for (size_t i = 0; i < g_filter.count; i++) {
        const filter_step *step = &g_filter.steps[i];
        if (step->name[0] == '\0' || strcmp(step->name, component) == 0) {
            on = step->on;
        }
    }
    return on;
}

bool pubsub__log_enabled(pubsub_log_level level, const char *component)
{
    if ((int)level > atomic_load_explicit(&pubsub__log_threshold, memory_order_relaxed) ||
        t_inside) {
        return false;
    }
    pthread_rwlock_rdlock(&g_lock);
    bool on = passes(level, component);
    pthread_rwlock_unlock(&g_lock);
    return on;
}

void pubsub__log_write(pubsub_log_level level, const char *component, const char *format, ...)
{
    if (t_inside) {
        return;
    }
    pthread_rwlock_rdlock(&g_lock);
    if (passes(level, component)) {
        char line[LINE_MAX_BYTES];
        va_list args;
        va_start(args, format);
        int n = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        if (n >= 0) {
            pubsub__text_oneline(line);
            t_inside = true;
            g_fn(g_ctx, level, component, line);
            t_inside = false;
        }
    }
    pthread_rwlock_unlock(&g_lock);
}
