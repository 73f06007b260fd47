/* SPDX-License-Identifier: MIT */
/* pubsub-conformance: the suite as a program, for adapters that are built elsewhere. */
#include "args.h"
#include "conformance/conf_place.h"
#include "conformance/conf_report.h"
#include "place.h"

#include <pubsub/spi/adapter.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Child processes of the suite open the module too. */
#define MODULE_VARIABLE "PUBSUB_CONFORMANCE_MODULE"

static int complain(const char *what, const pubsub_error *err)
{
    (void)fprintf(stderr, "pubsub-conformance: %s: %s\n", what, pubsub_error_text(err));
    return EXIT_USAGE;
}

static void put_case(void *ctx, const char *suite, const conf_case *row)
{
    (void)ctx;
    printf("%s.%s\n", suite, row->name);
}

/* The name of the adapter that a URL leads to. NULL: said. */
static const char *name_of(const char *url)
{
    pubsub_caps caps = {.size = sizeof(caps)};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_scheme scheme;
    size_t len = strcspn(url, ":");
    if (pubsub_caps_offline(url, NULL, &caps, &error) != PUBSUB_OK) {
        (void)complain(url, &error);
        return NULL;
    }
    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        if (strlen(scheme.scheme) == len && strncmp(scheme.scheme, url, len) == 0) {
            return scheme.adapter;
        }
    }
    return NULL;
}

/* Before hundreds of cases fail one by one. */
static bool is_there(const char *url)
{
    pubsub_client *client = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err code = pubsub_client_new(&client, url, NULL, &error);
    if (code == PUBSUB_OK) {
        code = pubsub_client_ready(client, kit_ms(KIT_PATIENCE), &error);
    }
    if (code == PUBSUB_OK) {
        (void)pubsub_client_end(client, kit_ms(KIT_PATIENCE), NULL);
    } else {
        (void)complain(url, &error);
    }
    pubsub_client_free(client);
    return code == PUBSUB_OK;
}

/* Standard output is for JSON alone: what cmocka prints goes where errors go. */
static FILE *apart(void)
{
    int saved = dup(STDOUT_FILENO);
    (void)fflush(stdout);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    return saved < 0 ? NULL : fdopen(saved, "w");
}

static int run(program_args *args)
{
    char url[CONF_URL_MAX];
    FILE *json = NULL;
    int failed = 1;
    place_set(args->url, args->dead_url);
    conf_place_nominal(&args->adapter, url, sizeof(url));
    args->adapter.name = name_of(url);
    args->adapter.remote = true;
    if (args->adapter.name == NULL || (place_is_fixed(args->url) && !is_there(args->url))) {
        return EXIT_USAGE;
    }
    if (args->json) {
        json = apart();
        if (json == NULL) {
            perror("pubsub-conformance: standard output");
            return EXIT_USAGE;
        }
        conf_report_json(json, args->adapter.name, args->url);
    }
    failed = conf_run(&args->adapter, args->only);
    if (conf_runs() == 0) {
        (void)fprintf(stderr, "pubsub-conformance: no case matches '%s'; see --list\n",
                      args->only != NULL ? args->only : "");
        failed++;
    }
    if (json != NULL) {
        (void)fprintf(json,
                      "{\"type\":\"left-out\",\"suite\":\"faults\",\"why\":\"needs a broker it may "
                      "stop, kill and cut off\"}\n{\"type\":\"end\",\"failed\":%d}\n",
                      failed);
        failed += fclose(json) != 0 ? 1 : 0;
    } else {
        printf("left out: faults.*, which need a broker they may stop, kill and cut off\n");
    }
    return conf_runs() == 0 ? EXIT_USAGE : failed == 0 ? EXIT_PASSED : EXIT_NOT_PASSED;
}

int main(int argc, char **argv)
{
    program_args args;
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *inherited = getenv(MODULE_VARIABLE);
    if (inherited != NULL && pubsub_adapter_load(inherited, NULL, &error) != PUBSUB_OK) {
        return complain("child process", &error);
    }
    kit_roles(argc, argv, conf_roles);
    int code = args_read(&args, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (args.list) {
        conf_each(put_case, NULL);
        return EXIT_PASSED;
    }
    if (args.module != NULL) {
        /* A name without a slash would be looked for elsewhere. */
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s%s", strchr(args.module, '/') == NULL ? "./" : "",
                       args.module);
        if (pubsub_adapter_load(path, NULL, &error) != PUBSUB_OK) {
            return complain("--module", &error);
        }
        (void)setenv(MODULE_VARIABLE, path, 1);
    }
    return run(&args);
}
