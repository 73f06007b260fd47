/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct opt_parser {
    cli_args *args;
    int argc;
    char **argv;
    int index; /* of the next word */
    cli_usage_error *err;
} opt_parser;

static bool name_is(const char *name, const char *text, size_t len)
{
    return name != NULL && strlen(name) == len && memcmp(name, text, len) == 0;
}

/* Aliases are written "cacert|cafile". */
static bool alias_is(const char *aliases, const char *text, size_t len)
{
    while (aliases != NULL && *aliases != '\0') {
        size_t part = strcspn(aliases, "|");

        if (part == len && memcmp(aliases, text, len) == 0) {
            return true;
        }
        aliases += part + (aliases[part] == '|');
    }
    return false;
}

const cli_option *cli_option_find(const cli_option *const *tables, const char *name, size_t len)
{
    for (size_t t = 0; tables[t] != NULL; t++) {
        for (const cli_option *row = tables[t]; row->name != NULL; row++) {
            if (name_is(row->name, name, len) || alias_is(row->alias, name, len)) {
                return row;
            }
        }
    }
    return NULL;
}

static const cli_option *find_letter(const cli_option *const *tables, char letter)
{
    for (size_t t = 0; tables[t] != NULL; t++) {
        for (const cli_option *row = tables[t]; row->name != NULL; row++) {
            if (row->letter == letter) {
                return row;
            }
        }
    }
    return NULL;
}

static bool fail_unknown(opt_parser *parser, const char *name, size_t len)
{
    char word[PUBSUB__NEAREST_MAX + 1];
    pubsub__nearest nearest;
    const char *best;
    size_t keep = len < sizeof(word) - 1 ? len : sizeof(word) - 1;

    memcpy(word, name, keep);
    word[keep] = '\0';
    pubsub__nearest_init(&nearest, word);
    for (size_t t = 0; parser->args->tables[t] != NULL; t++) {
        for (const cli_option *row = parser->args->tables[t]; row->name != NULL; row++) {
            pubsub__nearest_offer(&nearest, row->name);
        }
    }
    best = pubsub__nearest_result(&nearest);
    if (best != NULL) {
        (void)snprintf(parser->err->text, sizeof(parser->err->text),
                       "unknown option --%s: did you mean --%s?", word, best);
    } else {
        (void)snprintf(parser->err->text, sizeof(parser->err->text),
                       "unknown option --%s: see --help", word);
    }
    return false;
}

/* How the option was written, for messages: "-c" or "--count". */
static void spelled(char *out, size_t size, const cli_option *row, bool letter)
{
    if (letter) {
        (void)snprintf(out, size, "-%c", row->letter);
    } else {
        (void)snprintf(out, size, "--%s", row->name);
    }
}

static int choice_index(const char *choices, const char *text)
{
    size_t len = strlen(text);
    int index = 0;

    for (const char *at = choices; len > 0; index++) {
        size_t part = strcspn(at, "|");

        if (part == len && memcmp(at, text, len) == 0) {
            return index;
        }
        if (at[part] == '\0') {
            break;
        }
        at += part + 1;
    }
    return -1;
}

static const char *kind_hint(const cli_option *row)
{
    switch (row->kind) {
    case CLI_DURATION:
        return "a duration such as 250ms, 5s, 2m or 1h";
    case CLI_SIZE:
        return "a size such as 512, 64k or 8M";
    default:
        return "a whole number";
    }
}

static bool read_number(const cli_option *row, const char *text, int64_t *out)
{
    int rc;

    switch (row->kind) {
    case CLI_DURATION:
        rc = pubsub__parse_duration(text, out);
        break;
    case CLI_SIZE:
        rc = pubsub__parse_size(text, out);
        break;
    default:
        rc = pubsub__parse_int(text, out);
        break;
    }
    return rc == PUBSUB__UNITS_OK;
}

/* Fill given->number from text. */
static bool convert(const cli_option *row, const char *text, int64_t *number, const char *shown,
                    cli_usage_error *err)
{
    switch (row->kind) {
    case CLI_INT:
    case CLI_DURATION:
    case CLI_SIZE:
        if (!read_number(row, text, number)) {
            (void)snprintf(err->text, sizeof(err->text), "%s %.80s: give %s", shown, text,
                           kind_hint(row));
            return false;
        }
        if (*number < row->min || (row->max != 0 && *number > row->max)) {
            (void)snprintf(err->text, sizeof(err->text),
                           "%s %.80s: out of range, the smallest is %" PRId64
                           ", the largest %" PRId64,
                           shown, text, row->min, row->max != 0 ? row->max : INT64_MAX);
            return false;
        }
        return true;
    case CLI_CHOICE:
        *number = choice_index(row->choices, text);
        if (*number < 0) {
            (void)snprintf(err->text, sizeof(err->text), "%s %.80s: give one of %s", shown, text,
                           row->choices);
            return false;
        }
        return true;
    default:
        *number = 1;
        return true;
    }
}

static void add(opt_parser *parser, const cli_option *row, const char *text, int64_t number)
{
    cli_given *given = &parser->args->given[parser->args->given_count++];

    given->option = row;
    given->text = text;
    given->number = number;
}

static bool add_value(opt_parser *parser, const cli_option *row, const char *text, bool letter)
{
    char shown[80];
    int64_t number = 1;

    spelled(shown, sizeof(shown), row, letter);
    if (!convert(row, text, &number, shown, parser->err)) {
        return false;
    }
    add(parser, row, text, number);
    return true;
}

/* The value of an option is the next word. */
static bool take_next(opt_parser *parser, const cli_option *row, bool letter)
{
    char shown[80];

    if (parser->index >= parser->argc) {
        spelled(shown, sizeof(shown), row, letter);
        (void)snprintf(parser->err->text, sizeof(parser->err->text), "%s needs a value: %s %s",
                       shown, shown, row->arg != NULL ? row->arg : "VALUE");
        return false;
    }
    return add_value(parser, row, parser->argv[parser->index++], letter);
}

static bool parse_long(opt_parser *parser, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const cli_option *row = cli_option_find(parser->args->tables, text, len);

    if (row == NULL && len > 3 && memcmp(text, "no-", 3) == 0) {
        row = cli_option_find(parser->args->tables, text + 3, len - 3);
        if (row != NULL && (row->flags & CLI_NEGATABLE) != 0 && equals == NULL) {
            add(parser, row, NULL, 0);
            return true;
        }
        row = NULL;
    }
    if (row == NULL) {
        return fail_unknown(parser, text, len);
    }
    if (row->kind == CLI_FLAG) {
        if (equals != NULL) {
            (void)snprintf(parser->err->text, sizeof(parser->err->text),
                           "--%s takes no value: write it without =", row->name);
            return false;
        }
        add(parser, row, NULL, 1);
        return true;
    }
    if (equals != NULL) {
        return add_value(parser, row, equals + 1, false);
    }
    if ((row->flags & CLI_OPTIONAL) != 0) {
        add(parser, row, NULL, 1);
        return true;
    }
    return take_next(parser, row, false);
}

static bool fail_letter(opt_parser *parser, char letter, const char *word)
{
    if (letter >= '0' && letter <= '9') {
        (void)snprintf(parser->err->text, sizeof(parser->err->text),
                       "unknown option %.80s: put -- before what begins with a dash", word);
    } else {
        (void)snprintf(parser->err->text, sizeof(parser->err->text),
                       "unknown option -%c: see --help", letter);
    }
    return false;
}

/* A bundle such as -rl or -c3. */
static bool parse_short(opt_parser *parser, const char *word)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const cli_option *row = find_letter(parser->args->tables, *at);

        if (row == NULL) {
            return fail_letter(parser, *at, word);
        }
        if (row->kind == CLI_FLAG || (row->flags & CLI_OPTIONAL) != 0) {
            add(parser, row, NULL, 1);
            continue;
        }
        if (at[1] != '\0') {
            return add_value(parser, row, at[1] == '=' ? at + 2 : at + 1, true);
        }
        return take_next(parser, row, true);
    }
    return true;
}

/* -h is help, but those who come from tools where it names the host write -h HOST. */
static bool parse_help(opt_parser *parser, const char *word)
{
    const char *next = parser->index < parser->argc ? parser->argv[parser->index] : NULL;

    parser->args->help = true;
    if (strcmp(word, "-h") == 0 && next != NULL && next[0] != '-') {
        (void)snprintf(parser->err->text, sizeof(parser->err->text),
                       "-h shows help and takes no value: name the broker with -b, for example "
                       "-b mqtt://%.80s",
                       next);
        return false;
    }
    return true;
}

static bool parse_word(opt_parser *parser, const char *word, bool *only_words)
{
    if (*only_words || word[0] != '-' || word[1] == '\0') {
        parser->args->words[parser->args->word_count++] = word;
        return true;
    }
    if (strcmp(word, "--") == 0) {
        *only_words = true;
        return true;
    }
    if (word[1] == '-') {
        return parse_long(parser, word + 2);
    }
    return parse_short(parser, word);
}

/* A bundle holds at most as many options as it has letters. */
static bool args_init(cli_args *args, const cli_option *own, const cli_option *shared, int argc,
                      char **argv, cli_usage_error *err)
{
    size_t letters = 0;
    size_t tables = 0;

    memset(args, 0, sizeof(*args));
    err->text[0] = '\0';
    if (own != NULL) {
        args->tables[tables++] = own;
    }
    if (shared != NULL) {
        args->tables[tables] = shared;
    }
    for (int i = 0; i < argc; i++) {
        letters += strlen(argv[i]) + 1;
    }
    args->given = pubsub__calloc(letters + 1, sizeof(*args->given));
    args->words = pubsub__calloc((size_t)argc + 1, sizeof(*args->words));
    if (args->given == NULL || args->words == NULL) {
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return false;
    }
    return true;
}

bool cli_args_parse(cli_args *args, const cli_option *own, const cli_option *shared, int argc,
                    char **argv, cli_usage_error *err)
{
    opt_parser parser = {args, argc, argv, 0, err};
    bool only_words = false;

    if (!args_init(args, own, shared, argc, argv, err)) {
        return false;
    }
    while (parser.index < argc) {
        const char *word = argv[parser.index++];

        if (!only_words && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            return parse_help(&parser, word);
        }
        if (!parse_word(&parser, word, &only_words)) {
            return false;
        }
    }
    return true;
}

static bool ends_leading(const char *word)
{
    static const char *const words[] = {"--help", "-h", "--version", "-V", "--"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return word[0] != '-' || word[1] == '\0';
}

bool cli_args_parse_leading(cli_args *args, const cli_option *options, int argc, char **argv,
                            int *used, cli_usage_error *err)
{
    opt_parser parser = {args, argc, argv, 0, err};
    bool only_words = false;
    bool ok = args_init(args, NULL, options, argc, argv, err);

    while (ok && parser.index < argc && !ends_leading(argv[parser.index])) {
        ok = parse_word(&parser, argv[parser.index++], &only_words);
    }
    *used = parser.index;
    return ok;
}

void cli_args_fini(cli_args *args)
{
    pubsub__free(args->given);
    pubsub__free(args->words);
    memset(args, 0, sizeof(*args));
}

static const cli_option *must_find(const cli_args *args, const char *name)
{
    const cli_option *row = cli_option_find(args->tables, name, strlen(name));

    if (row == NULL) {
        abort(); /* a bug in the caller, found by its first test */
    }
    return row;
}

static const cli_given *last_given(const cli_args *args, const cli_option *row)
{
    for (size_t i = args->given_count; i > 0; i--) {
        if (args->given[i - 1].option == row) {
            return &args->given[i - 1];
        }
    }
    return NULL;
}

bool cli_given_any(const cli_args *args, const char *name)
{
    return last_given(args, must_find(args, name)) != NULL;
}

const char *cli_text(const cli_args *args, const char *name)
{
    const cli_option *row = must_find(args, name);
    const cli_given *given = last_given(args, row);

    return given != NULL && given->text != NULL ? given->text : row->def;
}

int64_t cli_int(const cli_args *args, const char *name, int64_t otherwise)
{
    const cli_option *row = must_find(args, name);
    const cli_given *given = last_given(args, row);
    cli_usage_error ignored;
    int64_t number = otherwise;

    if (given != NULL) {
        return given->number;
    }
    if (row->def != NULL && convert(row, row->def, &number, row->name, &ignored)) {
        return number;
    }
    return otherwise;
}

bool cli_flag(const cli_args *args, const char *name)
{
    const cli_option *row = must_find(args, name);
    const cli_given *given = last_given(args, row);

    if (given != NULL) {
        return given->number != 0;
    }
    return row->def != NULL && strcmp(row->def, "yes") == 0;
}

size_t cli_count(const cli_args *args, const char *name)
{
    const cli_option *row = must_find(args, name);
    size_t count = 0;

    for (size_t i = 0; i < args->given_count; i++) {
        count += args->given[i].option == row;
    }
    return count;
}

const char *cli_at(const cli_args *args, const char *name, size_t index)
{
    const cli_option *row = must_find(args, name);

    for (size_t i = 0; i < args->given_count; i++) {
        if (args->given[i].option == row && index-- == 0) {
            return args->given[i].text;
        }
    }
    return NULL;
}
