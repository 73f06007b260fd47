/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <string.h>

#define MESSAGE_TERMINAL                                                                           \
    {.name = "quiet", .letter = 'q', .heading = "Terminal", .help = "only errors on stderr"},      \
        {.name = "color",                                                                          \
         .kind = CLI_CHOICE,                                                                       \
         .arg = "WHEN",                                                                            \
         .choices = "auto|always|never",                                                           \
         .def = "auto",                                                                            \
         .help = "color messages on stderr; NO_COLOR is heeded"},                                  \
    {                                                                                              \
        .name = "help", .letter = 'h', .help = "show this help"                                    \
    }

const cli_option cli_plain_options[] = {MESSAGE_TERMINAL, {.name = NULL}};

const cli_option cli_broker_options[] = {
    {.name = "broker",
     .letter = 'b',
     .kind = CLI_TEXT,
     .arg = "URL|PROFILE",
     .def_note = "$PUBSUB_BROKER, else the default profile, else local:",
     .heading = "Broker",
     .help = "which broker: a URL, or the name of a profile in the configuration file"},
    {.name = "profile",
     .kind = CLI_TEXT,
     .arg = "NAME",
     .def_note = "$PUBSUB_PROFILE, else the file's profile key",
     .help = "profile of the configuration file to use"},
    {.name = "config",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .def_note = "$PUBSUB_CONFIG, else see pubsub config path",
     .help = "configuration file: lines key = value, profiles as [profile NAME]; see pubsub config "
             "--help"},
    {.name = "option",
     .letter = 'X',
     .kind = CLI_LIST,
     .arg = "NAME=VALUE",
     .help = "set any option of the library, may be repeated; -X list shows all of them, -X dump "
             "what this command would use"},
    {.name = "user",
     .letter = 'u',
     .kind = CLI_TEXT,
     .arg = "NAME",
     .def_note = "$PUBSUB_USER",
     .help = "user name"},
    {.name = "password-file",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .def_note = "$PUBSUB_PASSWORD_FILE; $PUBSUB_PASSWORD holds the password itself",
     .help = "read the password from the first line of a file"},
    {.name = "askpass", .help = "ask for the password on the terminal"},
    {.name = "password",
     .kind = CLI_TEXT,
     .arg = "TEXT",
     .help = "the password; it stays in the shell's history, so better use --password-file"},
    {.name = "client-id",
     .letter = 'i',
     .kind = CLI_TEXT,
     .arg = "NAME",
     .def_note = "made up for each run",
     .help = "name of this client at the broker"},
    {.name = "tls",
     .help = "encrypt the connection, also without an s in the scheme",
     .flags = CLI_NEGATABLE},
    {.name = "tls-ca",
     .alias = "cacert|cafile",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .def_note = "the system's",
     .help = "certificates of the authorities to trust, PEM"},
    {.name = "tls-cert",
     .alias = "cert",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "certificate of this client, PEM"},
    {.name = "tls-key",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "private key of this client, PEM"},
    {.name = "tls-sni",
     .alias = "sni",
     .kind = CLI_TEXT,
     .arg = "HOST",
     .def_note = "the URL's host",
     .help = "name the server's certificate must carry"},
    {.name = "tls-insecure",
     .alias = "insecure",
     .help = "do not check the server's certificate: anyone may listen in"},
    {.name = "timeout",
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "5s",
     .min = -1,
     .help = "how long to wait for the connection, and for confirmations without progress"},
    {.name = "reconnect",
     .kind = CLI_CHOICE,
     .arg = "WHEN",
     .choices = "forever|never",
     .def_note = "forever; pub gives up after --timeout without progress",
     .help = "whether to connect again after a loss"},
    {.name = "reconnect-wait",
     .kind = CLI_TEXT,
     .arg = "MIN..MAX",
     .def_note = "100ms..5s",
     .help = "pause between attempts, doubling from MIN to MAX"},
    MESSAGE_TERMINAL,
    {.name = "verbose", .letter = 'v', .help = "say on stderr what happens"},
    {.name = "debug",
     .letter = 'd',
     .kind = CLI_TEXT,
     .flags = CLI_OPTIONAL,
     .arg = "COMPONENTS",
     .def_note = "off; all components when none is named",
     .help = "log what the library decides to stderr, for example --debug=client,local"},
    {.name = NULL},
};

static const cli_option pub_options[] = {
    {.name = "topic",
     .letter = 't',
     .kind = CLI_TEXT,
     .arg = "TOPIC",
     .heading = "Message",
     .help = "where to publish; the first word when not given"},
    {.name = "message",
     .letter = 'm',
     .kind = CLI_LIST,
     .arg = "BODY",
     .help = "the body; the word after the topic when not given; may be repeated"},
    {.name = "null", .letter = 'n', .help = "no body: a tombstone where the broker knows that"},
    {.name = "key",
     .letter = 'k',
     .kind = CLI_TEXT,
     .arg = "KEY",
     .help = "key; messages of one key keep their order"},
    {.name = "header",
     .letter = 'H',
     .kind = CLI_LIST,
     .arg = "'NAME: VALUE'",
     .help = "header, also NAME=VALUE; may be repeated, order is kept"},
    {.name = "content-type", .kind = CLI_TEXT, .arg = "TYPE", .help = "media type of the body"},
    {.name = "reply-to", .kind = CLI_TEXT, .arg = "TOPIC", .help = "where an answer should go"},
    {.name = "correlation", .kind = CLI_TEXT, .arg = "TEXT", .help = "what an answer repeats"},
    {.name = "expiry",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 1,
     .def_note = "never",
     .help = "not delivered after this long"},
    {.name = "qos",
     .letter = 'Q',
     .kind = CLI_CHOICE,
     .arg = "0|1|2",
     .choices = "0|1|2",
     .def_note = "the stronger of 1 and 0 that the broker has",
     .help = "0 at most once, 1 at least once, 2 exactly once"},
    {.name = "retain", .letter = 'r', .help = "keep as the topic's last value"},
    {.name = "encode",
     .kind = CLI_CHOICE,
     .arg = "HOW",
     .choices = "raw|hex|base64",
     .def = "raw",
     .help = "how the bodies given are written; they are decoded before they are published"},
    {.name = "template",
     .help = "replace {{Count}}, {{Time}}, {{ID}} and {{Random MIN MAX}} in topic, key and body"},

    {.name = "lines",
     .letter = 'l',
     .heading = "Input",
     .help = "each line of stdin is a message, published as it arrives; an empty line is an empty "
             "message"},
    {.name = "stdin", .letter = 's', .help = "stdin is one message; so it is when it is a pipe"},
    {.name = "file",
     .letter = 'f',
     .kind = CLI_LIST,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "each file is a message, with --lines each of its lines; - is stdin; may be repeated"},
    {.name = "null-delim",
     .letter = '0',
     .help = "messages end in a NUL byte instead of a newline"},
    {.name = "delimiter",
     .letter = 'D',
     .kind = CLI_TEXT,
     .arg = "TEXT",
     .def_note = "\\n",
     .help = "messages end in this text; knows \\n \\t \\0 \\xNN; implies --lines"},
    {.name = "key-delim",
     .letter = 'K',
     .kind = CLI_TEXT,
     .arg = "TEXT",
     .help = "lines are KEY, this text, BODY; implies --lines"},
    {.name = "topic-delim",
     .kind = CLI_TEXT,
     .arg = "TEXT",
     .help = "lines are TOPIC, this text, BODY (or KEY ...); implies --lines"},
    {.name = "jsonl",
     .alias = "json",
     .help = "read what sub --json wrote: topic, key, headers and all; TOPIC overrides the lines'"},
    {.name = "max-line",
     .kind = CLI_SIZE,
     .arg = "SIZE",
     .def = "64M",
     .min = 1,
     .help = "longest line or stdin message"},

    {.name = "count",
     .letter = 'c',
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .heading = "Repeating",
     .def_note = "1; every line with --lines",
     .help = "publish N messages: the body N times, or the first N lines"},
    {.name = "interval",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 0,
     .def_note = "none",
     .help = "time from one message to the next"},
    {.name = "rate",
     .kind = CLI_TEXT,
     .arg = "N/s",
     .def_note = "unlimited",
     .help = "at most N messages per second, also N/m or N/h"},
    {.name = "duration",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 1,
     .def_note = "unlimited",
     .help = "repeat the body for this long, or stop reading after it"},

    {.name = "confirm",
     .flags = CLI_NEGATABLE,
     .def = "yes",
     .heading = "Result",
     .help = "wait until the broker has confirmed everything; --no-confirm asks for qos 0"},
    {.name = "tee", .help = "write each body to stdout, followed by a newline"},
    {.name = NULL},
};

static const cli_example pub_examples[] = {
    {"pubsub pub sensors/roof/temp 21.5", "publish one message on this machine, no broker needed"},
    {"seq 1000000 | pubsub pub -l nums", "a message per line"},
    {"pubsub pub -b mqtt://localhost -r status/door open", "keep it as the topic's last value"},
    {"pubsub pub -k user-7 -H 'trace: 1f' orders '{\"n\":1}'", "with key and header"},
    {"pubsub sub --json --from earliest -e '#' | pubsub pub --jsonl -b kafka://localhost",
     "copy everything to another broker"},
    {NULL, NULL},
};

static const cli_option sub_options[] = {
    {.name = "topic",
     .letter = 't',
     .kind = CLI_LIST,
     .arg = "PATTERN",
     .heading = "Subscription",
     .help = "what to subscribe to, as the words are; may be repeated"},
    {.name = "group",
     .letter = 'g',
     .kind = CLI_TEXT,
     .arg = "NAME",
     .help = "share the messages with the other members of a group"},
    {.name = "durable",
     .kind = CLI_TEXT,
     .arg = "NAME",
     .help = "keep messages while away, and go on where this name stood"},
    {.name = "from",
     .letter = 'o',
     .kind = CLI_TEXT,
     .arg = "WHERE",
     .def = "new",
     .help = "where to begin: new, earliest, last (the retained values, then new), a time "
             "(2026-02-14T08:00:00Z, @UNIXTIME, -5m), or after the message of a position (%o)"},
    {.name = "since",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 1,
     .help = "begin this long ago, the same as --from -D"},
    {.name = "reset", .help = "begin at --from even where a position is stored"},
    {.name = "qos",
     .letter = 'Q',
     .kind = CLI_CHOICE,
     .arg = "0|1|2",
     .choices = "0|1|2",
     .def_note = "the stronger of 1 and 0 that the broker has",
     .help = "0 at most once, 1 at least once, 2 exactly once"},
    {.name = "prefetch",
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .def_note = "1000",
     .help = "messages in flight to this program"},
    {.name = "order-key", .help = "messages of one key keep their order, also inside a group"},

    {.name = "count",
     .letter = 'c',
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .def_note = "unlimited",
     .heading = "End",
     .help = "end after N messages; exactly N are taken, the others go back"},
    {.name = "wait",
     .letter = 'W',
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 0,
     .def_note = "unlimited",
     .help = "end after this long in all; with -c it is exit code 6 when messages are missing"},
    {.name = "idle",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 1,
     .def_note = "unlimited",
     .help = "end when nothing has arrived for this long"},
    {.name = "exit-at-end",
     .letter = 'e',
     .help = "end when everything stored has been read: nothing came for 300 ms, or a message "
             "is newer than the start"},
    {.name = "until",
     .kind = CLI_TEXT,
     .arg = "TIME",
     .help = "end at the first message of that time or later, written as for --from, or +5m"},

    {.name = "format",
     .letter = 'F',
     .kind = CLI_TEXT,
     .arg = "FORMAT",
     .def_note = "%v\\n",
     .heading = "Output",
     .help = "how to print a message, see FORMATS; or one of json, jsonl, csv"},
    {.name = "json", .letter = 'j', .help = "one JSON object a line; pub --jsonl reads it back"},
    {.name = "hex", .letter = 'x', .help = "bodies in hexadecimal"},
    {.name = "raw",
     .letter = 'N',
     .alias = "no-newline",
     .help = "bodies exactly as they came, nothing between them"},
    {.name = "null-delim", .letter = '0', .help = "end each message with a NUL byte"},
    {.name = "verbose",
     .letter = 'v',
     .help = "topic before the body; say on stderr what happens, \"subscribed\" when it counts"},
    {.name = "timestamps",
     .kind = CLI_CHOICE,
     .flags = CLI_OPTIONAL,
     .arg = "rel|iso|ns",
     .choices = "rel|iso|ns",
     .def_note = "off; iso without a value",
     .help = "time of arrival first: seconds since the start, ISO 8601, nanoseconds since 1970"},
    {.name = "dump",
     .kind = CLI_TEXT,
     .flags = CLI_DIR,
     .arg = "DIR",
     .help = "write each body to a file of its own, named by number, instead of stdout"},
    {.name = "exec",
     .kind = CLI_TEXT,
     .arg = "COMMAND",
     .help =
         "run a shell command for each message instead of printing: body on stdin, "
         "PUBSUB_TOPIC, PUBSUB_KEY, PUBSUB_H_NAME, ... in the environment; a command that runs is "
         "waited for, whatever -W says"},

    {.name = "workers",
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 1,
     .max = 256,
     .help = "with --exec: run so many commands at a time, those for messages of one key one after "
             "the other; what each writes to stdout appears when it has ended, as a whole, at most "
             "64 MiB"},

    {.name = "no-retained", .heading = "Selection", .help = "leave out retained values"},
    {.name = "only-retained", .help = "only retained values, then end; implies --from last"},
    {.name = "exclude",
     .kind = CLI_LIST,
     .arg = "PATTERN",
     .help = "leave out topics that match; may be repeated"},
    {.name = "sample",
     .kind = CLI_TEXT,
     .arg = "PERCENT",
     .def_note = "100",
     .help = "show only about this share of the messages, chosen at random"},

    {.name = "ack",
     .kind = CLI_CHOICE,
     .arg = "WHEN",
     .choices = "auto|exec|none",
     .def_note = "auto, with --exec exec",
     .heading = "Acknowledging",
     .help = "auto: when the message was written; exec: when the command succeeded, else it "
             "comes again; none: never, so that a group or durable name gets it again"},
    {.name = "max-attempts",
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .help = "after N failed attempts to the dead-letter topic"},
    {.name = "nack-delay",
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 0,
     .help = "how long a refused message rests before it comes again"},
    {.name = "dead-letter",
     .kind = CLI_TEXT,
     .arg = "TOPIC",
     .def_note = "$dead/<group or durable name>/<topic>",
     .help = "where messages go that failed too often"},

    {.name = "expect-count",
     .kind = CLI_INT,
     .arg = "N",
     .min = 0,
     .heading = "Checking",
     .help = "exit code 8 unless N messages arrive within --within; with --idle also when more do"},
    {.name = "expect",
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "exit code 8 unless exactly the lines of the file arrive as bodies, in that order"},
    {.name = "any-order", .help = "with --expect: in any order"},
    {.name = "within",
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "10s",
     .min = 1,
     .help = "time for --expect and --expect-count"},
    {.name = NULL},
};

static const cli_example sub_examples[] = {
    {"pubsub sub 'sensors/#'", "everything below sensors, from now on"},
    {"pubsub sub -c 3 -W 10s a/b", "three messages, or exit code 6 after ten seconds"},
    {"pubsub sub --from earliest -e nums", "all that is stored, then end"},
    {"pubsub sub -F '%t %k %h{trace} %v\\n' '#'", "own format"},
    {"pubsub sub -g workers --durable jobs --exec ./work jobs", "a worker; failed jobs come again"},
    {"pubsub sub --durable jobs --workers 8 --exec ./work jobs", "the same, eight jobs at a time"},
    {NULL, NULL},
};

static const char format_help[] =
    "%t topic        %k key             %v, %s body       %n number, from 1\n"
    "%p partition    %o position        %q qos            %r retained, 0 or 1\n"
    "%c content type %R reply topic     %C correlation    %a attempt\n"
    "%d time of the broker, %D time of arrival, nanoseconds since 1970\n"
    "%h{NAME} first header of that name\n"
    "%h{...%k...%v...} for each header its name and value\n"
    "%T %K %V %H lengths of topic, key and body, number of headers\n"
    "%% a percent sign; \\n \\t \\r \\0 \\e \\\\ \\xNN bytes\n"
    "A modifier follows the letter: %v{hex} %k{base64} %v{json} %d{strftime[%F %T]}\n"
    "The words json, jsonl and csv are whole formats.\n";

static const cli_option caps_options[] = {
    {.name = "offline",
     .heading = "What to show",
     .help = "what the adapter can ever do; do not connect"},
    {.name = "json", .letter = 'j', .help = "as one JSON object"},
    {.name = NULL},
};

static const cli_example caps_examples[] = {
    {"pubsub caps", "all schemes, and whether they are built in"},
    {"pubsub caps local:", "what the broker on this machine can do"},
    {"pubsub caps --offline kafka://localhost", "what Kafka can do, without connecting"},
    {NULL, NULL},
};

static const cli_option config_options[] = {
    {.name = "origin",
     .heading = "What to show",
     .help = "show: where each value comes from: default, file, profile, environment, URL or flag"},
    {.name = "defaults",
     .flags = CLI_NEGATABLE,
     .def = "yes",
     .help = "show: also what nobody set"},
    {.name = "json", .letter = 'j', .alias = "jsonl", .help = "in one line of JSON"},
    {.name = NULL},
};

static const cli_example config_examples[] = {
    {"pubsub config show --origin -b prod", "what the profile prod comes to, and why"},
    {"pubsub config list", "the profiles; * is the one in use"},
    {"pubsub config path", "where the configuration file is looked for"},
    {NULL, NULL},
};

static const char config_file_help[] =
    "# what stands before the first part holds for every profile\n"
    "# the profile in use when nobody names one; without it [profile default]\n"
    "profile = dev\n"
    "# any option of `pubsub pub -X list`\n"
    "connect_timeout = 10s\n"
    "\n"
    "[profile dev]\n"
    "broker = mqtt://localhost\n"
    "\n"
    "[profile prod]\n"
    "broker = mqtts://me@broker.example\n"
    "# beside this file, or ~/... or /...\n"
    "password_file = prod.password\n";

static const cli_option version_options[] = {
    {.name = "json", .letter = 'j', .heading = "What to show", .help = "as one JSON object"},
    {.name = NULL},
};

static const cli_example version_examples[] = {
    {"pubsub version", "version, adapters and libraries"},
    {NULL, NULL},
};

static const cli_option help_options[] = {
    {.name = "man",
     .flags = CLI_HIDDEN,
     .heading = "What to show",
     .help = "write the manual page instead of the help"},
    {.name = "list", .flags = CLI_HIDDEN, .help = "write the names of all commands"},
    {.name = NULL},
};

static const cli_example help_examples[] = {
    {"pubsub help sub", "the options of sub"},
    {NULL, NULL},
};

static const cli_example completion_examples[] = {
    {". <(pubsub completion bash)", "this bash session"},
    {"pubsub completion zsh > ~/.zfunc/_pubsub", "every zsh session, when ~/.zfunc is in fpath"},
    {"pubsub completion fish > ~/.config/fish/completions/pubsub.fish", "every fish session"},
    {NULL, NULL},
};

static const cli_option no_options[] = {{.name = NULL}};

const cli_command cli_commands[] = {
    {.name = "pub",
     .synopsis = "TOPIC [BODY]",
     .summary = "publish messages",
     .description =
         "Publishes to TOPIC the body given as a word or with -m, or, without one, what a pipe on "
         "stdin brings: one message, or a message per line with -l. Stdin is never read when a "
         "body is given.\n\n"
         "By default pub waits until the broker has confirmed every message; those that were not "
         "confirmed are counted on stderr and give exit code 5.",
     .options = pub_options,
     .shared = cli_broker_options,
     .examples = pub_examples,
     .run = cmd_pub},
    {.name = "sub",
     .synopsis = "PATTERN...",
     .summary = "subscribe and print messages",
     .description =
         "Subscribes to topics or patterns and prints what arrives: by default the body and a "
         "newline. In a pattern + is one level and # any number of levels.\n\n"
         "Messages are acknowledged after they were written. Only data goes to stdout.",
     .options = sub_options,
     .shared = cli_broker_options,
     .examples = sub_examples,
     .run = cmd_sub,
     .more_title = "FORMATS",
     .more = format_help},
    {.name = "request",
     .synopsis = "TOPIC [BODY]",
     .summary = "ask and print the answer",
     .options = cli_request_options,
     .shared = cli_broker_options,
     .examples = cli_request_examples,
     .run = cmd_request},
    {.name = "reply",
     .synopsis = "TOPIC [BODY]",
     .summary = "answer requests",
     .options = cli_reply_options,
     .shared = cli_broker_options,
     .examples = cli_reply_examples,
     .run = cmd_reply},
    {.name = "bench",
     .summary = "measure throughput and latency",
     .options = cli_bench_options,
     .shared = cli_broker_options,
     .examples = cli_bench_examples,
     .run = cmd_bench},
    {.name = "caps",
     .synopsis = "[URL]",
     .summary = "what a broker can do",
     .description =
         "Shows feature by feature what the adapter can ever do (offline) and what this server "
         "can. Without a URL and without -b it lists the schemes.",
     .options = caps_options,
     .shared = cli_broker_options,
     .examples = caps_examples,
     .run = cmd_caps},
    {.name = "config",
     .synopsis = "[show|path|list]",
     .summary = "settings, profiles and where they come from",
     .description =
         "show, also without a word, writes the settings that hold with these flags, this "
         "environment and this configuration file; what is secret is masked. path lists the "
         "places of the configuration file, the first that exists is used. list writes the "
         "profiles and their brokers.\n\n"
         "Flags win over the URL, the URL over the environment, the environment over a profile, a "
         "profile over the rest of the file. A password is used only for the user named beside it, "
         "and one of the file only for brokers of the file.",
     .options = config_options,
     .shared = cli_broker_options,
     .examples = config_examples,
     .run = cmd_config,
     .more_title = "CONFIGURATION FILE",
     .more = config_file_help,
     .words = "show|path|list"},
    {.name = "version",
     .summary = "version and what is built in",
     .options = version_options,
     .shared = cli_plain_options,
     .examples = version_examples,
     .run = cmd_version},
    {.name = "help",
     .synopsis = "[COMMAND]",
     .summary = "help on a command",
     .options = help_options,
     .shared = cli_plain_options,
     .examples = help_examples,
     .run = cmd_help},
    {.name = "completion",
     .synopsis = "bash|zsh|fish",
     .summary = "write a completion script for a shell",
     .options = no_options,
     .shared = cli_plain_options,
     .examples = completion_examples,
     .run = cmd_completion,
     .words = "bash|zsh|fish"},
    {.name = NULL},
};

const char *cli_command_synopsis(const cli_command *command)
{
    const char *text = command->run == cmd_bench ? cli_bench_synopsis : command->synopsis;

    return text != NULL ? text : "";
}

const char *cli_command_description(const cli_command *command)
{
    return command->run == cmd_bench     ? cli_bench_description
           : command->run == cmd_request ? cli_request_description
           : command->run == cmd_reply   ? cli_reply_description
                                         : command->description;
}

bool cli_option_is_shadowed(const cli_command *command, const cli_option *row)
{
    const cli_option *own[] = {command->options, NULL};

    return cli_option_find(own, row->name, strlen(row->name)) != NULL;
}

const cli_command *cli_command_find(const char *name)
{
    for (const cli_command *row = cli_commands; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}
