/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/alloc.h"
#include "base/text.h"
#include "config/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- release ------------------------------------------------------------------------------- */

static void free_secret(char *text)
{
    if (text != NULL) {
        pubsub__wipe(text, strlen(text));
    }
    pubsub__free(text);
}

static void free_route(bridge_route *route)
{
    for (size_t i = 0; i < route->model_count; i++) {
        pubsub__free(route->models[i]);
    }
    for (size_t i = 0; i < route->where_count; i++) {
        pubsub__free(route->where[i].pointer);
        pubsub__free(route->where[i].value);
    }
    pubsub__free(route->models);
    pubsub__free(route->where);
    pubsub__free(route->name);
    pubsub__free(route->topic);
    pubsub__free(route->dead_letter);
}

void bridge_config_free(bridge_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->broker_count; i++) {
        pubsub__free(config->brokers[i].name);
        free_secret(config->brokers[i].url);
        pubsub_options_free(config->brokers[i].options);
    }
    for (size_t i = 0; i < config->source_count; i++) {
        pubsub__free(config->sources[i].name);
        pubsub_settings_free(config->sources[i].settings, config->sources[i].setting_count);
    }
    for (size_t i = 0; i < config->route_count; i++) {
        free_route(&config->routes[i]);
    }
    pubsub__free(config->brokers);
    pubsub__free(config->sources);
    pubsub__free(config->routes);
    pubsub__free(config->file);
    pubsub__free(config->state);
    pubsub__free(config->listen);
    pubsub__free(config);
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool begin(bridge_reader *reader, const char *file)
{
    const char *slash = strrchr(file, '/');
    reader->config = pubsub__calloc(1, sizeof(*reader->config));
    reader->directory = pubsub__strndup(file, slash != NULL ? (size_t)(slash - file) + 1 : 0);
    if (reader->config != NULL) {
        reader->config->file = pubsub__strdup(file);
    }
    return (reader->config != NULL && reader->directory != NULL && reader->config->file != NULL) ||
           bridge_no_memory(reader);
}

bridge_config *bridge_config_read(const char *file, const char *text, size_t len,
                                  const bridge_overrides *overrides, bridge_findings *findings)
{
    static const bridge_overrides none = {NULL, NULL, 0};
    overrides = overrides != NULL ? overrides : &none;
    bridge_reader reader = {.findings = findings, .broker = overrides->broker};
    if (begin(&reader, file)) {
        reader.root = bridge_document_read(text, len, findings);
    }
    if (reader.root != NULL) {
        bridge_overrides_apply(reader.root, overrides, findings);
        bridge_read_top(&reader);
    }
    bridge_node_free(reader.root);
    pubsub__free(reader.directory);
    if (bridge_found(&reader) > 0) {
        bridge_config_free(reader.config);
        return NULL;
    }
    return reader.config;
}

static bool read_file(int fd, pubsub__buf *out)
{
    for (;;) {
        if (pubsub__buf_reserve(out, 65536) == PUBSUB__BUF_NOMEM) {
            errno = ENOMEM;
            return false;
        }
        /* One byte more than a file may have is enough to see that it is too long. */
        size_t room = out->cap - out->len;
        ssize_t n = room > 0 ? read(fd, out->data + out->len, room) : 0;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0;
        }
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

bridge_config *bridge_config_load(const char *file, const bridge_overrides *overrides,
                                  bridge_findings *findings)
{
    bridge_config *config = NULL;
    pubsub__buf text;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    pubsub__buf_init(&text, BRIDGE_FILE_MAX + 65536);
    *findings = (bridge_findings){0};
    if (fd < 0 || !read_file(fd, &text)) {
        bridge_findings_add(findings, (bridge_mark){0, 0}, "", "cannot read the file: %s",
                            strerror(errno));
    } else {
        config = bridge_config_read(file, pubsub__buf_text(&text), text.len, overrides, findings);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (text.data != NULL) {
        pubsub__wipe(text.data, text.len);
    }
    pubsub__buf_fini(&text);
    return config;
}
