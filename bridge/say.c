/* SPDX-License-Identifier: MIT */
#include "say.h"

#include "base/buf.h"
#include "base/text.h"
#include "json/slice.h"

#include <pubsub/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 16384 };

static int say_level = PUBSUB_LOG_INFO;
static bool say_json;

void bridge_say_setup(int level, bool json)
{
    say_level = level;
    say_json = json;
}

int bridge_say_level(void)
{
    return say_level;
}

static void put(pubsub__buf *line)
{
    /* One write for a line, so that lines of several threads do not mix. */
    if (pubsub__buf_add_byte(line, '\n') == PUBSUB__BUF_OK) {
        (void)fwrite(line->data, 1, line->len, stderr);
    }
    pubsub__buf_fini(line);
}

static void add_time(pubsub__buf *line)
{
    struct timespec now;
    struct tm parts;
    char text[32];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &parts) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts) > 0) {
        (void)pubsub__buf_printf(line, "{\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
    }
}

static void add_field(pubsub__buf *line, const char *name, pubsub_bytes value)
{
    (void)pubsub__buf_printf(line, ",\"%s\":", name);
    (void)bridge_json_quote(value, line);
}

/* Text of others goes to a terminal: control characters are written out. */
static void add_plain(pubsub__buf *line, pubsub_bytes text)
{
    char shown[4096];
    (void)pubsub__buf_add_text(line,
                               pubsub__text_escape(shown, sizeof(shown), text.data, text.len));
}

static void say_bytes(int level, const char *name, pubsub_bytes about, const char *route,
                      pubsub_bytes text)
{
    pubsub__buf line;
    pubsub__buf_init(&line, LINE_MAX_BYTES);
    if (say_json) {
        add_time(&line);
        add_field(&line, "level", pubsub_bytes_of(pubsub_log_level_name((pubsub_log_level)level)));
        if (route != NULL) {
            add_field(&line, "route", pubsub_bytes_of(route));
        }
        if (about.len > 0) {
            add_field(&line, name, about);
        }
        add_field(&line, "text", text);
        (void)pubsub__buf_add_byte(&line, '}');
    } else {
        if (about.len == 0) {
            about = pubsub_bytes_of("pubsub-bridge");
        }
        add_plain(&line, about);
        (void)pubsub__buf_add_text(&line, ": ");
        add_plain(&line, text);
    }
    put(&line);
}

void bridge_say_model(int level, const char *route, pubsub_bytes model, pubsub_bytes text)
{
    if (level <= say_level) {
        say_bytes(level, "model", model, route, text);
    }
}

PUBSUB_PRINTF(3, 0)
static void say_args(int level, const char *about, const char *format, va_list args)
{
    char text[1024];
    (void)vsnprintf(text, sizeof(text), format, args);
    say_bytes(level, "about", pubsub_bytes_of(about), NULL, pubsub_bytes_of(text));
}

void bridge_say(int level, const char *about, const char *format, ...)
{
    va_list args;
    if (level > say_level) {
        return;
    }
    va_start(args, format);
    say_args(level, about, format, args);
    va_end(args);
}

void bridge_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_args(PUBSUB_LOG_ERROR, NULL, format, args);
    va_end(args);
}
