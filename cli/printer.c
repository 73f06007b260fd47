/* SPDX-License-Identifier: MIT */
#include "printer.h"

#include "base/when.h"
#include "codec.h"
#include "exit.h"
#include "jsonl.h"
#include "say.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

static int choose_format(cli_printer *printer, const char *text)
{
    char err[256];

    if (strcmp(text, "json") == 0 || strcmp(text, "jsonl") == 0) {
        printer->style = PRINTER_JSON;
    } else if (strcmp(text, "csv") == 0) {
        printer->style = PRINTER_CSV;
    } else {
        printer->format = cli_format_compile(text, err, sizeof(err));
        if (printer->format == NULL) {
            return cli_usage("wrong format: %s", err);
        }
        printer->style = PRINTER_FORMAT;
    }
    return CLI_EXIT_OK;
}

static int check(const cli_printer *printer, const cli_args *args)
{
    int styles = cli_given_any(args, "format") + cli_flag(args, "json") + cli_flag(args, "hex");
    bool record = printer->style == PRINTER_JSON || printer->style == PRINTER_CSV;

    if (styles > 1) {
        return cli_usage("-F, -j and -x each say how to print: give one");
    }
    if (record && (cli_flag(args, "null-delim") || cli_flag(args, "raw"))) {
        return cli_usage("JSON and CSV end each message with a newline: leave out -0 and -N");
    }
    if (cli_flag(args, "null-delim") && cli_flag(args, "raw")) {
        return cli_usage("-0 and -N both say what ends a message: give one");
    }
    return CLI_EXIT_OK;
}

static void choose_ends(cli_printer *printer, const cli_args *args)
{
    bool record = printer->style == PRINTER_JSON || printer->style == PRINTER_CSV;

    printer->terminator = '\n';
    printer->terminated = printer->style == PRINTER_BODY || printer->style == PRINTER_HEX;
    if (cli_flag(args, "raw")) {
        printer->terminated = false;
    }
    if (cli_flag(args, "null-delim")) {
        printer->terminator = '\0';
        printer->terminated = true;
    }
    if (record) {
        return;
    }
    printer->topic_first = cli_flag(args, "verbose") && printer->style != PRINTER_FORMAT;
    if (cli_given_any(args, "timestamps")) {
        printer->stamps =
            cli_text(args, "timestamps") == NULL ? 2 : (int)cli_int(args, "timestamps", 1) + 1;
    }
}

int cli_printer_init(cli_printer *printer, const cli_args *args, const char *broker)
{
    const char *format = cli_text(args, "format");
    int code = CLI_EXIT_OK;

    memset(printer, 0, sizeof(*printer));
    printer->broker = broker;
    printer->start_ns = pubsub__clock_wall_ns();
    if (format != NULL) {
        code = choose_format(printer, format);
    } else if (cli_flag(args, "json")) {
        printer->style = PRINTER_JSON;
    } else if (cli_flag(args, "hex")) {
        printer->style = PRINTER_HEX;
    }
    if (code == CLI_EXIT_OK) {
        code = check(printer, args);
    }
    choose_ends(printer, args);
    switch (printer->style) {
    case PRINTER_JSON:
        printer->needs = CLI_NEEDS_ALL;
        break;
    case PRINTER_CSV:
        printer->needs = CLI_NEEDS_KEY | CLI_NEEDS_META;
        break;
    case PRINTER_FORMAT:
        printer->needs = printer->format != NULL ? cli_format_needs(printer->format) : 0;
        break;
    default:
        break;
    }
    printer->needs |= printer->stamps != 0 ? CLI_NEEDS_RECV : 0;
    return code;
}

void cli_printer_fini(cli_printer *printer)
{
    cli_format_free(printer->format);
    printer->format = NULL;
}

static void fill_meta(cli_view *view, const pubsub_message *message)
{
    view->ts_ns = pubsub_message_timestamp_ns(message);
    view->expires_ns = pubsub_message_expires_ns(message);
    view->qos = (int)pubsub_message_qos(message);
    view->attempt = pubsub_message_attempt(message);
    view->retained = pubsub_message_is_retained(message);
    view->redelivered = pubsub_message_is_redelivered(message);
    view->tombstone = pubsub_message_is_tombstone(message);
}

void cli_view_fill(cli_view *view, const pubsub_message *message, unsigned needs,
                   pubsub_header *headers, char *position)
{
    view->topic = pubsub_message_topic(message);
    view->payload = pubsub_message_payload(message);
    view->position = "";
    if ((needs & CLI_NEEDS_KEY) != 0) {
        view->key = pubsub_message_key(message);
        view->has_key = pubsub_message_has_key(message);
    }
    if ((needs & CLI_NEEDS_PROPERTIES) != 0) {
        view->content_type = pubsub_message_content_type(message);
        view->reply_to = pubsub_message_reply_to(message);
        view->correlation = pubsub_message_correlation(message);
    }
    if ((needs & CLI_NEEDS_META) != 0) {
        fill_meta(view, message);
    }
    if ((needs & CLI_NEEDS_RECV) != 0) {
        view->recv_ns = pubsub__clock_wall_ns();
    }
    if ((needs & CLI_NEEDS_POSITION) != 0) {
        pubsub_position where = pubsub_message_position(message);

        position[0] = '\0';
        (void)pubsub_position_text(&where, position, PUBSUB_POSITION_TEXT_MAX);
        view->position = position;
    }
    if ((needs & CLI_NEEDS_HEADERS) != 0) {
        size_t count = pubsub_message_header_count(message);

        view->headers = headers;
        view->header_count = count < PUBSUB_HEADERS_MAX ? count : PUBSUB_HEADERS_MAX;
        for (size_t i = 0; i < view->header_count; i++) {
            headers[i] = pubsub_message_header(message, i);
        }
    }
}

static bool put_stamp(const cli_printer *printer, pubsub__buf *out, const cli_view *view)
{
    char text[64];
    uint64_t since = view->recv_ns > printer->start_ns ? view->recv_ns - printer->start_ns : 0;

    switch (printer->stamps) {
    case 0:
        return true;
    case 1:
        return pubsub__buf_printf(out, "%" PRIu64 ".%06" PRIu64 " ", since / 1000000000,
                                  since % 1000000000 / 1000) == PUBSUB__BUF_OK;
    case 2:
        return pubsub__buf_printf(out, "%s ",
                                  pubsub__when_iso(view->recv_ns, text, sizeof(text))) ==
               PUBSUB__BUF_OK;
    default:
        return pubsub__buf_printf(out, "%" PRIu64 " ", view->recv_ns) == PUBSUB__BUF_OK;
    }
}

static bool put_bytes(pubsub__buf *out, pubsub_bytes bytes)
{
    return bytes.len == 0 || pubsub__buf_add(out, bytes.data, bytes.len) == PUBSUB__BUF_OK;
}

bool cli_printer_add(const cli_printer *printer, pubsub__buf *out, const cli_view *view)
{
    bool ok = put_stamp(printer, out, view);

    if (ok && printer->topic_first) {
        ok = put_bytes(out, view->topic) && pubsub__buf_add_byte(out, ' ') == PUBSUB__BUF_OK;
    }
    switch (printer->style) {
    case PRINTER_JSON:
        return ok && cli_jsonl_add(out, view);
    case PRINTER_CSV:
        return ok && cli_csv_add(out, view);
    case PRINTER_FORMAT:
        ok = ok && cli_format_run(printer->format, out, view);
        break;
    case PRINTER_HEX:
        ok = ok && cli_hex_add(out, view->payload);
        break;
    default:
        ok = ok && put_bytes(out, view->payload);
        break;
    }
    if (ok && printer->terminated) {
        ok = pubsub__buf_add_byte(out, printer->terminator) == PUBSUB__BUF_OK;
    }
    return ok;
}
