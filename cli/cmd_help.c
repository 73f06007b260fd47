/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "help.h"
#include "say.h"

#include "base/nearest.h"

#include <errno.h>
#include <string.h>

/* A program whose help cannot be written has failed. */
static int finish(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE) {
            cli_error("cannot write to stdout: %s", strerror(errno));
            return CLI_EXIT_FAILED;
        }
    }
    return CLI_EXIT_OK;
}

int cmd_help(const cli_args *args)
{
    const cli_command *command = NULL;
    const char *name = args->word_count > 0 ? args->words[0] : NULL;

    if (args->word_count > 1) {
        return cli_usage("help takes one command: pubsub help %s", name);
    }
    if (cli_flag(args, "list")) {
        for (const cli_command *row = cli_commands; row->name != NULL; row++) {
            printf("%s\n", row->name);
        }
        return finish();
    }
    if (name != NULL && strcmp(name, "pubsub") != 0) {
        command = cli_command_find(name);
        if (command == NULL) {
            return cli_usage("no command %s: `pubsub help` lists them", name);
        }
    }
    if (cli_flag(args, "man")) {
        cli_man_page(stdout, command);
    } else if (command != NULL) {
        cli_help_command(stdout, command);
    } else {
        cli_help_overview(stdout);
    }
    return finish();
}

int cmd_completion(const cli_args *args)
{
    if (args->word_count != 1) {
        return cli_usage("completion takes the name of a shell: bash, zsh or fish");
    }
    if (!cli_complete_script(stdout, args->words[0])) {
        return cli_usage("no completion for %s: give bash, zsh or fish", args->words[0]);
    }
    return finish();
}
