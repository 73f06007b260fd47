/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_CONFIG_H
#define PUBSUB_CLI_CONFIG_H

/* The configuration file: lines `key = value`, `# comments`, and parts `[profile NAME]`. What
 * stands before the first part holds for every profile. Values are taken as they are, without
 * quotes. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CLI_CONFIG_BYTES_MAX ((size_t)1024 * 1024)

typedef struct cli_config_entry {
    const char *profile; /* "" = before the first part */
    const char *key;
    const char *value;
    size_t line;
} cli_config_entry;

typedef struct cli_config {
    char *text; /* the file; entries point into it */
    size_t size;
    cli_config_entry *entries;
    size_t count;
} cli_config;

/* Read a file. False with the reason, file and line in err. */
bool cli_config_read(cli_config *config, const char *path, char *err, size_t err_size);
/* The same from text, NUL-terminated; name is for messages. */
bool cli_config_parse(cli_config *config, const char *text, const char *name, char *err,
                      size_t err_size);
void cli_config_fini(cli_config *config); /* also of a zeroed one */

/* The value of a key in a part; the last one counts; NULL when there is none. */
const char *cli_config_get(const cli_config *config, const char *profile, const char *key);
const cli_config_entry *cli_config_find(const cli_config *config, const char *profile,
                                        const char *key);
bool cli_config_has_profile(const cli_config *config, const char *profile);

/* A place where the configuration file may be. */
typedef struct cli_config_place {
    char path[PATH_MAX];
    const char *why; /* "--config", "PUBSUB_CONFIG", "XDG_CONFIG_HOME", "HOME", "system" */
    bool required;   /* somebody named this very file: it is an error when it is not there */
    bool exists;
} cli_config_place;

#define CLI_CONFIG_PLACES_MAX 2
#define CLI_CONFIG_SYSTEM "/etc/pubsub/config"

/* Where to look, the first that exists is the one. given is --config or NULL. Returns the count. */
size_t cli_config_places(const char *given, cli_config_place places[CLI_CONFIG_PLACES_MAX]);

/* Where the user's file is when nobody says: $XDG_CONFIG_HOME/pubsub/config or ~/.config/pubsub/config.
 * False when there is no home. */
bool cli_config_default_path(char *out, size_t size);

#endif
