/* SPDX-License-Identifier: MIT */
#include "args.h"

#include "base/nearest.h"
#include "say.h"

#include <stdio.h>
#include <string.h>

#define ON(command) (1u << (command))

typedef struct bridge_command_row {
    const char *name;
    const char *words; /* what follows, for the help */
    size_t words_min;
    size_t words_max;
    const char *summary;
    const char *text;
} bridge_command_row;

/* In the order of bridge_command. */
static const bridge_command_row commands[] = {
    {"run", "FILE", 1, 1, "run the routes of a file",
     "Runs until SIGINT or SIGTERM, then stops the sources, waits for what is in flight (`drain` "
     "in the\n"
     "file, 10s) and stores the positions. SIGHUP reads the file again and restarts only what "
     "changed;\n"
     "a file that is wrong then is reported and changes nothing."},
    {"check", "FILE", 1, 1, "say all that is wrong with a file",
     "Every finding is one line, FILE:LINE:COLUMN: PATH: what is wrong and what to do. With "
     "--connect the\n"
     "sources and brokers are touched too, and what will be lost by their nature is said."},
    {"status", "FILE|HOST:PORT", 1, 1, "show the routes of a running bridge",
     "Asks the address that the file names as `listen`."},
    {"spool", "check|dump|repair FILE [ROUTE]", 2, 3, "look after the spools of a file's routes",
     "`check` says how many events there are, and how many are lost where the spool is damaged; "
     "`dump` "
     "prints\n"
     "them. Both only read. `repair` wants the bridge to be stopped: it cuts off a torn end, as "
     "after a loss "
     "of\n"
     "power, and lets a spool be written to again whose disk had failed. Damage in the middle "
     "stays in the\n"
     "files; it is passed over when the spool is read, and counted here."},
    {"connectors", "[NAME]", 0, 1, "list the connectors, or the settings of one", NULL},
    {"version", "", 0, 0, "show versions", NULL},
    {"help", "[COMMAND]", 0, 1, "show this text, or that of a command", NULL},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

typedef struct bridge_option_row {
    const char *name;
    char letter;
    const char *arg; /* NULL = a flag */
    unsigned where;  /* ON(command) bits */
    const char *help;
} bridge_option_row;

static const bridge_option_row options[] = {
    {"broker", 'b', "URL", ON(BRIDGE_RUN) | ON(BRIDGE_CHECK), "publish every route to this broker"},
    {"set", 's', "PATH=VALUE",
     ON(BRIDGE_RUN) | ON(BRIDGE_CHECK) | ON(BRIDGE_STATUS) | ON(BRIDGE_SPOOL),
     "a value instead of the file's, \"routes.NAME.topic=/t\"; may be repeated"},
    {"connect", 'c', NULL, ON(BRIDGE_CHECK), "also reach the sources and brokers"},
    {"json", 'j', NULL, ON(BRIDGE_CHECK) | ON(BRIDGE_STATUS) | ON(BRIDGE_CONNECTORS), "print JSON"},
    {"verbose", 'v', NULL, ~0u,
     "show each feed that becomes live, each event and each error; -vv more"},
    {"quiet", 'q', NULL, ~0u, "show errors only"},
    {"man", 'm', NULL, ON(BRIDGE_HELP), "the manual page"},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static bool unknown_command(const char *word)
{
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, word);
    for (int i = 0; i < COMMANDS; i++) {
        pubsub__nearest_offer(&nearest, commands[i].name);
    }
    const char *meant = pubsub__nearest_result(&nearest);
    bridge_error("there is no command \"%s\"%s%s%s; see pubsub-bridge help", word,
                 meant != NULL ? "; did you mean \"" : "", meant != NULL ? meant : "",
                 meant != NULL ? "\"?" : "");
    return false;
}

static bool unknown_option(const bridge_args *args, const char *word)
{
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, word + strspn(word, "-"));
    for (int i = 0; i < OPTIONS; i++) {
        if ((options[i].where & ON(args->command)) != 0) {
            pubsub__nearest_offer(&nearest, options[i].name);
        }
    }
    const char *meant = pubsub__nearest_result(&nearest);
    bridge_error("%s has no option \"%s\"%s%s%s; see pubsub-bridge help %s",
                 commands[args->command].name, word, meant != NULL ? "; did you mean \"--" : "",
                 meant != NULL ? meant : "", meant != NULL ? "\"?" : "",
                 commands[args->command].name);
    return false;
}

static bool take(bridge_args *args, const bridge_option_row *option, const char *value)
{
    switch (option->letter) {
    case 'b':
        args->broker = value;
        return true;
    case 's':
        if (args->set_count == BRIDGE_SETS_MAX) {
            bridge_error("at most %d times --set", BRIDGE_SETS_MAX);
            return false;
        }
        args->sets[args->set_count++] = value;
        return true;
    case 'c':
        args->connect = true;
        return true;
    case 'j':
        args->json = true;
        return true;
    case 'm':
        args->manual = true;
        return true;
    case 'v':
        args->verbosity++;
        return true;
    default:
        args->verbosity = -1;
        return true;
    }
}

static const bridge_option_row *find_option(const bridge_args *args, const char *name, size_t len,
                                            char letter)
{
    for (int i = 0; i < OPTIONS; i++) {
        bool same = letter != '\0'
                        ? options[i].letter == letter
                        : strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0;
        if (same && (options[i].where & ON(args->command)) != 0) {
            return &options[i];
        }
    }
    return NULL;
}

/* One word that begins with a dash, and the next one where its value stands there. */
static bool parse_long(bridge_args *args, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const bridge_option_row *option = find_option(args, name, len, '\0');
    if (option == NULL) {
        return unknown_option(args, word);
    }
    if (option->arg == NULL) {
        if (equals != NULL) {
            bridge_error("--%s takes no value", option->name);
            return false;
        }
        return take(args, option, NULL);
    }
    if (equals == NULL && ++*at >= argc) {
        bridge_error("--%s needs %s", option->name, option->arg);
        return false;
    }
    return take(args, option, equals != NULL ? equals + 1 : argv[*at]);
}

static bool parse_letters(bridge_args *args, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const bridge_option_row *option = find_option(args, NULL, 0, *letter);
        if (option == NULL) {
            return unknown_option(args, word);
        }
        if (option->arg == NULL) {
            if (!take(args, option, NULL)) {
                return false;
            }
            continue;
        }
        if (letter[1] != '\0') {
            return take(args, option, letter + 1);
        }
        if (++*at >= argc) {
            bridge_error("-%c needs %s", *letter, option->arg);
            return false;
        }
        return take(args, option, argv[*at]);
    }
    return true;
}

static bool parse_command(bridge_args *args, const char *word)
{
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        word = "help";
    } else if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0) {
        word = "version";
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, word) == 0) {
            args->command = (bridge_command)i;
            return true;
        }
    }
    return unknown_command(word);
}

bool bridge_args_parse(bridge_args *args, int argc, char **argv)
{
    bool options_end = false;
    memset(args, 0, sizeof(*args));
    if (argc < 2) {
        bridge_error("which command? See pubsub-bridge help");
        return false;
    }
    if (!parse_command(args, argv[1])) {
        return false;
    }
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (!options_end && word[0] == '-' && word[1] != '\0') {
            if (strcmp(word, "--") == 0) {
                options_end = true;
            } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
                args->words[0] = commands[args->command].name;
                args->word_count = 1;
                args->command = BRIDGE_HELP;
                return true;
            } else if (word[1] == '-' ? !parse_long(args, argc, argv, &i)
                                      : !parse_letters(args, argc, argv, &i)) {
                return false;
            }
        } else if (args->word_count == sizeof(args->words) / sizeof(args->words[0])) {
            bridge_error("too many words: \"%s\"", word);
            return false;
        } else {
            args->words[args->word_count++] = word;
        }
    }
    const bridge_command_row *row = &commands[args->command];
    if (args->word_count < row->words_min || args->word_count > row->words_max) {
        bridge_error("usage: pubsub-bridge %s %s", row->name, row->words);
        return false;
    }
    return true;
}

void bridge_args_commands(void (*each)(void *ctx, const bridge_command_text *command), void *ctx)
{
    for (int i = 0; i < COMMANDS; i++) {
        const bridge_command_text text = {(bridge_command)i, commands[i].name, commands[i].words,
                                          commands[i].summary, commands[i].text};
        each(ctx, &text);
    }
}

void bridge_args_options(bridge_command command,
                         void (*each)(void *ctx, char letter, const char *name, const char *arg,
                                      const char *help),
                         void *ctx)
{
    for (int i = 0; i < OPTIONS; i++) {
        if ((options[i].where & ON(command)) != 0) {
            each(ctx, options[i].letter, options[i].name, options[i].arg, options[i].help);
        }
    }
}

static void help_options(bridge_command command)
{
    printf("\nOptions:\n");
    for (int i = 0; i < OPTIONS; i++) {
        const bridge_option_row *row = &options[i];
        char left[64];
        if ((row->where & ON(command)) != 0) {
            (void)snprintf(left, sizeof(left), "-%c, --%s%s%s", row->letter, row->name,
                           row->arg != NULL ? " " : "", row->arg != NULL ? row->arg : "");
            printf("  %-24s %s\n", left, row->help);
        }
    }
}

static void help_all(void)
{
    printf("pubsub-bridge relays the events of connectors (a database's change feed, webhooks, "
           "another\n"
           "broker) to any broker, and loses none.\n\nUsage: pubsub-bridge COMMAND [OPTIONS]\n\n"
           "Commands:\n");
    for (int i = 0; i < COMMANDS; i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].words);
        printf("  %-38s %s\n", left, commands[i].summary);
    }
    printf("\nExample:\n  pubsub-bridge check bridge.yaml && pubsub-bridge run -v bridge.yaml\n");
}

bool bridge_help(const char *command)
{
    if (command == NULL) {
        help_all();
        return true;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, command) == 0) {
            printf("Usage: pubsub-bridge %s [OPTIONS] %s\n\n%s.\n", commands[i].name,
                   commands[i].words, commands[i].summary);
            if (commands[i].text != NULL) {
                printf("%s\n", commands[i].text);
            }
            help_options((bridge_command)i);
            return true;
        }
    }
    return unknown_command(command);
}
