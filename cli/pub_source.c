/* SPDX-License-Identifier: MIT */
#include "pub_source.h"

#include "codec.h"
#include "exit.h"
#include "message_flags.h"
#include "say.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    DELIM_RECORD = 0,
    DELIM_KEY = 1,
    DELIM_TOPIC = 2,
};

static pubsub_bytes delim_of(const pub_source *source, int which)
{
    return (pubsub_bytes){source->delims[which].data, source->delims[which].len};
}

/* ---- choosing ------------------------------------------------------------------------------ */

static int read_delim(pub_source *source, int which, const char *flag)
{
    const char *text = cli_text(source->args, flag);
    size_t at;

    if (text == NULL) {
        return CLI_EXIT_OK;
    }
    if (!cli_unescape(&source->delims[which], text, &at)) {
        return cli_usage(
            "--%s: unknown escape at position %zu: \\n \\t \\r \\0 \\\\ \\xNN are known", flag,
            at + 1);
    }
    return source->delims[which].len > 0 ? CLI_EXIT_OK : cli_usage("--%s must not be empty", flag);
}

static int read_delims(pub_source *source)
{
    int code = read_delim(source, DELIM_RECORD, "delimiter");

    if (code == CLI_EXIT_OK) {
        code = read_delim(source, DELIM_KEY, "key-delim");
    }
    if (code == CLI_EXIT_OK) {
        code = read_delim(source, DELIM_TOPIC, "topic-delim");
    }
    if (code == CLI_EXIT_OK && cli_flag(source->args, "null-delim")) {
        if (source->delims[DELIM_RECORD].len > 0) {
            return cli_usage("-0 and -D both say where messages end: give one");
        }
        (void)pubsub__buf_add_byte(&source->delims[DELIM_RECORD], '\0');
    }
    return code;
}

static bool wants_records(const cli_args *args)
{
    return cli_flag(args, "lines") || cli_flag(args, "null-delim") ||
           cli_given_any(args, "delimiter") || cli_given_any(args, "key-delim") ||
           cli_given_any(args, "topic-delim");
}

static int no_body(void)
{
    return cli_usage("no body: write it after the topic, pipe it in, or use -l for a message per "
                     "line, -f FILE or -n");
}

/* A body that is a word excludes everything that reads. */
static int choose_bodies(pub_source *source, bool null)
{
    size_t messages = cli_count(source->args, "message");

    if (null && (source->body != NULL || messages > 0)) {
        return cli_usage("-n says that there is no body, but one is given");
    }
    if (source->body != NULL && messages > 0) {
        return cli_usage("the body is given twice, as a word and with -m: give one (quote a body "
                         "that has blanks)");
    }
    if (wants_records(source->args) || cli_flag(source->args, "stdin") ||
        cli_flag(source->args, "jsonl") || cli_count(source->args, "file") > 0) {
        return cli_usage("a body is given, so nothing is read: leave out -l, -s, -f and --jsonl, "
                         "or the body");
    }
    source->kind = PUB_BODIES;
    source->bodies = messages > 0 ? messages : 1;
    return CLI_EXIT_OK;
}

static int choose(pub_source *source)
{
    const cli_args *args = source->args;
    bool null = cli_flag(args, "null");
    bool records = wants_records(args);
    bool whole = cli_flag(args, "stdin");

    if (null || source->body != NULL || cli_count(args, "message") > 0) {
        return choose_bodies(source, null);
    }
    if (whole && (records || cli_flag(args, "jsonl"))) {
        return cli_usage("-s makes stdin one message, -l and --jsonl one per line: give one");
    }
    if (cli_flag(args, "jsonl")) {
        if (records) {
            return cli_usage("--jsonl reads lines of JSON: leave out -l, -0, -D, -K and "
                             "--topic-delim");
        }
        source->kind = PUB_JSONL;
    } else if (records) {
        source->kind = PUB_RECORDS;
    } else if (cli_count(args, "file") > 0) {
        if (whole) {
            return cli_usage("-s and -f both give the body: give one (-f - is stdin)");
        }
        source->kind = PUB_FILES;
    } else if (whole || cli_stdin_is_given()) {
        source->kind = PUB_WHOLE;
    } else {
        return no_body();
    }
    return CLI_EXIT_OK;
}

int pub_source_init(pub_source *source, const cli_args *args, const char *body, bool topic_given)
{
    int code;

    memset(source, 0, sizeof(*source));
    source->args = args;
    source->body = body;
    source->topic_given = topic_given;
    source->max = (size_t)cli_int(args, "max-line", 64 * 1024 * 1024);
    source->encode = (int)cli_int(args, "encode", 0);
    for (int i = 0; i < 3; i++) {
        pubsub__buf_init(&source->delims[i], 4096);
    }
    pubsub__buf_init(&source->decoded, SIZE_MAX / 4);
    code = choose(source);
    if (code == CLI_EXIT_OK) {
        code = read_delims(source);
    }
    if (code == CLI_EXIT_OK && source->delims[DELIM_RECORD].len == 0 &&
        (source->kind == PUB_RECORDS || source->kind == PUB_JSONL)) {
        (void)pubsub__buf_add_byte(&source->delims[DELIM_RECORD], '\n');
    }
    if (code == CLI_EXIT_OK && source->kind == PUB_JSONL) {
        source->jsonl = cli_jsonl_reader_new();
        code = source->jsonl != NULL ? CLI_EXIT_OK : CLI_EXIT_FAILED;
    }
    return code;
}

static void close_input(pub_source *source)
{
    if (source->reading) {
        if (source->in.fd != STDIN_FILENO) {
            (void)close(source->in.fd);
        }
        cli_input_fini(&source->in);
        source->reading = false;
    }
}

void pub_source_fini(pub_source *source)
{
    close_input(source);
    for (int i = 0; i < 3; i++) {
        pubsub__buf_fini(&source->delims[i]);
    }
    pubsub__buf_fini(&source->decoded);
    cli_jsonl_reader_free(source->jsonl);
    source->jsonl = NULL;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Open the next file, or stdin when none is named. END when there is no more. */
static pub_source_result open_next(pub_source *source, int *code)
{
    const char *path = cli_at(source->args, "file", source->next_file);
    int fd = STDIN_FILENO;

    if (path == NULL && (cli_count(source->args, "file") > 0 || source->next_file > 0)) {
        return PUB_SOURCE_END;
    }
    source->next_file++;
    source->in_name = path != NULL ? path : "stdin";
    if (path != NULL && strcmp(path, "-") != 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            cli_error("cannot read %s: %s", path, strerror(errno));
            *code = CLI_EXIT_FAILED;
            return PUB_SOURCE_FAILED;
        }
    }
    if (!cli_input_init(&source->in, fd, delim_of(source, DELIM_RECORD), source->max)) {
        if (fd != STDIN_FILENO) {
            (void)close(fd);
        }
        cli_error("out of memory");
        *code = CLI_EXIT_FAILED;
        return PUB_SOURCE_FAILED;
    }
    source->reading = true;
    return PUB_SOURCE_RECORD;
}

static pub_source_result too_long(const pub_source *source, int *code)
{
    cli_error("%s, message %" PRIu64 ": longer than %zu bytes: raise --max-line", source->in_name,
              source->in.records + 1, source->max);
    *code = CLI_EXIT_USAGE;
    return PUB_SOURCE_FAILED;
}

/* The next record of stdin or of any file. */
static pub_source_result next_record(pub_source *source, pubsub_bytes *record, int *code)
{
    if (!source->reading) {
        pub_source_result result = open_next(source, code);

        if (result != PUB_SOURCE_RECORD) {
            return result;
        }
    }
    switch (cli_input_next(&source->in, record)) {
    case CLI_INPUT_RECORD:
        return PUB_SOURCE_RECORD;
    case CLI_INPUT_MORE:
        return PUB_SOURCE_WAIT;
    case CLI_INPUT_TOO_LONG:
        return too_long(source, code);
    default:
        /* What was handed out may still wait to be published: the buffer goes at the fill. */
        source->ended = true;
        return source->kind == PUB_WHOLE ? PUB_SOURCE_END : PUB_SOURCE_WAIT;
    }
}

int pub_source_fd(const pub_source *source)
{
    return source->reading ? source->in.fd : -1;
}

bool pub_source_fill(pub_source *source)
{
    if (source->ended) {
        source->ended = false;
        close_input(source);
        return true;
    }
    if (cli_input_fill(&source->in) < 0) {
        cli_error("cannot read %s: %s", source->in_name, strerror(errno));
        return false;
    }
    return true;
}

/* ---- one message --------------------------------------------------------------------------- */

static bool decode(pub_source *source, pubsub_bytes *payload, int *code)
{
    size_t at = 0;
    bool ok;

    if (source->encode == 0) {
        return true;
    }
    pubsub__buf_reset(&source->decoded);
    ok = source->encode == 1 ? cli_hex_decode(&source->decoded, *payload, &at)
                             : cli_base64_decode(&source->decoded, *payload, &at);
    if (!ok) {
        *code = cli_usage("the body is not %s: wrong at position %zu",
                          source->encode == 1 ? "hexadecimal" : "base64", at + 1);
        return false;
    }
    payload->data = source->decoded.data;
    payload->len = source->decoded.len;
    return true;
}

static pub_source_result next_body(pub_source *source, pubsub_publication *slot, int *code)
{
    const char *text;

    if (source->next_body >= source->bodies) {
        return PUB_SOURCE_END;
    }
    text = source->body != NULL ? source->body : cli_at(source->args, "message", source->next_body);
    source->next_body++;
    slot->payload = pubsub_bytes_of(text);
    return decode(source, &slot->payload, code) ? PUB_SOURCE_RECORD : PUB_SOURCE_FAILED;
}

/* TOPIC delim KEY delim BODY, as far as delimiters are given. */
static bool cut_record(pub_source *source, const pubsub_publication *base, pubsub_bytes record,
                       pubsub_publication *slot, int *code)
{
    /* The slot still holds what an earlier record left there. */
    slot->topic = base->topic;
    slot->key = base->key;
    slot->payload = record;
    if (source->delims[DELIM_TOPIC].len > 0 &&
        !cli_input_cut(slot->payload, delim_of(source, DELIM_TOPIC), &slot->topic,
                       &slot->payload) &&
        !source->topic_given) {
        cli_error("%s, message %" PRIu64 ": no topic delimiter in it, and no TOPIC is given",
                  source->in_name, source->in.records);
        *code = CLI_EXIT_USAGE;
        return false;
    }
    if (source->delims[DELIM_KEY].len > 0) {
        (void)cli_input_cut(slot->payload, delim_of(source, DELIM_KEY), &slot->key, &slot->payload);
    }
    return decode(source, &slot->payload, code);
}

/* What flags say wins over what the line says. */
static void override(const pub_source *source, const pubsub_publication *base,
                     pubsub_publication *slot)
{
    if (source->topic_given) {
        slot->topic = base->topic;
    }
    if (base->key.data != NULL) {
        slot->key = base->key;
    }
    if (base->content_type.len > 0) {
        slot->content_type = base->content_type;
    }
    if (base->reply_to.len > 0) {
        slot->reply_to = base->reply_to;
    }
    if (base->correlation.len > 0) {
        slot->correlation = base->correlation;
    }
    if (base->expiry > 0) {
        slot->expiry = base->expiry;
    }
    slot->qos = base->qos;
    slot->flags |= base->flags;
}

static bool read_json(pub_source *source, const pubsub_publication *base, pubsub_bytes record,
                      pubsub_publication *slot, int *code)
{
    cli_jsonl_error err;

    if (!cli_jsonl_read(source->jsonl, record, pubsub__clock_wall_ns(), slot, &err)) {
        if (err.column > 0) {
            cli_error("%s line %" PRIu64 ", column %zu: %s", source->in_name, source->in.records,
                      err.column, err.text);
        } else {
            cli_error("%s line %" PRIu64 ": %s", source->in_name, source->in.records, err.text);
        }
        *code = CLI_EXIT_USAGE;
        return false;
    }
    override(source, base, slot);
    if (slot->topic.len == 0) {
        cli_error("%s line %" PRIu64 ": \"topic\" is missing, and no TOPIC is given",
                  source->in_name, source->in.records);
        *code = CLI_EXIT_USAGE;
        return false;
    }
    return true;
}

/* JSON lines: a line that is all blanks is nothing. */
static bool is_blank(pubsub_bytes record)
{
    const char *data = record.data;

    for (size_t i = 0; i < record.len; i++) {
        if (data[i] != ' ' && data[i] != '\t' && data[i] != '\r') {
            return false;
        }
    }
    return true;
}

pub_source_result pub_source_next(pub_source *source, const pubsub_publication *base,
                                  pubsub_publication *slot, int *code)
{
    pub_source_result result;
    pubsub_bytes record = {NULL, 0};

    if (source->kind == PUB_BODIES) {
        return next_body(source, slot, code);
    }
    do {
        result = next_record(source, &record, code);
        if (result != PUB_SOURCE_RECORD) {
            return result;
        }
    } while (source->kind == PUB_JSONL && is_blank(record));
    if (source->kind == PUB_JSONL) {
        return read_json(source, base, record, slot, code) ? PUB_SOURCE_RECORD : PUB_SOURCE_FAILED;
    }
    return cut_record(source, base, record, slot, code) ? PUB_SOURCE_RECORD : PUB_SOURCE_FAILED;
}

void pub_source_release(pub_source *source)
{
    if (source->jsonl != NULL) {
        cli_jsonl_reset(source->jsonl);
    }
}

bool pub_source_is_single(const pub_source *source)
{
    return source->encode != 0;
}

bool pub_source_rewind(pub_source *source)
{
    switch (source->kind) {
    case PUB_BODIES:
        source->next_body = 0;
        return source->bodies > 0;
    case PUB_FILES:
        for (size_t i = 0; i < cli_count(source->args, "file"); i++) {
            if (strcmp(cli_at(source->args, "file", i), "-") == 0) {
                return false; /* stdin is not there a second time */
            }
        }
        source->next_file = 0;
        return true;
    case PUB_WHOLE:
        source->in.start = 0;
        source->in.records = 0;
        source->ended = false;
        return source->reading;
    default:
        return false;
    }
}
