/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct config_parser {
    cli_config *config;
    size_t capacity;
    const char *profile;
    const char *name;
    size_t line;
    char *err;
    size_t err_size;
} config_parser;

static bool fail(config_parser *parser, const char *what)
{
    (void)snprintf(parser->err, parser->err_size, "%s:%zu: %s", parser->name, parser->line, what);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cut blanks off both ends, in place. */
static char *trim(char *text)
{
    size_t len;

    while (is_blank(*text)) {
        text++;
    }
    len = strlen(text);
    while (len > 0 && is_blank(text[len - 1])) {
        text[--len] = '\0';
    }
    return text;
}

static bool add(config_parser *parser, const char *key, const char *value)
{
    cli_config *config = parser->config;
    cli_config_entry *entry;

    if (config->count == parser->capacity) {
        size_t capacity = parser->capacity == 0 ? 16 : parser->capacity * 2;
        cli_config_entry *entries =
            pubsub__realloc(config->entries, capacity * sizeof(*config->entries));

        if (entries == NULL) {
            return fail(parser, "out of memory");
        }
        config->entries = entries;
        parser->capacity = capacity;
    }
    entry = &config->entries[config->count++];
    entry->profile = parser->profile;
    entry->key = key;
    entry->value = value;
    entry->line = parser->line;
    return true;
}

/* [profile NAME] */
static bool parse_part(config_parser *parser, char *text)
{
    size_t len = strlen(text);
    char *name;

    if (text[len - 1] != ']') {
        return fail(parser, "a part is written [profile NAME]");
    }
    text[len - 1] = '\0';
    if (strncmp(text + 1, "profile", 7) != 0 || !is_blank(text[8])) {
        return fail(parser, "the only parts are [profile NAME]");
    }
    name = trim(text + 8);
    if (name[0] == '\0' || strpbrk(name, ":[]") != NULL) {
        return fail(parser, "a profile's name must not be empty nor hold : [ ]");
    }
    parser->profile = name;
    return add(parser, "", ""); /* so that an empty profile exists */
}

static bool parse_line(config_parser *parser, char *text)
{
    char *equals;
    char *key;

    text = trim(text);
    if (text[0] == '\0' || text[0] == '#' || text[0] == ';') {
        return true;
    }
    if (text[0] == '[') {
        return parse_part(parser, text);
    }
    equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        return fail(parser, "write key = value");
    }
    *equals = '\0';
    key = trim(text);
    return add(parser, key, trim(equals + 1));
}

bool cli_config_parse(cli_config *config, const char *text, const char *name, char *err,
                      size_t err_size)
{
    config_parser parser = {config, 0, "", name, 0, err, err_size};
    char *at;

    memset(config, 0, sizeof(*config));
    config->text = pubsub__strdup(text);
    if (config->text == NULL) {
        return fail(&parser, "out of memory");
    }
    config->size = strlen(config->text);
    at = config->text;
    if (strncmp(at, "\xEF\xBB\xBF", 3) == 0) {
        at += 3; /* some editors begin UTF-8 so */
    }
    while (at != NULL) {
        char *next = strchr(at, '\n');

        if (next != NULL) {
            *next++ = '\0';
        }
        parser.line++;
        if (!pubsub__utf8_check(at, strlen(at))) {
            return fail(&parser, "not valid UTF-8");
        }
        if (!parse_line(&parser, at)) {
            return false;
        }
        at = next;
    }
    return true;
}

bool cli_config_read(cli_config *config, const char *path, char *err, size_t err_size)
{
    FILE *file = fopen(path, "re");
    pubsub__buf buf;
    char chunk[4096];
    size_t n;
    bool ok = false;

    memset(config, 0, sizeof(*config));
    pubsub__buf_init(&buf, CLI_CONFIG_BYTES_MAX);
    if (file == NULL) {
        (void)snprintf(err, err_size, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        if (pubsub__buf_add(&buf, chunk, n) != PUBSUB__BUF_OK) {
            (void)snprintf(err, err_size, "%s is too big for a configuration file", path);
            goto out;
        }
    }
    if (ferror(file)) {
        (void)snprintf(err, err_size, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (buf.len != strlen(pubsub__buf_text(&buf))) {
        (void)snprintf(err, err_size, "%s holds a NUL byte and is no configuration file", path);
        goto out;
    }
    ok = cli_config_parse(config, pubsub__buf_text(&buf), path, err, err_size);
out:
    pubsub__buf_fini(&buf);
    if (file != NULL) {
        (void)fclose(file);
    }
    return ok;
}

void cli_config_fini(cli_config *config)
{
    pubsub__free(config->entries);
    if (config->text != NULL) {
        pubsub__wipe(config->text, config->size);
    }
    pubsub__free(config->text);
    memset(config, 0, sizeof(*config));
}

const cli_config_entry *cli_config_find(const cli_config *config, const char *profile,
                                        const char *key)
{
    for (size_t i = config->count; i > 0; i--) {
        const cli_config_entry *entry = &config->entries[i - 1];

        if (strcmp(entry->profile, profile) == 0 && strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

const char *cli_config_get(const cli_config *config, const char *profile, const char *key)
{
    const cli_config_entry *entry = cli_config_find(config, profile, key);

    return entry != NULL ? entry->value : NULL;
}

bool cli_config_has_profile(const cli_config *config, const char *profile)
{
    return cli_config_get(config, profile, "") != NULL;
}

bool cli_config_default_path(char *out, size_t size)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int len;

    /* The specification says to pass over a relative path. */
    if (xdg != NULL && xdg[0] == '/') {
        len = snprintf(out, size, "%s/pubsub/config", xdg);
    } else if (home != NULL && home[0] == '/') {
        len = snprintf(out, size, "%s/.config/pubsub/config", home);
    } else {
        return false;
    }
    return len > 0 && (size_t)len < size;
}

static bool add_place(cli_config_place *place, const char *path, const char *why, bool required)
{
    int len = snprintf(place->path, sizeof(place->path), "%s", path);

    place->why = why;
    place->required = required;
    /* What may not be looked at counts as existing: reading it says what is wrong. */
    place->exists = access(place->path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    return len > 0 && (size_t)len < sizeof(place->path);
}

size_t cli_config_places(const char *given, cli_config_place places[CLI_CONFIG_PLACES_MAX])
{
    const char *named = getenv("PUBSUB_CONFIG");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    char path[PATH_MAX];
    size_t count = 0;

    if (given != NULL) {
        return add_place(&places[0], given, "--config", true) ? 1 : 0;
    }
    if (named != NULL && named[0] != '\0') {
        return add_place(&places[0], named, "PUBSUB_CONFIG", true) ? 1 : 0;
    }
    if (cli_config_default_path(path, sizeof(path))) {
        bool by_xdg = xdg != NULL && xdg[0] == '/';

        count += add_place(&places[0], path, by_xdg ? "XDG_CONFIG_HOME" : "HOME", false) ? 1 : 0;
    }
    count += add_place(&places[count], CLI_CONFIG_SYSTEM, "system", false) ? 1 : 0;
    return count;
}
