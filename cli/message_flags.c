/* SPDX-License-Identifier: MIT */
#include "message_flags.h"

#include "cmd.h"
#include "exit.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_MAX ((size_t)64 * 1024 * 1024)

/* "NAME: VALUE" or "NAME=VALUE", whichever separator comes first. */
static int read_header(const char *text, pubsub_header *out)
{
    size_t len = strcspn(text, ":=");
    const char *value = text + len + 1;

    if (text[len] == '\0' || len == 0) {
        return cli_usage("-H %s: write 'NAME: VALUE' or NAME=VALUE", text);
    }
    if (text[len] == ':' && *value == ' ') {
        value++;
    }
    out->name = (pubsub_bytes){text, len};
    out->value = pubsub_bytes_of(value);
    return CLI_EXIT_OK;
}

int cli_headers_read(const cli_args *args, pubsub_header *headers, size_t *count)
{
    size_t given = cli_count(args, "header");

    *count = 0;
    if (given > PUBSUB_HEADERS_MAX) {
        return cli_usage("more than %d headers", PUBSUB_HEADERS_MAX);
    }
    for (size_t i = 0; i < given; i++) {
        int code = read_header(cli_at(args, "header", i), &headers[i]);

        if (code != CLI_EXIT_OK) {
            return code;
        }
    }
    *count = given;
    return CLI_EXIT_OK;
}

int cli_words_read(const cli_args *args, const char **topic, const char **body)
{
    size_t used = 0;

    *topic = cli_text(args, "topic");
    if (*topic == NULL && used < args->word_count) {
        *topic = args->words[used++];
    }
    *body = used < args->word_count ? args->words[used++] : NULL;
    if (used < args->word_count) {
        return cli_usage("too many words, from '%s' on: quote a body that has blanks",
                         args->words[used]);
    }
    if (*topic == NULL) {
        return cli_usage("no topic: pubsub %s %s", args->command->name, args->command->synopsis);
    }
    return CLI_EXIT_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_all(cli_body *body, int fd, const char *name)
{
    cli_input_result result = CLI_INPUT_MORE;

    if (!cli_input_init(&body->in, fd, (pubsub_bytes){NULL, 0}, BODY_MAX)) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    body->reading = true;
    while ((result = cli_input_next(&body->in, &body->bytes)) == CLI_INPUT_MORE) {
        if (cli_input_fill(&body->in) < 0) {
            cli_error("cannot read %s: %s", name, strerror(errno));
            return CLI_EXIT_FAILED;
        }
    }
    if (result == CLI_INPUT_TOO_LONG) {
        return cli_usage("%s is longer than 64 MiB", name);
    }
    return CLI_EXIT_OK;
}

static int read_file(cli_body *body, const char *path)
{
    int fd;
    int code;

    if (strcmp(path, "-") == 0) {
        return read_all(body, STDIN_FILENO, "stdin");
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cli_error("cannot read %s: %s", path, strerror(errno));
        return CLI_EXIT_FAILED;
    }
    code = read_all(body, fd, path);
    (void)close(fd);
    return code;
}

bool cli_stdin_is_given(void)
{
    struct stat st;

    return fstat(STDIN_FILENO, &st) == 0 && !S_ISCHR(st.st_mode);
}

int cli_body_read(cli_body *body, const cli_args *args, const char *word, bool stdin_too,
                  bool *given)
{
    const char *message = cli_text(args, "message");
    const char *file = cli_text(args, "file");
    int ways = (word != NULL) + (message != NULL) + (file != NULL) + cli_flag(args, "null");

    memset(body, 0, sizeof(*body));
    *given = ways > 0;
    if (ways > 1) {
        return cli_usage("the body is given twice: give one of a word, -m, -f and -n (quote a body "
                         "that has blanks)");
    }
    if (file != NULL) {
        return read_file(body, file);
    }
    if (ways > 0) {
        body->bytes = pubsub_bytes_of(word != NULL ? word : message);
        return CLI_EXIT_OK;
    }
    if (stdin_too && cli_stdin_is_given()) {
        *given = true;
        return read_all(body, STDIN_FILENO, "stdin");
    }
    return CLI_EXIT_OK;
}

void cli_body_fini(cli_body *body)
{
    if (body->reading) {
        cli_input_fini(&body->in);
        body->reading = false;
    }
}
