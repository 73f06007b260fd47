/* SPDX-License-Identifier: MIT */
#include "setup_internal.h"

#include "exit.h"
#include "say.h"

#include "base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *setup_env(const char *name)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? text : NULL;
}

int cli_setup_config(const cli_args *args, cli_config *config, char **path)
{
    const char *given = cli_text(args, "config");
    cli_config_place places[CLI_CONFIG_PLACES_MAX];
    size_t count = cli_config_places(given, places);
    char err[1024];

    memset(config, 0, sizeof(*config));
    *path = NULL;
    if (given != NULL && count == 0) {
        return cli_usage("--config: give the name of a file");
    }
    for (size_t i = 0; i < count; i++) {
        if (!places[i].exists && !places[i].required) {
            continue;
        }
        *path = pubsub__strdup(places[i].path);
        if (*path == NULL) {
            return setup_out_of_memory();
        }
        if (cli_config_read(config, places[i].path, err, sizeof(err))) {
            return CLI_EXIT_OK;
        }
        return places[i].required ? cli_usage("%s: %s", places[i].why, err) : cli_usage("%s", err);
    }
    return CLI_EXIT_OK;
}

void cli_setup_config_fini(cli_config *config, char *path)
{
    cli_config_fini(config);
    pubsub__free(path);
}

int setup_read_config(setup_sources *from)
{
    return cli_setup_config(from->args, &from->config, &from->setup->config_path);
}

/* ~/ is the home; what is relative stands beside the file, wherever the command runs. */
static bool resolve_path(const char *config_path, const char *path, char *out, size_t size)
{
    const char *home = getenv("HOME");
    const char *slash = strrchr(config_path, '/');
    int len;

    if (strncmp(path, "~/", 2) == 0 && home != NULL) {
        len = snprintf(out, size, "%s/%s", home, path + 2);
    } else if (path[0] == '/' || path[0] == '\0' || slash == NULL) {
        len = snprintf(out, size, "%s", path);
    } else {
        len = snprintf(out, size, "%.*s/%s", (int)(slash - config_path), config_path, path);
    }
    return len >= 0 && (size_t)len < size;
}

static bool is_path(const char *key)
{
    static const char *const keys[] = {"password_file", "tls_ca", "tls_cert", "tls_key", "socket"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A password that others can read in the file is told, as ssh and others do. */
static void warn_readable(const setup_sources *from, const cli_config_entry *entry)
{
    struct stat info;

    if (strcmp(entry->key, "password") == 0 && stat(from->setup->config_path, &info) == 0 &&
        S_ISREG(info.st_mode) && (info.st_mode & (S_IRGRP | S_IROTH)) != 0) {
        cli_warn("%s:%zu holds a password that other users can read: chmod 600, or use "
                 "password_file",
                 from->setup->config_path, entry->line);
    }
}

static int apply_entry(setup_sources *from, const cli_config_entry *entry)
{
    const char *value = entry->value;
    char path[PATH_MAX];
    cli_origin origin =
        cli_origin_line(entry->profile[0] != '\0' ? CLI_ORIGIN_PROFILE : CLI_ORIGIN_FILE,
                        from->setup->config_path, entry->line);

    if (strcmp(entry->key, "profile") == 0 && entry->profile[0] != '\0') {
        return cli_usage("%s: profile names the default profile and stands before the first part",
                         origin.detail);
    }
    if (strcmp(entry->key, "broker") == 0 || strcmp(entry->key, "profile") == 0) {
        return CLI_EXIT_OK;
    }
    if (is_path(entry->key)) {
        if (!resolve_path(from->setup->config_path, value, path, sizeof(path))) {
            return cli_usage("%s: the path is too long", origin.detail);
        }
        value = path;
    }
    warn_readable(from, entry);
    return strcmp(entry->key, "password_file") == 0 ? setup_put_password_file(from, value, &origin)
                                                    : setup_put(from, entry->key, value, &origin);
}

/* The options of one part of the file, "" being what holds for all. */
static int apply_part(setup_sources *from, const char *part)
{
    int code = CLI_EXIT_OK;

    for (size_t i = 0; i < from->config.count && code == CLI_EXIT_OK; i++) {
        const cli_config_entry *entry = &from->config.entries[i];

        if (strcmp(entry->profile, part) == 0 && entry->key[0] != '\0') {
            code = apply_entry(from, entry);
        }
    }
    return code;
}

int setup_apply_file(setup_sources *from)
{
    int code = apply_part(from, "");

    return code == CLI_EXIT_OK && from->setup->profile != NULL
               ? apply_part(from, from->setup->profile)
               : code;
}

int setup_apply_env(setup_sources *from)
{
    const char *user = setup_env("PUBSUB_USER");
    const char *password = setup_env("PUBSUB_PASSWORD");
    const char *file = setup_env("PUBSUB_PASSWORD_FILE");
    cli_origin origin = cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_USER");
    int code = user != NULL ? setup_put_user(from, user, &origin) : CLI_EXIT_OK;

    if (code == CLI_EXIT_OK && password != NULL) {
        origin = cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_PASSWORD");
        code = setup_put_password(from, password, &origin);
    } else if (code == CLI_EXIT_OK && file != NULL) {
        origin = cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_PASSWORD_FILE");
        code = setup_put_password_file(from, file, &origin);
    }
    return code;
}
