/* SPDX-License-Identifier: MIT */
/* --set path=value, before the tree is checked: what is set is checked like everything else. */
#include "base/utf8.h"
#include "config/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const bridge_mark nowhere = {0, 0};

typedef struct setting_job {
    bridge_node *root;
    bridge_findings *findings;
    char path[128]; /* all of it */
    const char *value;
} setting_job;

static void fail(const setting_job *job, const char *text)
{
    bridge_findings_add(job->findings, nowhere, job->path, "--set: %s", text);
}

/* Whether the path goes on behind a word with `.`, `[` or its end; the length of the word, or 0. */
static size_t begins_with(const char *at, const char *word)
{
    size_t len = strlen(word);
    if (len == 0 || strncmp(at, word, len) != 0) {
        return 0;
    }
    return at[len] == '\0' || at[len] == '.' || at[len] == '[' ? len : 0;
}

/* The longest key wins, because names may hold dots. */
static bridge_node *step_key(const bridge_node *map, const char **at)
{
    bridge_node *found = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < map->count; i++) {
        size_t len = begins_with(*at, map->items[i]->key);
        if (len > longest) {
            longest = len;
            found = map->items[i];
        }
    }
    *at += longest;
    return found;
}

static bridge_node *step_route(const setting_job *job, const bridge_node *list, const char **at)
{
    bridge_node *found = NULL;
    size_t longest = 0;
    char name[BRIDGE_ROUTE_NAME_MAX + 1];
    for (size_t i = 0; i < list->count; i++) {
        bridge_route_name(job->root, list->items[i], name);
        size_t len = begins_with(*at, name);
        if (len > longest) {
            longest = len;
            found = list->items[i];
        }
    }
    *at += longest;
    if (found == NULL) {
        fail(job, "there is no route of that name");
    }
    return found;
}

static bridge_node *step_index(const setting_job *job, const bridge_node *list, const char **at)
{
    char *end = NULL;
    unsigned long index = strtoul(*at + 1, &end, 10);
    if ((*at)[1] < '0' || (*at)[1] > '9' || *end != ']') {
        fail(job, "write an index in brackets, such as [0]");
        return NULL;
    }
    if (index >= list->count) {
        fail(job, "the list has no such entry");
        return NULL;
    }
    *at = end + 1;
    return list->items[index];
}

/* A new entry of a mapping: a mapping when the path goes on, else the value. */
static bridge_node *add_entry(const setting_job *job, bridge_node *map, const char **at)
{
    char key[128];
    size_t len = strcspn(*at, ".[");
    if (len == 0 || (*at)[len] == '[') {
        fail(job, "there is no such place in the file");
        return NULL;
    }
    (void)snprintf(key, sizeof(key), "%.*s", (int)len, *at);
    *at += len;
    bridge_node *child = **at == '\0' ? bridge_node_scalar("", 0, nowhere)
                                      : bridge_node_new(BRIDGE_NODE_MAP, nowhere);
    if (child == NULL || !bridge_node_append(map, child, key)) {
        bridge_node_free(child);
        fail(job, "out of memory");
        return NULL;
    }
    return child;
}

static bridge_node *step(const setting_job *job, bridge_node *from, const char **at)
{
    if (from->type == BRIDGE_NODE_LIST && **at == '[') {
        return step_index(job, from, at);
    }
    if (**at == '.') {
        ++*at;
    }
    if (from->type == BRIDGE_NODE_LIST && from == bridge_node_find(job->root, "routes")) {
        return step_route(job, from, at);
    }
    if (from->type != BRIDGE_NODE_MAP) {
        fail(job, "there is no such place in the file");
        return NULL;
    }
    bridge_node *found = step_key(from, at);
    return found != NULL ? found : add_entry(job, from, at);
}

static bool is_reference(const bridge_node *node)
{
    return node->type == BRIDGE_NODE_MAP && node->count == 1 &&
           (strcmp(node->items[0]->key, "file") == 0 || strcmp(node->items[0]->key, "env") == 0);
}

static void apply(const setting_job *job)
{
    const char *at = job->path;
    bridge_node *node = job->root;
    do {
        node = step(job, node, &at);
    } while (node != NULL && *at != '\0');
    if (node == NULL) {
        return;
    }
    if (node->type == BRIDGE_NODE_LIST) {
        fail(job, "this is a list: set one of its entries, [0] and so on");
    } else if (node->type == BRIDGE_NODE_MAP && !is_reference(node)) {
        fail(job, "this is a mapping: set one of its entries, such as .url");
    } else if (!bridge_node_set_text(node, job->value, strlen(job->value))) {
        fail(job, "out of memory");
    } else {
        node->mark = nowhere;
        node->plain = job->value[0] != '\0';
        node->hidden = false;
        node->wrong = false;
    }
}

void bridge_overrides_apply(bridge_node *root, const bridge_overrides *overrides,
                            bridge_findings *findings)
{
    for (size_t i = 0; i < overrides->set_count; i++) {
        setting_job job = {.root = root, .findings = findings};
        const char *equals = strchr(overrides->sets[i], '=');
        size_t len = equals != NULL ? (size_t)(equals - overrides->sets[i]) : 0;
        if (len == 0 || len >= sizeof(job.path)) {
            fail(&job, "write --set path=value, such as --set routes[0].topic=/news");
            continue;
        }
        memcpy(job.path, overrides->sets[i], len);
        if (!pubsub__utf8_check(overrides->sets[i], strlen(overrides->sets[i]))) {
            fail(&job, "this is not UTF-8");
            continue;
        }
        job.value = equals + 1;
        apply(&job);
    }
}
