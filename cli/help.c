/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <string.h>

enum {
    HELP_COLUMN = 30,
    HELP_WIDTH = 96,
};

static const char help_environment[] =
    "  PUBSUB_BROKER    broker URL or profile, as -b\n"
    "  PUBSUB_PROFILE   profile of the configuration file, as --profile\n"
    "  PUBSUB_USER      user name, as --user\n"
    "  PUBSUB_PASSWORD  password; or PUBSUB_PASSWORD_FILE, a file that holds it\n"
    "  PUBSUB_CONFIG    configuration file, as --config\n"
    "  PUBSUB_BUS       directory of local:\n"
    "  NO_COLOR         no colors when set\n";

const char cli_help_units[] =
    "A duration D is written 250ms, 5s, 2m, 1h or 1d, without a unit it is milliseconds; "
    "a SIZE is written 512, 64k or 8M, in bytes. `pubsub --help` lists the exit codes.";

/* Words of text from column on, wrapped; the cursor already stands at column. */
static void put_wrapped(FILE *out, const char *text, int column)
{
    int at = column;
    bool first = true;

    while (*text != '\0') {
        int len = (int)strcspn(text, " \n");

        if (text[0] == '\n') {
            fprintf(out, "\n%*s", column, "");
            at = column;
            first = true;
            text++;
            continue;
        }
        if (!first && at + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
            first = true;
        }
        at += fprintf(out, "%s%.*s", first ? "" : " ", len, text);
        first = false;
        text += len;
        text += *text == ' ';
    }
    fputc('\n', out);
}

const char *cli_option_default(const cli_option *row, char *buf, size_t size)
{
    const char *text = row->def_note != NULL ? row->def_note : row->def;

    buf[0] = '\0';
    if (text != NULL && (row->kind != CLI_FLAG || (row->flags & CLI_NEGATABLE) != 0)) {
        (void)snprintf(buf, size, " (default %s)", text);
    }
    return buf;
}

char cli_option_letter(const cli_command *command, const cli_option *row)
{
    if (row->letter == 0) {
        return 0;
    }
    for (const cli_option *own = command->options; own->name != NULL; own++) {
        if (own == row) {
            return row->letter;
        }
        if (own->letter == row->letter) {
            return 0;
        }
    }
    return row->letter;
}

static void put_option(FILE *out, const cli_command *command, const cli_option *row)
{
    char left[128];
    char note[160];
    char letter = cli_option_letter(command, row);
    char text[640];
    int len;

    len = snprintf(left, sizeof(left), "  %c%c%s --%s%s", letter != 0 ? '-' : ' ',
                   letter != 0 ? letter : ' ', letter != 0 ? "," : " ",
                   (row->flags & CLI_NEGATABLE) != 0 ? "[no-]" : "", row->name);
    if (row->arg != NULL && len > 0 && (size_t)len < sizeof(left)) {
        (void)snprintf(left + len, sizeof(left) - (size_t)len,
                       (row->flags & CLI_OPTIONAL) != 0 ? "[=%s]" : " %s", row->arg);
    }
    len = fprintf(out, "%s", left);
    if (len + 2 > HELP_COLUMN) {
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    } else {
        fprintf(out, "%*s", HELP_COLUMN - len, "");
    }
    (void)snprintf(text, sizeof(text), "%s%s", row->help,
                   cli_option_default(row, note, sizeof(note)));
    put_wrapped(out, text, HELP_COLUMN);
}

static void put_table(FILE *out, const cli_command *command, const cli_option *rows)
{
    const char *heading = NULL;

    for (const cli_option *row = rows; row->name != NULL; row++) {
        if (row->heading != NULL) {
            heading = row->heading;
        }
        if ((row->flags & CLI_HIDDEN) != 0 ||
            (rows != command->options && cli_option_is_shadowed(command, row))) {
            continue;
        }
        if (heading != NULL) {
            fprintf(out, "\n%s:\n", heading);
            heading = NULL;
        }
        put_option(out, command, row);
    }
}

static void put_indented(FILE *out, const char *lines)
{
    while (*lines != '\0') {
        int len = (int)strcspn(lines, "\n");

        fprintf(out, "  %.*s\n", len, lines);
        lines += len;
        lines += *lines == '\n';
    }
}

void cli_help_command(FILE *out, const cli_command *command)
{
    const char *synopsis = cli_command_synopsis(command);
    const char *description = cli_command_description(command);

    fprintf(out, "Usage: pubsub %s [OPTION]...%s%s\n\n", command->name,
            synopsis[0] != '\0' ? " " : "", synopsis);
    if (description != NULL && description[0] != '\0') {
        put_wrapped(out, description, 0);
    } else {
        fprintf(out, "pubsub %s: %s\n", command->name, command->summary);
    }
    put_table(out, command, command->options);
    put_table(out, command, command->shared);
    if (command->shared == cli_broker_options) {
        fputc('\n', out);
        put_wrapped(out, cli_help_units, 0);
    }
    if (command->more != NULL) {
        fprintf(out, "\n%s\n", command->more_title);
        put_indented(out, command->more);
    }
    if (command->examples != NULL && command->examples[0].line != NULL) {
        fprintf(out, "\nEXAMPLES\n");
        for (const cli_example *row = command->examples; row->line != NULL; row++) {
            fprintf(out, "  # %s\n  %s\n", row->what, row->line);
        }
    }
}

void cli_help_overview(FILE *out)
{
    fprintf(out, "Usage: pubsub [OPTION]... COMMAND [OPTION]... [ARGUMENT]...\n\n"
                 "Publish and subscribe on any broker, or on this machine without one.\n\n"
                 "Commands:\n");
    for (const cli_command *row = cli_commands; row->name != NULL; row++) {
        fprintf(out, "  %-12s %s\n", row->name, row->summary);
    }
    fprintf(out,
            "\n`pubsub COMMAND --help` shows the options of a command. Those that "
            "all\ncommands share, such as -b, may also stand before it.\n\nEnvironment:\n%s",
            help_environment);
    fprintf(out, "\nExit codes:\n");
    for (const cli_exit_row *row = cli_exit_rows; row->meaning != NULL; row++) {
        fprintf(out, "  %3d  %s\n", row->code, row->meaning);
    }
    fprintf(out, "\nEXAMPLES\n"
                 "  # in one terminal\n  pubsub sub 'a/#'\n"
                 "  # in another\n  pubsub pub a/b hello\n"
                 "  # the same through a broker\n"
                 "  pubsub pub -b mqtt://localhost a/b hello\n");
}
