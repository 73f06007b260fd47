/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <pubsub/version.h>

#include <ctype.h>
#include <string.h>

#define MAN_DATE "November 21, 2026"

/* Text of a line: backslashes and dashes escaped. */
static void put_text(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\') {
            fputs("\\e", out);
        } else if (i == 0 && (text[i] == '.' || text[i] == '\'')) {
            fprintf(out, "\\&%c", text[i]);
        } else {
            fputc(text[i], out);
        }
    }
}

/* One sentence or clause per line is how mdoc wants its input. */
static void put_paragraphs(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        const char *stop = strstr(text, ". ");

        if (stop != NULL && (size_t)(stop - text) < len) {
            put_text(out, text, (size_t)(stop - text) + 1);
            fputc('\n', out);
            text = stop + 2;
            continue;
        }
        put_text(out, text, len);
        fputc('\n', out);
        text += len;
        if (strncmp(text, "\n\n", 2) == 0) {
            fputs(".Pp\n", out);
        }
        text += strspn(text, "\n");
    }
}

/* An argument of a macro: quoted, so that no word of it is taken for a macro. */
static void put_quoted(FILE *out, const char *text)
{
    fputs(" \"", out);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputs("\"\"", out);
        } else if (*text == '\\') {
            fputs("\\e", out);
        } else {
            fputc(*text, out);
        }
    }
    fputc('"', out);
}

static void put_option(FILE *out, const cli_command *command, const cli_option *row)
{
    char letter = cli_option_letter(command, row);
    char note[160];

    fputs(".It", out);
    if (letter != 0) {
        fprintf(out, " Fl %c ,", letter);
    }
    fprintf(out, " Fl \\-%s%s", (row->flags & CLI_NEGATABLE) != 0 ? "[no\\-]" : "", row->name);
    if (row->arg != NULL) {
        fputs((row->flags & CLI_OPTIONAL) != 0 ? " Ns = Ns Ar" : " Ar", out);
        put_quoted(out, row->arg);
    }
    fputc('\n', out);
    put_text(out, row->help, strlen(row->help));
    fputs(cli_option_default(row, note, sizeof(note))[0] != '\0' ? "\n" : ".\n", out);
    if (note[0] != '\0') {
        put_text(out, note + 1, strlen(note) - 1);
        fputs(".\n", out);
    }
}

static void put_table(FILE *out, const cli_command *command, const cli_option *rows)
{
    const char *heading = NULL;
    bool open = false;

    for (const cli_option *row = rows; row->name != NULL; row++) {
        if (row->heading != NULL) {
            heading = row->heading;
        }
        if ((row->flags & CLI_HIDDEN) != 0 ||
            (rows != command->options && cli_option_is_shadowed(command, row))) {
            continue;
        }
        if (heading != NULL || !open) {
            fprintf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", open ? ".El\n" : "",
                    heading != NULL ? heading : "Options");
            heading = NULL;
            open = true;
        }
        put_option(out, command, row);
    }
    if (open) {
        fputs(".El\n", out);
    }
}

static void put_literal(FILE *out, const char *text)
{
    fputs(".Bd -literal -offset 2n\n", out);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        put_text(out, text, len);
        fputc('\n', out);
        text += len;
        text += *text == '\n';
    }
    fputs(".Ed\n", out);
}

static void put_title(FILE *out, const char *command)
{
    char title[64] = "PUBSUB";

    if (command != NULL) {
        (void)snprintf(title, sizeof(title), "PUBSUB-%s", command);
    }
    for (char *at = title; *at != '\0'; at++) {
        *at = (char)toupper((unsigned char)*at);
    }
    fprintf(out, ".\\\" Generated from the table of commands.\n.Dd %s\n.Dt %s 1\n.Os pubsub %s\n",
            MAN_DATE, title, PUBSUB_VERSION_STRING);
}

static void put_exit_codes(FILE *out)
{
    fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds\n", out);
    for (const cli_exit_row *row = cli_exit_rows; row->meaning != NULL; row++) {
        fprintf(out, ".It %d\n%s.\n", row->code, row->meaning);
    }
    fputs(".El\n", out);
}

/* The next command in the order of the alphabet, NULL after the last. */
static const cli_command *next_name(const cli_command *after)
{
    const cli_command *best = NULL;

    for (const cli_command *row = cli_commands; row->name != NULL; row++) {
        if ((after == NULL || strcmp(row->name, after->name) > 0) &&
            (best == NULL || strcmp(row->name, best->name) < 0)) {
            best = row;
        }
    }
    return best;
}

static void put_see_also(FILE *out, const cli_command *command)
{
    const char *comma = "";

    fputs(".Sh SEE ALSO\n", out);
    if (command != NULL) {
        fputs(".Xr pubsub 1", out);
        comma = " ,\n";
    }
    for (const cli_command *row = next_name(NULL); row != NULL; row = next_name(row)) {
        if (row != command) {
            fprintf(out, "%s.Xr pubsub-%s 1", comma, row->name);
            comma = " ,\n";
        }
    }
    fputc('\n', out);
}

static void man_command(FILE *out, const cli_command *command)
{
    const char *synopsis = cli_command_synopsis(command);
    const char *description = cli_command_description(command);

    put_title(out, command->name);
    fprintf(out,
            ".Sh NAME\n.Nm pubsub-%s\n.Nd %s\n.Sh SYNOPSIS\n.Nm \"pubsub %s\"\n.Op Ar option ...\n",
            command->name, command->summary, command->name);
    if (synopsis[0] != '\0') {
        fputs(".Ar", out);
        put_quoted(out, synopsis);
        fputc('\n', out);
    }
    fputs(".Sh DESCRIPTION\n", out);
    if (description != NULL && description[0] != '\0') {
        put_paragraphs(out, description);
    } else {
        fprintf(out, "%s.\n", command->summary);
    }
    put_table(out, command, command->options);
    put_table(out, command, command->shared);
    if (command->shared == cli_broker_options) {
        fputs(".Ss Units\n", out);
        put_paragraphs(out, cli_help_units);
    }
    if (command->more != NULL) {
        fprintf(out, ".Sh %s\n", command->more_title);
        put_literal(out, command->more);
    }
    put_exit_codes(out);
    fputs(".Sh EXAMPLES\n", out);
    for (const cli_example *row = command->examples; row->line != NULL; row++) {
        put_text(out, row->what, strlen(row->what));
        fputs(":\n", out);
        put_literal(out, row->line);
    }
    put_see_also(out, command);
}

static void man_overview(FILE *out)
{
    put_title(out, NULL);
    fputs(".Sh NAME\n.Nm pubsub\n.Nd publish and subscribe on any broker\n.Sh SYNOPSIS\n"
          ".Nm\n.Op Ar option ...\n.Ar command\n.Op Ar option ...\n.Op Ar argument ...\n.Sh "
          "DESCRIPTION\n"
          ".Nm\npublishes and subscribes on any broker, or on this machine without one.\n"
          "Each command has a manual page of its own and a\n.Fl \\-help\noption.\n"
          "Options that all commands share, such as\n.Fl b ,\nmay also stand before it.\n"
          ".Bl -tag -width completion\n",
          out);
    for (const cli_command *row = cli_commands; row->name != NULL; row++) {
        fprintf(out, ".It Cm %s\n%s.\n", row->name, row->summary);
    }
    fputs(".El\n.Sh ENVIRONMENT\n.Bl -tag -width PUBSUB_PASSWORD_FILE\n"
          ".It Ev PUBSUB_BROKER\nbroker URL or profile, as\n.Fl b .\n"
          ".It Ev PUBSUB_PROFILE\nprofile of the configuration file.\n"
          ".It Ev PUBSUB_USER\nuser name.\n"
          ".It Ev PUBSUB_PASSWORD\npassword.\n"
          ".It Ev PUBSUB_PASSWORD_FILE\nfile whose first line is the password.\n"
          ".It Ev PUBSUB_CONFIG\nconfiguration file, as\n.Fl \\-config .\n"
          ".It Ev PUBSUB_BUS\ndirectory of the broker\n.Sq local: .\n"
          ".It Ev PUBSUB_ADAPTER_PATH\ndirectories with adapters in files of their own, between "
          "colons.\n"
          ".It Ev NO_COLOR\nno colors when set.\n.El\n"
          ".Sh FILES\n.Bl -tag -width Ds\n.It Pa ~/.config/pubsub/config , /etc/pubsub/config\n"
          "lines\n.Ql key = value ,\nprofiles as\n.Ql [profile NAME] ;\n"
          "keys are\n.Cm broker ,\n.Cm profile ,\n.Cm user ,\n.Cm password_file\n"
          "and the names of all options of the library.\n"
          "Flags win over the URL, the URL over the environment, the environment over a profile, a "
          "profile over the rest of the file.\nSee\n.Xr pubsub-config 1 .\n.El\n",
          out);
    put_exit_codes(out);
    fputs(".Sh EXAMPLES\n.Bd -literal -offset 2n\npubsub sub 'a/#'\npubsub pub a/b hello\n.Ed\n",
          out);
    put_see_also(out, NULL);
}

void cli_man_page(FILE *out, const cli_command *command)
{
    if (command == NULL) {
        man_overview(out);
    } else {
        man_command(out, command);
    }
}
