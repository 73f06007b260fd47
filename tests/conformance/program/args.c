/* SPDX-License-Identifier: MIT */
#include "args.h"

#include <pubsub/version.h>

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* One table for reading, --help and the manual page. */
static const struct flag {
    int key;
    const char *name;
    const char *arg; /* NULL = takes none */
    const char *help;
} flags[] = {
    {'m', "module", "FILE", "an adapter in a file of its own, opened before anything else"},
    {'o', "only", "PATTERN", "run the cases whose name matches, as in 'order.*'"},
    {'q', "quirk", "NAME", "what is different about this broker and not wrong, see below"},
    {'e', "expiry-step", "MS", "an expiry is rounded up to a multiple of so many milliseconds"},
    {'d', "dead-url", "URL",
     "where no connection can be made; without it those cases are left out"},
    {'l', "list", NULL, "name the cases and run nothing"},
    {'j', "json", NULL,
     "one JSON object a line on standard output; the rest goes to standard error"},
    {'h', "help", NULL, "this text"},
    {'V', "version", NULL, "the version"},
    {'M', "man", NULL, "the manual page"},
};

static const struct quirk {
    const char *name;
    size_t offset;
    const char *help;
} quirks[] = {
    {"inside", offsetof(conf_adapter, inside),
     "the broker is in the process of its clients and ends with it"},
    {"topics-apart", offsetof(conf_adapter, topics_apart),
     "messages of different topics overtake each other"},
    {"shared-topics", offsetof(conf_adapter, shared_topics),
     "a topic is one queue: all its subscriptions share its messages"},
    {"from-block", offsetof(conf_adapter, from_block), "from=TIME begins a little before the time"},
    {"headers-by-name", offsetof(conf_adapter, headers_by_name),
     "headers of different names do not keep their order"},
    {"blind-receipts", offsetof(conf_adapter, blind_receipts),
     "a confirmation does not tell the position"},
    {"returns-late", offsetof(conf_adapter, returns_late),
     "what a client gives back comes behind the rest, and counts as an attempt"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char about[] =
    "Runs the suite that proves what an adapter declares, on the broker of a URL. Each case uses "
    "topics of\n"
    "its own; the broker needs to be empty only for patterns. In the URL {unique} becomes a text "
    "that is\n"
    "another one in each case, and {dir} a new directory. A case whose needs the adapter refuses "
    "is left out,\n"
    "and the refusal is tested; a feature that is offered and proven by no case is a failure.\n";
static const char left_out[] = "Left out, because they need a broker they may stop, kill and cut "
                               "off: the cases of the suite `faults`.\n"
                               "The source tree has them: tests/conformance.\n";

/* ---- help and manual ----------------------------------------------------------------------- */

static void put_help(void)
{
    printf("Usage: pubsub-conformance [OPTION...] URL\n       pubsub-conformance --list\n\n%s\n",
           about);
    for (size_t i = 0; i < COUNT(flags); i++) {
        char left[48];
        (void)snprintf(left, sizeof(left), "--%s%s%s", flags[i].name,
                       flags[i].arg != NULL ? " " : "", flags[i].arg != NULL ? flags[i].arg : "");
        printf("  %-18s %s\n", left, flags[i].help);
    }
    printf("\nQuirks:\n");
    for (size_t i = 0; i < COUNT(quirks); i++) {
        printf("  %-18s %s\n", quirks[i].name, quirks[i].help);
    }
    printf(
        "\n%s\nExit status: 0 all passed, 1 something failed, 2 wrong usage, or no broker there.\n",
        left_out);
}

static void put_roff(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '-' || *text == '\\') {
            printf("%s", *text == '-' ? "\\-" : "\\e");
        } else {
            (void)putchar(*text);
        }
    }
}

static void put_item(const char *name, const char *arg, const char *help)
{
    printf(".TP\n\\fB");
    put_roff(name);
    printf("\\fR%s%s%s\n", arg != NULL ? " \\fI" : "", arg != NULL ? arg : "",
           arg != NULL ? "\\fR" : "");
    put_roff(help);
    printf("\n");
}

static void put_manual(void)
{
    printf(".TH PUBSUB\\-CONFORMANCE 1 \"\" \"libpubsub %s\" \"User Commands\"\n",
           pubsub_version());
    printf(".SH NAME\npubsub\\-conformance \\- prove what an adapter declares\n"
           ".SH SYNOPSIS\n.B pubsub\\-conformance\n[\\fIOPTION\\fR...] \\fIURL\\fR\n.br\n"
           ".B pubsub\\-conformance \\-\\-list\n.SH DESCRIPTION\n");
    put_roff(about);
    printf(".PP\n");
    put_roff(left_out);
    printf(".SH OPTIONS\n");
    for (size_t i = 0; i < COUNT(flags); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "--%s", flags[i].name);
        put_item(name, flags[i].arg, flags[i].help);
    }
    printf(
        ".SH QUIRKS\nTraits that change what the suite expects. Some want a word in the notes of\n"
        ".BR \"pubsub caps\" ,\nso that users know too.\n");
    for (size_t i = 0; i < COUNT(quirks); i++) {
        put_item(quirks[i].name, NULL, quirks[i].help);
    }
    printf(
        ".SH \"EXIT STATUS\"\n0 all passed; 1 something failed; 2 wrong usage, or no broker "
        "there.\n"
        ".SH ENVIRONMENT\n.TP\n.B PUBSUB_ADAPTER_PATH\ndirectories with adapters in files of their "
        "own, between colons\n.TP\n.B PUBSUB_TEST_SLOW\na number every time limit is multiplied "
        "with, for slow machines\n.SH \"SEE ALSO\"\n.BR pubsub (1)\n");
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool set_quirk(conf_adapter *adapter, const char *name)
{
    for (size_t i = 0; i < COUNT(quirks); i++) {
        if (strcmp(quirks[i].name, name) == 0) {
            *(bool *)((char *)adapter + quirks[i].offset) = true;
            return true;
        }
    }
    return false;
}

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "pubsub-conformance: %s%s; see --help\n", what, value);
    return EXIT_USAGE;
}

static int take(program_args *args, int key, char *value)
{
    char *end = NULL;
    switch (key) {
    case 'm':
        args->module = value;
        return -1;
    case 'o':
        args->only = value;
        return -1;
    case 'q':
        return set_quirk(&args->adapter, value) ? -1 : wrong("there is no quirk ", value);
    case 'e':
        args->adapter.expiry_step = strtol(value, &end, 10);
        return *value != '\0' && *end == '\0' && args->adapter.expiry_step >= 0
                   ? -1
                   : wrong("not a number of milliseconds: ", value);
    case 'd':
        args->dead_url = value;
        return -1;
    case 'l':
        args->list = true;
        return -1;
    case 'j':
        args->json = true;
        return -1;
    case 'h':
        put_help();
        return EXIT_PASSED;
    case 'V':
        printf("pubsub-conformance %s\n", pubsub_version());
        return EXIT_PASSED;
    case 'M':
        put_manual();
        return EXIT_PASSED;
    default:
        return EXIT_USAGE; /* getopt has said what is wrong */
    }
}

int args_read(program_args *args, int argc, char **argv)
{
    struct option rows[COUNT(flags) + 1];
    int key = 0;
    memset(args, 0, sizeof(*args));
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < COUNT(flags); i++) {
        int needs = flags[i].arg != NULL ? required_argument : no_argument;
        rows[i] = (struct option){flags[i].name, needs, NULL, flags[i].key};
    }
    while ((key = getopt_long(argc, argv, "", rows, NULL)) != -1) {
        int code = take(args, key, optarg);
        if (code >= 0) {
            return code;
        }
    }
    if (argc - optind > 1) {
        return wrong("one URL is enough, not also ", argv[optind + 1]);
    }
    args->url = argv[optind];
    if (args->url == NULL && !args->list) {
        return wrong("which URL", "?");
    }
    return -1;
}
