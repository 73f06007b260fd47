/* SPDX-License-Identifier: MIT */
#include "args.h"

#include <pubsub/version.h>

#include <stdio.h>

/* Text of others as roff: a dash is a minus, a dot or quote at a line's begin is no request. */
static void put(const char *text)
{
    bool begins = true;
    for (; *text != '\0'; text++) {
        if (begins && (*text == '.' || *text == '\'')) {
            printf("\\&");
        }
        if (*text == '-' || *text == '\\') {
            printf("%s", *text == '-' ? "\\-" : "\\e");
        } else {
            (void)putchar(*text);
        }
        begins = *text == '\n';
    }
}

static void put_option(void *ctx, char letter, const char *name, const char *arg, const char *help)
{
    (void)ctx;
    printf(".TP\n\\fB\\-%c\\fR, \\fB\\-\\-", letter);
    put(name);
    printf("\\fR");
    if (arg != NULL) {
        printf(" \\fI");
        put(arg);
        printf("\\fR");
    }
    printf("\n");
    put(help);
    printf("\n");
}

static void put_command(void *ctx, const bridge_command_text *command)
{
    (void)ctx;
    printf(".SS \"");
    put(command->name);
    printf(" ");
    put(command->words);
    printf("\"\n");
    put(command->summary);
    printf(".\n");
    if (command->text != NULL) {
        put(command->text);
        printf("\n");
    }
    bridge_args_options(command->command, put_option, NULL);
}

void bridge_manual(void)
{
    printf(".TH PUBSUB\\-BRIDGE 1 \"\" \"libpubsub %s\" \"User Commands\"\n", pubsub_version());
    printf(".SH NAME\npubsub\\-bridge \\- relay the events of connectors to any broker\n"
           ".SH SYNOPSIS\n.B pubsub\\-bridge\n.I COMMAND\n[\\fIOPTIONS\\fR]\n"
           ".SH DESCRIPTION\n"
           "Follows sources (a database's change feed, webhooks, another broker, a program) and "
           "publishes what\nhappens there. A position is stored only when the broker has confirmed "
           "everything before it.\n.SH COMMANDS\n");
    bridge_args_commands(put_command, NULL);
    printf(
        ".SH \"EXIT STATUS\"\n"
        "0 success; 1 a failure, or a route stopped for good; 2 wrong usage or a wrong file; 3 "
        "not reached;\n4 refused credentials; 6 not drained in time; 7 the broker cannot do what "
        "a route asks for; 8 a\ndamaged spool.\n"
        ".SH ENVIRONMENT\n.TP\n.B STATE_DIRECTORY\nwhere positions and spools are kept unless "
        "the file says\n"
        ".SH FILES\n.TP\n.I /etc/pubsub/bridge.yaml\nwhat the systemd unit runs\n"
        ".SH \"SEE ALSO\"\n.BR pubsub (1)\n");
}
