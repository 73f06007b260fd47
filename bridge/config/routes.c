/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "connectors/settings.h"

#include <stdlib.h>
#include <string.h>

/* A route on its way. */
typedef struct route_job {
    bridge_reader *reader;
    bridge_route *route;
    bridge_node *map;
    const bridge_path *path;
    bridge_field fields[BRIDGE_ROW_ROUTE_COUNT];
} route_job;

static bridge_path path_of(const route_job *job, size_t row)
{
    return bridge_path_key(job->path, bridge_schema_route.rows[row].name);
}

/* ---- where from, where to ------------------------------------------------------------------ */

/* Which entry of `sources` or `brokers` a route means, by its word or because there is one. The count
 * of entries when it is not known. */
static size_t choose(route_job *job, size_t row, const char *list, const char *kind)
{
    const bridge_node *all = bridge_node_find(job->reader->root, list);
    const bridge_field *word = &job->fields[row];
    bridge_path at = path_of(job, row);
    size_t count = all != NULL && all->type == BRIDGE_NODE_MAP ? all->count : 0;
    if (word->node == NULL) {
        if (count > 1) {
            bridge_findings_add(job->reader->findings, job->map->mark, at.text,
                                "is missing: there are %zu of them", count);
        }
        return count == 1 ? 0 : count;
    }
    for (size_t i = 0; word->text != NULL && i < count; i++) {
        if (strcmp(all->items[i]->key, word->text) == 0) {
            return i;
        }
    }
    if (word->text != NULL && all != NULL) {
        bridge_tell_unknown(job->reader, word->node, &at, kind, word->text, all);
    }
    return count;
}

static void read_ends(route_job *job)
{
    bridge_config *config = job->reader->config;
    job->route->source = choose(job, BRIDGE_ROW_ROUTE_SOURCE, "sources", "source");
    /* The word is checked even where the flag replaces it. */
    if (job->reader->broker == NULL || job->fields[BRIDGE_ROW_ROUTE_BROKER].node != NULL) {
        job->route->broker = choose(job, BRIDGE_ROW_ROUTE_BROKER, "brokers", "broker");
    }
    if (job->reader->broker != NULL && config->broker_count > 0) {
        job->route->broker = config->broker_count - 1;
    }
}

/* ---- models -------------------------------------------------------------------------------- */

static void read_model(route_job *job, bridge_node *node, const bridge_path *path)
{
    const char *text = bridge_read_scalar(job->reader, node, path, false);
    if (text == NULL) {
        return;
    }
    size_t len = strlen(text);
    if (len == 0 || len > PUBSUB_MODEL_MAX || !pubsub__utf8_check(text, len)) {
        bridge_findings_add(job->reader->findings, node->mark, path->text,
                            "a model's name is 1 to %d bytes of UTF-8", PUBSUB_MODEL_MAX);
        return;
    }
    char *model = bridge_keep(job->reader, text);
    if (model != NULL) {
        job->route->models[job->route->model_count++] = model;
    }
}

static void read_models(route_job *job)
{
    bridge_node *one = job->fields[BRIDGE_ROW_ROUTE_MODEL].node;
    bridge_node *many = job->fields[BRIDGE_ROW_ROUTE_MODELS].node;
    bridge_node *node = one != NULL ? one : many;
    bridge_path path = path_of(job, one != NULL ? BRIDGE_ROW_ROUTE_MODEL : BRIDGE_ROW_ROUTE_MODELS);
    if (node == NULL || (one != NULL && many != NULL)) {
        bridge_findings_add(
            job->reader->findings, many != NULL ? many->mark : job->map->mark, path.text,
            node == NULL ? "is missing: write `model: NAME` or `models: [NAME, ...]`"
                         : "write either `model` or `models`");
        return;
    }
    if (one == NULL && bridge_list_count(many) == 0) {
        bridge_findings_add(job->reader->findings, many->mark, path.text, "names no model");
        return;
    }
    size_t count = one != NULL ? 1 : bridge_list_count(many);
    job->route->models = pubsub__calloc(count, sizeof(*job->route->models));
    if (job->route->models == NULL) {
        (void)bridge_no_memory(job->reader);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bridge_path at = path;
        bridge_node *entry = one != NULL ? one : bridge_list_at(many, i, &path, &at);
        read_model(job, entry, &at);
    }
}

/* ---- filters ------------------------------------------------------------------------------- */

static void read_changes(route_job *job)
{
    const pubsub_setting *row = &bridge_schema_route.rows[BRIDGE_ROW_ROUTE_CHANGES];
    bridge_node *node = job->fields[BRIDGE_ROW_ROUTE_CHANGES].node;
    bridge_path path = path_of(job, BRIDGE_ROW_ROUTE_CHANGES);
    job->route->changes = node == NULL ? 0xFu : 0;
    for (size_t i = 0; node != NULL && i < bridge_list_count(node); i++) {
        bridge_path at;
        bridge_field field = {0};
        bridge_node *entry = bridge_list_at(node, i, &path, &at);
        if (bridge_read_value(job->reader, row, entry, &at, &field)) {
            job->route->changes |= 1u << field.number; /* the choices are in the enum's order */
        }
    }
    if (node != NULL && bridge_list_count(node) == 0) {
        bridge_findings_add(job->reader->findings, node->mark, path.text,
                            "lets nothing through: name a change, or leave it out");
    }
}

/* A field's name as a pointer; a pointer stays one. */
static char *pointer_of(bridge_reader *reader, const char *key)
{
    pubsub__buf pointer;
    if (key[0] == '/') {
        return bridge_keep(reader, key);
    }
    pubsub__buf_init(&pointer, BRIDGE_FILE_MAX * 2);
    int rc = pubsub__buf_add_byte(&pointer, '/');
    for (; rc == PUBSUB__BUF_OK && *key != '\0'; key++) {
        rc = *key == '~'   ? pubsub__buf_add_text(&pointer, "~0")
             : *key == '/' ? pubsub__buf_add_text(&pointer, "~1")
                           : pubsub__buf_add_byte(&pointer, *key);
    }
    char *taken = rc == PUBSUB__BUF_OK ? pubsub__buf_take(&pointer) : NULL;
    pubsub__buf_fini(&pointer);
    if (taken == NULL) {
        (void)bridge_no_memory(reader);
    }
    return taken;
}

static void read_condition(route_job *job, bridge_node *node, const bridge_path *path)
{
    bridge_condition *condition = &job->route->where[job->route->where_count];
    const char *text = "null";
    const char *tilde = node->key[0] == '/' ? strchr(node->key, '~') : NULL;
    for (; tilde != NULL; tilde = strchr(tilde + 1, '~')) {
        if (tilde[1] != '0' && tilde[1] != '1') {
            bridge_findings_add(job->reader->findings, node->key_mark, path->text,
                                "in a pointer ~0 stands for '~' and ~1 for '/'");
            return;
        }
    }
    if (!bridge_node_is_null(node)) {
        text = bridge_read_scalar(job->reader, node, path, false);
    }
    if (text == NULL) {
        return;
    }
    condition->pointer = pointer_of(job->reader, node->key);
    condition->value = bridge_keep(job->reader, text);
    job->route->where_count++;
}

static void read_where(route_job *job)
{
    bridge_node *node = job->fields[BRIDGE_ROW_ROUTE_WHERE].node;
    bridge_path path = path_of(job, BRIDGE_ROW_ROUTE_WHERE);
    if (node == NULL || !bridge_expect_map(job->reader, node, &path, "`where`")) {
        return;
    }
    job->route->where = pubsub__calloc(node->count + 1, sizeof(*job->route->where));
    if (job->route->where == NULL) {
        (void)bridge_no_memory(job->reader);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        bridge_path at = bridge_path_key(&path, node->items[i]->key);
        read_condition(job, node->items[i], &at);
    }
}

/* ---- the rest ------------------------------------------------------------------------------ */

static char *read_template(route_job *job, size_t row)
{
    char why[256];
    const bridge_field *field = &job->fields[row];
    bridge_path at = path_of(job, row);
    if (field->text == NULL) {
        return NULL;
    }
    if (field->node != NULL && !bridge_template_check(field->text, why, sizeof(why))) {
        bridge_findings_add(job->reader->findings, field->node->mark, at.text, "%s",
                            field->node->hidden ? "this value (not shown) is no topic template"
                                                : why);
    }
    return bridge_keep(job->reader, field->text);
}

/* Silence is a fault only where the source is never silent. */
static int64_t default_stall(const bridge_config *config, size_t source)
{
    if (source >= config->source_count || config->sources[source].connector == NULL) {
        return 0;
    }
    const bridge_source *from = &config->sources[source];
    const pubsub_setting *row = bridge_setting_row(
        from->connector->settings, from->connector->setting_count, "heartbeat", NULL);
    const pubsub_setting_value *value =
        pubsub_setting_find(from->settings, from->setting_count, "heartbeat");
    if (row == NULL || row->type != PUBSUB_SETTING_DURATION || value == NULL ||
        value->number <= 0 || value->number > INT64_MAX / 3) {
        return 0;
    }
    return 3 * value->number;
}

static void read_plain(route_job *job)
{
    bridge_route *route = job->route;
    const bridge_field *fields = job->fields;
    route->format = (bridge_format)fields[BRIDGE_ROW_ROUTE_FORMAT].number;
    route->qos = fields[BRIDGE_ROW_ROUTE_QOS].text != NULL
                     ? (pubsub_qos)fields[BRIDGE_ROW_ROUTE_QOS].number
                     : PUBSUB_QOS_UNSET;
    route->retain = fields[BRIDGE_ROW_ROUTE_RETAIN].number != 0;
    route->key = fields[BRIDGE_ROW_ROUTE_KEY].number != 0;
    route->ordered = fields[BRIDGE_ROW_ROUTE_ORDER].number != 0;
    route->degrade = fields[BRIDGE_ROW_ROUTE_DEGRADE].number != 0;
    route->expiry = fields[BRIDGE_ROW_ROUTE_EXPIRY].number;
    route->in_flight = (uint32_t)fields[BRIDGE_ROW_ROUTE_IN_FLIGHT].number;
    route->in_flight_bytes = (uint64_t)fields[BRIDGE_ROW_ROUTE_IN_FLIGHT_BYTES].number;
    route->on_reject = (bridge_on_reject)fields[BRIDGE_ROW_ROUTE_ON_REJECT].number;
    route->stall = fields[BRIDGE_ROW_ROUTE_STALL].text != NULL
                       ? fields[BRIDGE_ROW_ROUTE_STALL].number
                       : default_stall(job->reader->config, route->source);
}

static void read_route(route_job *job)
{
    bridge_route *route = job->route;
    char name[BRIDGE_ROUTE_NAME_MAX + 1];
    const bridge_field *given = &job->fields[BRIDGE_ROW_ROUTE_NAME];
    route->mark = job->map->mark;
    if (!bridge_read_section(job->reader, job->map, job->path, &bridge_schema_route, false,
                             job->fields)) {
        return;
    }
    if (given->text != NULL) {
        bridge_path at = path_of(job, BRIDGE_ROW_ROUTE_NAME);
        bridge_check_name(job->reader, given->node->mark, &at, given->text);
    }
    bridge_route_name(job->reader->root, job->map, name);
    route->name = bridge_keep(job->reader, name);
    read_ends(job);
    read_models(job);
    read_changes(job);
    read_where(job);
    route->topic = read_template(job, BRIDGE_ROW_ROUTE_TOPIC);
    route->dead_letter = read_template(job, BRIDGE_ROW_ROUTE_DEAD_LETTER);
    read_plain(job);
}

static int compare_names(const void *a, const void *b)
{
    const bridge_route *one = *(bridge_route *const *)a;
    const bridge_route *two = *(bridge_route *const *)b;
    int order = strcmp(one->name, two->name);
    if (order != 0) {
        return order;
    }
    return one < two ? -1 : 1; /* in one array, so in the order of the file */
}

static void check_unique(bridge_reader *reader)
{
    bridge_config *config = reader->config;
    bridge_route **sorted = pubsub__calloc(config->route_count + 1, sizeof(bridge_route *));
    size_t count = 0;
    if (sorted == NULL) {
        (void)bridge_no_memory(reader);
        return;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        if (config->routes[i].name != NULL) {
            sorted[count++] = &config->routes[i];
        }
    }
    qsort(sorted, count, sizeof(bridge_route *), compare_names);
    for (size_t i = 1; i < count; i++) {
        const bridge_route *route = sorted[i];
        if (strcmp(route->name, sorted[i - 1]->name) == 0) {
            const bridge_path routes = {"routes"};
            bridge_path at = bridge_path_index(&routes, (size_t)(route - config->routes));
            bridge_findings_add(
                reader->findings, route->mark, at.text,
                "is called like the route in line %u: give one of them another `name`",
                sorted[i - 1]->mark.line);
        }
    }
    pubsub__free(sorted);
}

void bridge_read_routes(bridge_reader *reader, bridge_node *node)
{
    bridge_config *config = reader->config;
    const bridge_path path = {"routes"};
    if (node == NULL) {
        return; /* that it is missing was told */
    }
    if (node->type != BRIDGE_NODE_LIST || node->count == 0) {
        bridge_findings_add(reader->findings, node->mark, path.text,
                            "`routes` is a list, one route or more: lines that begin with `- `");
        return;
    }
    config->routes = pubsub__calloc(node->count, sizeof(*config->routes));
    if (config->routes == NULL) {
        (void)bridge_no_memory(reader);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        bridge_path at = bridge_path_index(&path, i);
        route_job job = {reader, &config->routes[i], node->items[i], &at, {{0}}};
        config->route_count = i + 1;
        read_route(&job);
    }
    check_unique(reader);
}
