/* SPDX-License-Identifier: MIT */
/* From YAML to a tree of our own. */
#include "config/yaml.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct conversion {
    yaml_document_t *document;
    bridge_findings *findings;
    size_t nodes;
    bool stopped; /* told once, then the rest is not looked at */
} conversion;

static bridge_node *stop(conversion *job, bridge_mark mark, const bridge_path *path,
                         const char *text)
{
    if (!job->stopped) {
        bridge_findings_add(job->findings, mark, path->text, "%s", text);
    }
    job->stopped = true;
    return NULL;
}

static bridge_node *convert(conversion *job, int id, const bridge_path *path, size_t depth);

static bridge_node *convert_scalar(conversion *job, const yaml_node_t *from,
                                   const bridge_path *path)
{
    const char *text = (const char *)from->data.scalar.value;
    size_t len = from->data.scalar.length;
    bridge_mark mark = bridge_mark_of(from->start_mark);
    if (memchr(text, '\0', len) != NULL) {
        bridge_findings_add(job->findings, mark, path->text, "a value cannot hold a NUL");
    }
    bridge_node *node = bridge_node_scalar(text, strlen(text), mark);
    if (node == NULL) {
        return stop(job, mark, path, "out of memory");
    }
    node->plain = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->wrong = !bridge_expand(node, path->text, job->findings);
    return node;
}

static bridge_node *convert_list(conversion *job, const yaml_node_t *from, const bridge_path *path,
                                 size_t depth)
{
    bridge_node *list = bridge_node_new(BRIDGE_NODE_LIST, bridge_mark_of(from->start_mark));
    const yaml_node_item_t *item = from->data.sequence.items.start;
    for (; list != NULL && !job->stopped && item < from->data.sequence.items.top; item++) {
        bridge_path at = bridge_path_index(path, list->count);
        bridge_node *child = convert(job, *item, &at, depth + 1);
        if (child != NULL && !bridge_node_append(list, child, NULL)) {
            bridge_node_free(child);
            stop(job, list->mark, path, "out of memory");
        }
    }
    return list;
}

/* The text of a key; NULL after a finding. */
static const char *key_text(conversion *job, const yaml_node_t *key, const bridge_path *path)
{
    bridge_mark mark = bridge_mark_of(key->start_mark);
    if (key->type != YAML_SCALAR_NODE) {
        bridge_findings_add(job->findings, mark, path->text, "a name is expected here");
        return NULL;
    }
    const char *text = (const char *)key->data.scalar.value;
    if (strcmp(text, "<<") == 0) {
        bridge_findings_add(job->findings, mark, path->text,
                            "merging by << is not supported: write the settings out, or use an "
                            "alias for a whole value");
        return NULL;
    }
    if (memchr(text, '\0', key->data.scalar.length) != NULL) {
        bridge_findings_add(job->findings, mark, path->text, "a name cannot hold a NUL");
        return NULL;
    }
    return text;
}

static int compare_keys(const void *a, const void *b)
{
    const bridge_node *one = *(bridge_node *const *)a;
    const bridge_node *two = *(bridge_node *const *)b;
    int order = strcmp(one->key, two->key);
    if (order != 0) {
        return order;
    }
    if (one->key_mark.line != two->key_mark.line) {
        return one->key_mark.line < two->key_mark.line ? -1 : 1;
    }
    return one->key_mark.column < two->key_mark.column ? -1 : 1;
}

static void find_duplicates(conversion *job, const bridge_node *map, const bridge_path *path)
{
    if (map->count < 2) {
        return;
    }
    bridge_node **sorted = pubsub__calloc(map->count, sizeof(bridge_node *));
    if (sorted == NULL) {
        stop(job, map->mark, path, "out of memory");
        return;
    }
    memcpy(sorted, map->items, map->count * sizeof(bridge_node *));
    qsort(sorted, map->count, sizeof(bridge_node *), compare_keys);
    for (size_t i = 1; i < map->count; i++) {
        if (strcmp(sorted[i]->key, sorted[i - 1]->key) == 0) {
            bridge_path at = bridge_path_key(path, sorted[i]->key);
            bridge_findings_add(job->findings, sorted[i]->key_mark, at.text,
                                "is there already, in line %u: one of them has to go",
                                sorted[i - 1]->key_mark.line);
        }
    }
    pubsub__free(sorted);
}

static bridge_node *convert_map(conversion *job, const yaml_node_t *from, const bridge_path *path,
                                size_t depth)
{
    bridge_node *map = bridge_node_new(BRIDGE_NODE_MAP, bridge_mark_of(from->start_mark));
    const yaml_node_pair_t *pair = from->data.mapping.pairs.start;
    for (; map != NULL && !job->stopped && pair < from->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(job->document, pair->key);
        const char *key = key_text(job, name, path);
        if (key == NULL) {
            continue;
        }
        bridge_path at = bridge_path_key(path, key);
        bridge_node *child = convert(job, pair->value, &at, depth + 1);
        if (child == NULL) {
            continue;
        }
        child->key_mark = bridge_mark_of(name->start_mark);
        if (!bridge_node_append(map, child, key)) {
            bridge_node_free(child);
            stop(job, map->mark, path, "out of memory");
        }
    }
    if (map != NULL) {
        find_duplicates(job, map, path);
    }
    return map;
}

static bridge_node *convert(conversion *job, int id, const bridge_path *path, size_t depth)
{
    static const char standard[] = "tag:yaml.org,2002:";
    const yaml_node_t *from = yaml_document_get_node(job->document, id);
    bridge_mark mark = bridge_mark_of(from->start_mark);
    bridge_node *node = NULL;
    if (job->stopped) {
        return NULL;
    }
    if (depth > BRIDGE_NODE_DEPTH_MAX) {
        return stop(job, mark, path, "this is nested too deeply, or holds itself by an alias");
    }
    if (job->nodes++ == BRIDGE_NODES_MAX) {
        return stop(job, mark, path, "these are too many values, with aliases written out");
    }
    if (from->tag != NULL && strncmp((const char *)from->tag, standard, strlen(standard)) != 0) {
        bridge_findings_add(job->findings, mark, path->text, "tags (!name) are not supported");
    }
    if (from->type == YAML_SCALAR_NODE) {
        return convert_scalar(job, from, path);
    }
    if (from->type == YAML_SEQUENCE_NODE) {
        node = convert_list(job, from, path, depth);
    } else {
        node = convert_map(job, from, path, depth);
    }
    return node != NULL ? node : stop(job, mark, path, "out of memory");
}

/* ---- the parser ---------------------------------------------------------------------------- */

void bridge_yaml_tell(const yaml_parser_t *parser, bridge_findings *findings)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    bridge_mark mark = bridge_mark_of(parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) {
        mark = bridge_mark_of(parser->mark); /* the reader knows only an offset */
    }
    if (parser->context != NULL && parser->context_mark.line + 1 != mark.line) {
        bridge_findings_add(findings, mark, "", "this is no YAML: %s %s that begins in line %zu",
                            problem, parser->context, parser->context_mark.line + 1);
    } else {
        bridge_findings_add(findings, mark, "", "this is no YAML: %s%s%s", problem,
                            parser->context != NULL ? " " : "",
                            parser->context != NULL ? parser->context : "");
    }
}

bool bridge_yaml_begin(yaml_parser_t *parser, const char *text, size_t len,
                       bridge_findings *findings)
{
    if (!yaml_parser_initialize(parser)) {
        bridge_findings_add(findings, (bridge_mark){0, 0}, "", "out of memory");
        return false;
    }
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
    return true;
}

static bridge_node *read_document(yaml_parser_t *parser, bridge_findings *findings)
{
    yaml_document_t document;
    bridge_node *root = NULL;
    if (!yaml_parser_load(parser, &document)) { /* an alias of nothing, one anchor twice */
        bridge_yaml_tell(parser, findings);
        return NULL;
    }
    if (yaml_document_get_root_node(&document) != NULL) {
        const bridge_path top = {""};
        conversion job = {&document, findings, 0, false};
        root = convert(&job, 1, &top, 0); /* the first node is the root */
        if (job.stopped) {                /* what is there now is not what the file says */
            bridge_node_free(root);
            root = NULL;
        }
    }
    yaml_document_delete(&document);
    return root;
}

static bool check_utf8(const char *text, size_t len, bridge_findings *findings)
{
    bridge_mark mark = {1, 1};
    size_t valid = pubsub__utf8_valid_prefix(text, len);
    for (size_t i = 0; i < valid; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
        /* Columns count characters. */
        mark.column += ((unsigned char)text[i] & 0xC0) != 0x80 ? 1 : 0;
    }
    if (valid < len) {
        bridge_findings_add(findings, mark, "", "this is not UTF-8");
    }
    return valid == len;
}

bridge_node *bridge_document_read(const char *text, size_t len, bridge_findings *findings)
{
    yaml_parser_t parser;
    bridge_node *root = NULL;
    if (len > BRIDGE_FILE_MAX) {
        bridge_findings_add(findings, (bridge_mark){0, 0}, "", "the file is longer than 4 MiB");
        return NULL;
    }
    if (!check_utf8(text, len, findings) || !bridge_yaml_survey(text, len, findings) ||
        !bridge_yaml_begin(&parser, text, len, findings)) {
        return NULL;
    }
    root = read_document(&parser, findings);
    yaml_parser_delete(&parser);
    return root;
}
