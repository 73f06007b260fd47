/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_ORIGIN_H
#define PUBSUB_CLI_ORIGIN_H

/* Where the value of a setting comes from. */

#include <stdbool.h>
#include <stddef.h>

typedef enum cli_origin_kind {
    CLI_ORIGIN_DEFAULT = 0,
    CLI_ORIGIN_FILE,    /* what holds for every profile; detail is FILE:LINE */
    CLI_ORIGIN_PROFILE, /* detail is FILE:LINE */
    CLI_ORIGIN_ENV,     /* detail is the name of the variable */
    CLI_ORIGIN_URL,     /* detail is "" */
    CLI_ORIGIN_FLAG,    /* detail is "--user" */
} cli_origin_kind;

typedef struct cli_origin {
    cli_origin_kind kind;
    char detail[512]; /* a path that does not fit is cut */
} cli_origin;

/* Names and their origins. A zeroed one is empty. */
typedef struct cli_origins {
    struct cli_origin_item *items;
    size_t count;
    size_t capacity;
} cli_origins;

cli_origin cli_origin_make(cli_origin_kind kind, const char *detail);
cli_origin cli_origin_line(cli_origin_kind kind, const char *path, size_t line);
/* "default", "file", "profile", "environment", "URL", "flag". */
const char *cli_origin_name(cli_origin_kind kind);

/* Replaces what is known of the name. False = out of memory. */
bool cli_origins_set(cli_origins *origins, const char *name, const cli_origin *origin);
/* The origin of a name; CLI_ORIGIN_DEFAULT when nobody set it. Never NULL. */
const cli_origin *cli_origins_get(const cli_origins *origins, const char *name);
void cli_origins_fini(cli_origins *origins);

#endif
