/* SPDX-License-Identifier: MIT */
#include "say.h"

#include "exit.h"
#include "mask.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int say_verbosity;
static bool say_colored;

static bool want_color(cli_color color)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    switch (color) {
    case CLI_COLOR_ALWAYS:
        return true;
    case CLI_COLOR_NEVER:
        return false;
    default:
        break;
    }
    if (no_color != NULL && no_color[0] != '\0') {
        return false;
    }
    return isatty(STDERR_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0;
}

void cli_say_setup(int verbosity, cli_color color)
{
    say_verbosity = verbosity;
    say_colored = want_color(color);
}

int cli_say_verbosity(void)
{
    return say_verbosity;
}

/* One write per line, so that lines of several processes do not mix. */
static void say(const char *paint, const char *format, va_list args) PUBSUB_PRINTF(2, 0);
static void say(const char *paint, const char *format, va_list args)
{
    char text[2048];
    char line[2200];
    int len;

    (void)vsnprintf(text, sizeof(text), format, args);
    pubsub__text_oneline(text);
    cli_mask_text(text);
    if (say_colored) {
        len = snprintf(line, sizeof(line), "\033[%smpubsub:\033[0m %s\n", paint, text);
    } else {
        len = snprintf(line, sizeof(line), "pubsub: %s\n", text);
    }
    if (len > 0) {
        ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);

        (void)ignored;
    }
}

void cli_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("1;31", format, args);
    va_end(args);
}

void cli_warn(const char *format, ...)
{
    va_list args;

    if (say_verbosity < 0) {
        return;
    }
    va_start(args, format);
    say("1;33", format, args);
    va_end(args);
}

void cli_verbose(const char *format, ...)
{
    va_list args;

    if (say_verbosity < 1) {
        return;
    }
    va_start(args, format);
    say("1;32", format, args);
    va_end(args);
}

int cli_usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("1;31", format, args);
    va_end(args);
    return CLI_EXIT_USAGE;
}
