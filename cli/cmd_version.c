/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "say.h"

#include <pubsub/caps.h>
#include <pubsub/version.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Calls fn once for each adapter, however many schemes it has. */
static void each_adapter(void (*fn)(void *ctx, const pubsub_scheme *scheme), void *ctx)
{
    pubsub_scheme scheme;

    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        pubsub_scheme before;
        bool seen = false;

        for (size_t j = 0; j < i && pubsub_scheme_at(j, &before) && !seen; j++) {
            seen = strcmp(before.adapter, scheme.adapter) == 0;
        }
        if (!seen) {
            fn(ctx, &scheme);
        }
    }
}

static void put_text(void *ctx, const pubsub_scheme *scheme)
{
    unsigned *count = ctx;

    if (scheme->place != PUBSUB_ADAPTER_NOT_BUILT) {
        printf("%s %s", (*count)++ == 0 ? "" : ",", scheme->adapter);
    }
    if (scheme->place > PUBSUB_ADAPTER_BUILT_IN) {
        printf(" (%s)", pubsub_adapter_place_name(scheme->place));
    }
}

static void put_json(void *ctx, const pubsub_scheme *scheme)
{
    (void)json_object_set_new(ctx, scheme->adapter, json_boolean(scheme->built));
}

static void version_json(void)
{
    json_t *root = json_object();
    json_t *adapters = json_object();

    each_adapter(put_json, adapters);
    (void)json_object_set_new(root, "version", json_string(pubsub_version()));
    (void)json_object_set_new(root, "adapters", adapters);
    (void)json_object_set_new(root, "libuv", json_string(PUBSUB_CLI_LIBUV_VERSION));
    (void)json_object_set_new(root, "jansson", json_string(jansson_version_str()));
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

int cmd_version(const cli_args *args)
{
    unsigned count = 0;

    if (args->word_count > 0) {
        return cli_usage("version takes no argument");
    }
    if (cli_flag(args, "json")) {
        version_json();
    } else {
        printf("pubsub %s\nadapters:", pubsub_version());
        each_adapter(put_text, &count);
        printf("\nlibuv %s, jansson %s\n", PUBSUB_CLI_LIBUV_VERSION, jansson_version_str());
    }
    if (fflush(stdout) != 0 && errno != EPIPE) {
        cli_error("cannot write to stdout: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    return CLI_EXIT_OK;
}
