/* SPDX-License-Identifier: MIT */
#include "engine/targets.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <pubsub/options.h>

#include <string.h>

typedef struct entry {
    struct entry *next;
    char *key;
    bridge_target *target;
    unsigned users;
} entry;

struct bridge_targets {
    pubsub_host *host;
    entry *entries;
    size_t ending;
    void (*gone)(void *ctx);
    void *gone_ctx;
};

bridge_targets *bridge_targets_new(pubsub_host *host)
{
    bridge_targets *targets = pubsub__calloc(1, sizeof *targets);
    if (targets != NULL) {
        targets->host = host;
    }
    return targets;
}

void bridge_targets_free(bridge_targets *targets)
{
    pubsub__free(targets);
}

/* Name, URL and options in one text; it may hold secrets. */
static char *key_of(const bridge_broker *broker)
{
    pubsub__buf key;
    pubsub__buf_init(&key, 4u * 1024u * 1024u);
    bool ok = pubsub__buf_printf(&key, "%s\n%s\n", broker->name, broker->url) == 0;
    for (size_t i = 0; ok && i < pubsub_options_count(broker->options); i++) {
        const char *value = NULL;
        const char *name = pubsub_options_at(broker->options, i, &value, NULL);
        ok = pubsub__buf_printf(&key, "%s=%s\n", name, value) == 0;
    }
    if (!ok) {
        pubsub__buf_fini(&key);
        return NULL;
    }
    return pubsub__buf_take(&key);
}

static void free_key(char *key)
{
    if (key != NULL) {
        pubsub__wipe(key, strlen(key));
        pubsub__free(key);
    }
}

bridge_target *bridge_targets_take(bridge_targets *targets, const bridge_broker *broker,
                                   pubsub_error *err)
{
    char *key = key_of(broker);
    for (entry *e = targets->entries; key != NULL && e != NULL; e = e->next) {
        if (strcmp(e->key, key) == 0 && !bridge_target_failed(e->target)) {
            free_key(key);
            e->users++;
            return e->target;
        }
    }
    entry *e = pubsub__calloc(1, sizeof *e);
    if (key == NULL || e == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the broker '%s'", broker->name);
    } else {
        e->target =
            bridge_target_new(targets->host, broker->name, broker->url, broker->options, err);
    }
    if (e == NULL || e->target == NULL) {
        free_key(key);
        pubsub__free(e);
        return NULL;
    }
    e->key = key;
    e->users = 1;
    e->next = targets->entries;
    targets->entries = e;
    return e->target;
}

static void on_gone(void *ctx)
{
    bridge_targets *targets = ctx;
    targets->ending--;
    if (targets->gone != NULL) {
        targets->gone(targets->gone_ctx);
    }
}

void bridge_targets_give(bridge_targets *targets, bridge_target *target, pubsub_duration_ms timeout)
{
    entry **at = &targets->entries;
    while ((*at)->target != target) {
        at = &(*at)->next;
    }
    entry *e = *at;
    if (--e->users > 0) {
        return;
    }
    *at = e->next;
    free_key(e->key);
    pubsub__free(e);
    targets->ending++;
    bridge_target_end(target, timeout, on_gone, targets);
}

void bridge_targets_on_gone(bridge_targets *targets, void (*fn)(void *ctx), void *ctx)
{
    targets->gone = fn;
    targets->gone_ctx = ctx;
}

size_t bridge_targets_ending(const bridge_targets *targets)
{
    return targets->ending;
}
