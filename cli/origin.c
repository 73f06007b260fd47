/* SPDX-License-Identifier: MIT */
#include "origin.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

typedef struct cli_origin_item {
    char *name;
    cli_origin origin;
} cli_origin_item;

cli_origin cli_origin_make(cli_origin_kind kind, const char *detail)
{
    cli_origin origin = {.kind = kind};

    (void)snprintf(origin.detail, sizeof(origin.detail), "%s", detail);
    return origin;
}

cli_origin cli_origin_line(cli_origin_kind kind, const char *path, size_t line)
{
    cli_origin origin = {.kind = kind};

    (void)snprintf(origin.detail, sizeof(origin.detail), "%.480s:%zu", path, line);
    return origin;
}

const char *cli_origin_name(cli_origin_kind kind)
{
    static const char *const names[] = {"default", "file", "profile", "environment", "URL", "flag"};

    return names[kind];
}

static cli_origin_item *find(const cli_origins *origins, const char *name)
{
    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i].name, name) == 0) {
            return &origins->items[i];
        }
    }
    return NULL;
}

bool cli_origins_set(cli_origins *origins, const char *name, const cli_origin *origin)
{
    cli_origin_item *item = find(origins, name);
    char *copy;

    if (item != NULL) {
        item->origin = *origin;
        return true;
    }
    if (origins->count == origins->capacity) {
        size_t capacity = origins->capacity == 0 ? 16 : origins->capacity * 2;
        cli_origin_item *items = pubsub__realloc(origins->items, capacity * sizeof(*items));

        if (items == NULL) {
            return false;
        }
        origins->items = items;
        origins->capacity = capacity;
    }
    copy = pubsub__strdup(name);
    if (copy == NULL) {
        return false;
    }
    item = &origins->items[origins->count++];
    item->name = copy;
    item->origin = *origin;
    return true;
}

const cli_origin *cli_origins_get(const cli_origins *origins, const char *name)
{
    static const cli_origin none = {.kind = CLI_ORIGIN_DEFAULT};
    const cli_origin_item *item = find(origins, name);

    return item != NULL ? &item->origin : &none;
}

void cli_origins_fini(cli_origins *origins)
{
    for (size_t i = 0; i < origins->count; i++) {
        pubsub__free(origins->items[i].name);
    }
    pubsub__free(origins->items);
    memset(origins, 0, sizeof(*origins));
}
