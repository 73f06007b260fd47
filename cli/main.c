/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "help.h"
#include "mask.h"
#include "say.h"
#include "signals.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/text.h"

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

/* An option given before the command, as a word behind it: "--name=value", so that it keeps its
 * meaning where the command has another use for the letter. */
static char *as_word(const cli_given *given)
{
    const char *no = given->option->kind == CLI_FLAG && given->number == 0 ? "no-" : "";
    const char *value = given->text != NULL ? given->text : "";
    size_t size = strlen(given->option->name) + strlen(value) + sizeof("--no-=");
    char *word = pubsub__alloc(size);

    if (word != NULL) {
        (void)snprintf(word, size, "--%s%s%s%s", no, given->option->name,
                       given->text != NULL ? "=" : "", value);
    }
    return word;
}

/* `pubsub -b URL pub t m` is `pubsub pub -b URL t m`. What a command has no use for, as version has
 * none for a broker, is left out: it stands there for whatever command follows. */
static int run_with(const cli_command *command, const cli_args *leading, int argc, char **argv)
{
    size_t room = leading->given_count + (size_t)argc + 1;
    char **words = pubsub__calloc(room, sizeof(*words));
    const cli_option *tables[] = {command->options, command->shared, NULL};
    size_t own = 0;
    int code = CLI_EXIT_FAILED;

    for (size_t i = 0; words != NULL && i < leading->given_count; i++) {
        const char *name = leading->given[i].option->name;

        if (cli_option_find(tables, name, strlen(name)) == NULL) {
            continue;
        }
        words[own] = as_word(&leading->given[i]);
        if (words[own] == NULL) {
            goto out;
        }
        own++;
    }
    if (words != NULL) {
        memcpy(words + own, argv, (size_t)argc * sizeof(*words));
        code = run(command, (int)own + argc, words);
    }
out:
    for (size_t i = 0; words != NULL && i < own; i++) {
        pubsub__wipe(words[i], strlen(words[i]));
        pubsub__free(words[i]);
    }
    pubsub__free(words);
    return code;
}

static int dispatch(const cli_args *leading, int argc, char **argv)
{
    const char *word = argc > 0 ? argv[0] : NULL;
    const cli_command *command;

    if (word == NULL) {
        cli_help_overview(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return run_with(cli_command_find("help"), leading, 0, argv);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        return run_with(cli_command_find("version"), leading, 0, argv);
    }
    command = cli_command_find(word);
    return command != NULL ? run_with(command, leading, argc - 1, argv + 1)
                           : fail_unknown_command(word);
}

int main(int argc, char **argv)
{
    char **words = cli_words_copy(argc, argv);
    int count = argc > 0 ? argc - 1 : 0;
    cli_usage_error err;
    cli_args leading;
    int used = 0;
    int code;

    cli_mask_words(argc, argv);
    fill_closed();
    cli_say_setup(0, CLI_COLOR_AUTO);
    if (words == NULL) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    if (!cli_signals_install()) {
        cli_error("cannot set up signals: %s", strerror(errno));
        cli_words_free(words);
        return CLI_EXIT_FAILED;
    }
    if (cli_args_parse_leading(&leading, cli_broker_options, count, words + (argc - count), &used,
                               &err)) {
        code = dispatch(&leading, count - used, words + (argc - count) + used);
    } else {
        code =
            cli_usage("%s: before the command stand only options that all commands share, those of "
                      "one command behind it",
                      err.text);
    }
    cli_args_fini(&leading);
    cli_words_free(words);
    return code;
}
