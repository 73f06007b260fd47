/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "help.h"
#include "say.h"
#include "signals.h"

#include "base/nearest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int fail_unknown_command(const char *word)
{
    pubsub__nearest nearest;
    const char *best;

    pubsub__nearest_init(&nearest, word);
    for (const cli_command *row = cli_commands; row->name != NULL; row++) {
        pubsub__nearest_offer(&nearest, row->name);
    }
    best = pubsub__nearest_result(&nearest);
    if (word[0] == '-') {
        return cli_usage("unknown option %s: options come after the command, see pubsub --help",
                         word);
    }
    if (best != NULL) {
        return cli_usage("no command %s: did you mean %s?", word, best);
    }
    return cli_usage("no command %s: `pubsub --help` lists them", word);
}

static void setup_say(const cli_args *args)
{
    int verbosity = 0;

    if (args->command->shared == cli_broker_options) {
        verbosity = cli_flag(args, "verbose") ? 1 : 0;
        verbosity = cli_given_any(args, "debug") ? 2 : verbosity;
    }
    if (cli_flag(args, "quiet")) {
        verbosity = -1;
    }
    cli_say_setup(verbosity, (cli_color)cli_int(args, "color", CLI_COLOR_AUTO));
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_usage_error err;
    cli_args args;
    int code;

    if (!cli_args_parse(&args, command->options, command->shared, argc, argv, &err)) {
        code = cli_usage("%s", err.text);
        goto out;
    }
    args.command = command;
    if (args.help || cli_flag(&args, "help")) {
        cli_help_command(stdout, command);
        code = fflush(stdout) == 0 || errno == EPIPE ? CLI_EXIT_OK : CLI_EXIT_FAILED;
        goto out;
    }
    setup_say(&args);
    code = command->run(&args);
out:
    cli_args_fini(&args);
    return code;
}

/* A program that was started with a closed stdin, stdout or stderr must not get a log file or a socket
 * there. What is opened instead cannot be used in that direction, so that reading and writing fail. */
static void fill_closed(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv)
{
    static char *no_words[] = {NULL};
    const cli_command *command;
    const char *word = argc > 1 ? argv[1] : NULL;

    fill_closed();
    cli_say_setup(0, CLI_COLOR_AUTO);
    if (!cli_signals_install()) {
        cli_error("cannot set up signals: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    if (word == NULL) {
        cli_help_overview(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return run(cli_command_find("help"), 0, no_words);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        return run(cli_command_find("version"), 0, no_words);
    }
    command = cli_command_find(word);
    if (command == NULL) {
        return fail_unknown_command(word);
    }
    return run(command, argc - 2, argv + 2);
}
