/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_OPT_H
#define PUBSUB_CLI_OPT_H

/* The option engine. Rows describe options; parsing, help, manual pages and completion all read the
 * same rows. Values are asked for by the option's long name; a name that is in no table is a bug
 * and aborts. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_kind {
    CLI_FLAG = 0, /* no value; --no-NAME too when CLI_NEGATABLE */
    CLI_TEXT,     /* any text */
    CLI_LIST,     /* text, may be repeated */
    CLI_INT,      /* whole number in min..max */
    CLI_DURATION, /* milliseconds: 250ms 5s 2m 1h, bare number = milliseconds; -1/forever if min < 0 */
    CLI_SIZE,     /* bytes: 512 64k 8M */
    CLI_CHOICE, /* one of `choices`, "a|b|c" */
} cli_kind;

enum {
    CLI_NEGATABLE = 1u << 0, /* --no-NAME is accepted */
    CLI_OPTIONAL = 1u << 1,  /* --NAME and --NAME=VALUE; never takes the next word */
    CLI_HIDDEN = 1u << 2,    /* accepted, but not shown */
    CLI_FILE = 1u << 3,      /* the value is a file name (for completion) */
    CLI_DIR = 1u << 4,       /* the value is a directory */
};

typedef struct cli_option {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* 0 = none */
    cli_kind kind;
    unsigned flags;       /* CLI_* bits */
    const char *arg;      /* placeholder of the value: "N", "FILE"; NULL for flags */
    const char *def;      /* default as a user would write it, also parsed; NULL = none */
    const char *def_note; /* shown instead of def: "unlimited" */
    const char *choices;  /* CLI_CHOICE: "a|b|c" */
    int64_t min;          /* CLI_INT, CLI_DURATION, CLI_SIZE */
    int64_t max;          /* 0 = no upper bound */
    const char *heading;  /* starts a new part of the help; NULL = goes on */
    const char *alias;    /* further long names, "a|b"; NULL = none */
    const char *help;     /* one or two lines without final stop; says the unit */
} cli_option;

/* One option as it was given. */
typedef struct cli_given {
    const cli_option *option;
    const char *text; /* the value, NULL for flags and for optional values left out */
    int64_t number;   /* flags: 1, or 0 for --no-NAME; numbers; CLI_CHOICE: index of the choice */
} cli_given;

typedef struct cli_args {
    const struct cli_command *command;
    const cli_option *tables[3]; /* own rows first, then shared ones; NULL-filled */
    cli_given *given;            /* in the order of the command line */
    size_t given_count;
    const char **words; /* what is no option */
    size_t word_count;
    bool help; /* -h or --help was given: nothing else was checked */
} cli_args;

/* Room for a message about what is wrong. */
typedef struct cli_usage_error {
    char text[512];
} cli_usage_error;

/* Parse argv[0..argc). own and shared are tables ended by a row without name, either may be NULL.
 * Strings are borrowed. False when something is wrong, with the reason in *err; cli_args_fini is
 * fine in both cases. */
bool cli_args_parse(cli_args *args, const cli_option *own, const cli_option *shared, int argc,
                    char **argv, cli_usage_error *err);
void cli_args_fini(cli_args *args);
/* The same up to the first word that is no option; *used is how many words were read. Nothing is read
 * behind --help, --version and -V, which are no options here. */
bool cli_args_parse_leading(cli_args *args, const cli_option *options, int argc, char **argv,
                            int *used, cli_usage_error *err);

/* Whether the option was given at all. */
bool cli_given_any(const cli_args *args, const char *name);
/* The last value given, else the row's default, else NULL. */
const char *cli_text(const cli_args *args, const char *name);
/* The last number given, else the row's default, else `otherwise`. */
int64_t cli_int(const cli_args *args, const char *name, int64_t otherwise);
/* Whether a flag is on: the last --NAME or --no-NAME counts; without one the default "yes" or off. */
bool cli_flag(const cli_args *args, const char *name);
/* How often it was given. */
size_t cli_count(const cli_args *args, const char *name);
/* The index-th value of an option given several times, NULL past the end. */
const char *cli_at(const cli_args *args, const char *name, size_t index);

/* A row by its long name (or alias) or letter, in args' tables; NULL when there is none. */
const cli_option *cli_option_find(const cli_option *const *tables, const char *name, size_t len);

#endif
