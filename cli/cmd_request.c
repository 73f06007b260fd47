/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"
#include "message_flags.h"
#include "output.h"
#include "printer.h"
#include "say.h"
#include "signals.h"

#include <pubsub/request.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* `request`: one message, and the answer to it on stdout. */

const char *const cli_request_description =
    "Publishes a request to TOPIC and prints the first answer, by default its body and a newline. "
    "The body is a word or -m, or, without one, what a pipe or file on stdin brings; without "
    "either "
    "it is empty.\n\n"
    "Exit code 6 means that no answer came within --timeout, or that the broker said that nobody "
    "receives such requests; stderr says which. An answer that carries the header pubsub-error, as "
    "pubsub reply --exec sends when its command fails, is printed, too, and gives exit code 1.";

const cli_option cli_request_options[] = {
    {.name = "topic",
     .letter = 't',
     .kind = CLI_TEXT,
     .arg = "TOPIC",
     .heading = "Message",
     .help = "where to ask; the first word when not given"},
    {.name = "message",
     .letter = 'm',
     .kind = CLI_TEXT,
     .arg = "BODY",
     .help = "the body; the word after the topic when not given"},
    {.name = "file",
     .letter = 'f',
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "the file is the body; - is stdin"},
    {.name = "null", .letter = 'n', .help = "no body, and stdin is not read"},
    {.name = "key", .letter = 'k', .kind = CLI_TEXT, .arg = "KEY", .help = "key of the request"},
    {.name = "header",
     .letter = 'H',
     .kind = CLI_LIST,
     .arg = "'NAME: VALUE'",
     .help = "header, also NAME=VALUE; may be repeated, order is kept"},
    {.name = "content-type", .kind = CLI_TEXT, .arg = "TYPE", .help = "media type of the body"},
    {.name = "qos",
     .letter = 'Q',
     .kind = CLI_CHOICE,
     .arg = "0|1|2",
     .choices = "0|1|2",
     .def_note = "the stronger of 1 and 0 that the broker has",
     .help = "0 at most once, 1 at least once, 2 exactly once"},

    {.name = "timeout",
     .letter = 'W',
     .alias = "wait",
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "5s",
     .min = -1,
     .heading = "End",
     .help = "how long to wait for the answer, connecting included"},

    {.name = "format",
     .letter = 'F',
     .kind = CLI_TEXT,
     .arg = "FORMAT",
     .def_note = "%v\\n",
     .heading = "Output",
     .help = "how to print the answer, see pubsub help sub; or one of json, jsonl, csv"},
    {.name = "json", .letter = 'j', .help = "as one JSON object"},
    {.name = "hex", .letter = 'x', .help = "the body in hexadecimal"},
    {.name = "raw",
     .letter = 'N',
     .alias = "no-newline",
     .help = "the body exactly as it came, without a newline"},
    {.name = "null-delim", .letter = '0', .help = "end it with a NUL byte"},
    {.name = "verbose",
     .letter = 'v',
     .help = "the answer's topic before the body; say on stderr what happens"},
    {.name = "timestamps",
     .kind = CLI_CHOICE,
     .flags = CLI_OPTIONAL,
     .arg = "rel|iso|ns",
     .choices = "rel|iso|ns",
     .def_note = "off; iso without a value",
     .help = "time of arrival first: seconds since the start, ISO 8601, nanoseconds since 1970"},
    {.name = NULL},
};

const cli_example cli_request_examples[] = {
    {"pubsub request time/now", "ask, and print the answer"},
    {"pubsub request -j -W 500ms prices '{\"item\":7}'",
     "half a second, the answer with all of it"},
    {"gzip -c big | pubsub request -N -b mqtt://localhost unzip > big", "any bytes, both ways"},
    {NULL, NULL},
};

typedef struct request_run {
    const cli_args *args;
    cli_setup setup;
    cli_events events;
    pubsub_client *client;
    cli_body body;
    cli_printer printer;
    cli_output out;
    pubsub_publication pub;
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    bool over;
    int code;
} request_run;

static void on_event(void *ctx, const pubsub_event *event)
{
    request_run *run = ctx;

    cli_events_tell(&run->events, event);
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void print(request_run *run, const pubsub_message *reply)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char position[PUBSUB_POSITION_TEXT_MAX];
    cli_view view = {.broker = run->setup.scheme, .n = 1};
    pubsub_bytes failed = pubsub_message_header_find(reply, "pubsub-error");

    cli_view_fill(&view, reply, run->printer.needs, headers, position);
    if (!cli_printer_add(&run->printer, &run->out.buf, &view)) {
        cli_error("out of memory");
        run->code = CLI_EXIT_FAILED;
    } else if (!cli_output_flush(&run->out) && !cli_output_is_closed(&run->out)) {
        cli_error("cannot write to stdout: %s", strerror(run->out.error));
        run->code = CLI_EXIT_FAILED;
    }
    if (failed.data != NULL) {
        cli_error("the answer is an error: %.*s", (int)(failed.len > 200 ? 200 : failed.len),
                  (const char *)failed.data);
        run->code = CLI_EXIT_FAILED;
    }
}

static void on_reply(void *ctx, pubsub_message *reply, const pubsub_error *error)
{
    request_run *run = ctx;

    run->over = true;
    if (reply != NULL) {
        print(run, reply);
    } else if (cli_signals_got() != 0) {
        run->code = cli_signals_exit(CLI_EXIT_FAILED);
    } else if (!run->events.connected && error->code != PUBSUB_ENOTSUP) {
        run->code = cli_fail_connect(&run->setup, error);
    } else {
        run->code = cli_fail((const char *)run->pub.topic.data, error);
    }
}

/* ---- from begin to end --------------------------------------------------------------------- */

static int read_message(request_run *run)
{
    static const pubsub_publication empty = PUBSUB_PUBLICATION_INIT;
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *topic = NULL;
    const char *word = NULL;
    bool given = false;
    int64_t number;
    int code = cli_words_read(run->args, &topic, &word);

    if (code != CLI_EXIT_OK) {
        return code;
    }
    run->pub = empty;
    run->pub.topic = pubsub_bytes_of(topic);
    if (pubsub_topic_check(topic, strlen(topic), &err) != PUBSUB_OK) {
        return cli_fail("wrong topic", &err);
    }
    if (pubsub_options_int(run->setup.publish, "qos", &number) == PUBSUB_OK) {
        run->pub.qos = (pubsub_qos)number;
    }
    run->pub.qos = (pubsub_qos)cli_int(run->args, "qos", run->pub.qos);
    run->pub.key = pubsub_bytes_of(cli_text(run->args, "key"));
    run->pub.content_type = pubsub_bytes_of(cli_text(run->args, "content-type"));
    run->pub.headers = run->headers;
    code = cli_headers_read(run->args, run->headers, &run->pub.header_count);
    if (code == CLI_EXIT_OK) {
        code = cli_printer_init(&run->printer, run->args, run->setup.scheme);
    }
    if (code == CLI_EXIT_OK) {
        code = cli_body_read(&run->body, run->args, word, true, &given);
    }
    run->pub.payload = run->body.bytes;
    return code;
}

static void wait(request_run *run)
{
    while (!run->over && cli_signals_got() == 0) {
        struct pollfd fds[2] = {{.fd = cli_signals_fd(), .events = POLLIN},
                                {.fd = pubsub_client_fd(run->client), .events = POLLIN}};

        if (poll(fds, 2, -1) > 0 && fds[1].revents != 0) {
            (void)pubsub_client_poll(run->client, 0, NULL);
        }
    }
}

static int ask(request_run *run)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    int code = cli_setup_client(&run->setup, &run->client);

    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (pubsub_client_on_event(run->client, on_event, run) != PUBSUB_OK) {
        cli_error("cannot set up the client");
        return CLI_EXIT_FAILED;
    }
    if (pubsub_client_request_async(run->client, &run->pub, run->setup.timeout_ms, on_reply, run,
                                    &err) != PUBSUB_OK) {
        return cli_fail((const char *)run->pub.topic.data, &err);
    }
    wait(run);
    /* After a signal the request ends here, with an error that on_reply knows how to take; without an
     * answer there is nothing left to wait for. */
    bool good = run->over && run->code == CLI_EXIT_OK;
    (void)pubsub_client_end(run->client, good ? run->setup.timeout_ms : 0, NULL);
    return run->code;
}

int cmd_request(const cli_args *args)
{
    /* Too big for the stack of a program that may run in a small container. */
    static request_run run;
    bool done = false;
    int code;

    run.args = args;
    run.events.setup = &run.setup;
    cli_output_init(&run.out, STDOUT_FILENO);
    code = cli_setup_init(&run.setup, args, NULL, &done);
    if (code == CLI_EXIT_OK && !done) {
        code = read_message(&run);
        if (code == CLI_EXIT_OK) {
            code = ask(&run);
        }
    }
    pubsub_client_free(run.client);
    cli_body_fini(&run.body);
    cli_printer_fini(&run.printer);
    cli_output_fini(&run.out);
    cli_setup_fini(&run.setup);
    return code;
}
