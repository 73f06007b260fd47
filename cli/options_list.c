/* SPDX-License-Identifier: MIT */
#include "options_list.h"

#include "exit.h"
#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int finish(void)
{
    if (fflush(stdout) != 0 && errno != EPIPE) {
        cli_error("cannot write to stdout: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    return CLI_EXIT_OK;
}

static const char *type_name(const pubsub_option_row *row)
{
    switch (row->type) {
    case PUBSUB_OPTION_ENUM:
        return row->values;
    case PUBSUB_OPTION_INT:
        return row->unit != NULL ? row->unit : "number";
    case PUBSUB_OPTION_BOOL:
        return "yes|no";
    case PUBSUB_OPTION_DURATION:
        return "duration";
    case PUBSUB_OPTION_SIZE:
        return "size";
    default:
        return "text";
    }
}

int cli_options_list(void)
{
    const pubsub_option_row *row;

    for (size_t i = 0; (row = pubsub_option_at(i)) != NULL; i++) {
        char name[128];

        (void)snprintf(name, sizeof(name), "%s%s%s", row->adapter != NULL ? row->adapter : "",
                       row->adapter != NULL ? "." : "", row->name);
        printf("%-24s %-12s %s", name, type_name(row), row->help);
        if (row->default_text != NULL) {
            printf(" (default %s)", row->default_text);
        }
        putchar('\n');
    }
    return finish();
}

static void dump_set(const char *title, const pubsub_options *set)
{
    const char *name;
    const char *value;
    bool secret;

    for (size_t i = 0; (name = pubsub_options_at(set, i, &value, &secret)) != NULL; i++) {
        printf("%s%s = %s\n", title, name, secret ? "***" : value);
    }
}

int cli_options_dump(const cli_setup *setup)
{
    printf("broker = %s\n", setup->shown);
    dump_set("", setup->client);
    dump_set("subscribe: ", setup->subscribe);
    dump_set("publish: ", setup->publish);
    return finish();
}
