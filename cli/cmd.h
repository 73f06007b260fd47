/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_CMD_H
#define PUBSUB_CLI_CMD_H

/* The commands. One table (commands.c) feeds parsing, --help, manual pages and completion. */

#include "exit.h"
#include "opt.h"

typedef struct cli_example {
    const char *line; /* what to type; NULL ends the list */
    const char *what; /* one line */
} cli_example;

typedef struct cli_command {
    const char *name;        /* NULL ends the table */
    const char *synopsis;    /* "TOPIC [BODY]" */
    const char *summary;     /* one line without final stop */
    const char *description; /* paragraphs separated by an empty line; may be NULL */
    const cli_option *options;
    const cli_option *shared; /* cli_broker_options, cli_plain_options */
    const cli_example *examples;
    int (*run)(const cli_args *args); /* returns an exit code */
    const char *more_title;           /* a further part of the help, NULL = none */
    const char *more;                 /* its text: lines that are shown as they are */
    const char *words;                /* what the first argument may be, "a|b"; NULL = anything */
} cli_command;

extern const cli_command cli_commands[];
extern const cli_option cli_broker_options[]; /* for commands that talk to a broker */
extern const cli_option cli_plain_options[];  /* for the others */

const cli_command *cli_command_find(const char *name);
/* The row's text, or bench's own. */
const char *cli_command_synopsis(const cli_command *command);
const char *cli_command_description(const cli_command *command);
/* Whether it is a row of the command's table that gives the option its meaning there. */
bool cli_option_is_shadowed(const cli_command *command, const cli_option *row);

int cmd_pub(const cli_args *args);
int cmd_sub(const cli_args *args);
int cmd_request(const cli_args *args);
int cmd_reply(const cli_args *args);
int cmd_caps(const cli_args *args);
int cmd_config(const cli_args *args);
int cmd_version(const cli_args *args);
int cmd_help(const cli_args *args);
int cmd_completion(const cli_args *args);

/* request and reply bring their own rows and texts. */
extern const cli_option cli_request_options[];
extern const cli_example cli_request_examples[];
extern const char *const cli_request_description;
extern const cli_option cli_reply_options[];
extern const cli_example cli_reply_examples[];
extern const char *const cli_reply_description;

/* bench brings its own rows and texts. */
int cmd_bench(const cli_args *args);
extern const cli_option cli_bench_options[];
extern const cli_example cli_bench_examples[];
extern const char *const cli_bench_synopsis;
extern const char *const cli_bench_description;

#endif
