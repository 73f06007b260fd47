/* SPDX-License-Identifier: MIT */
#include "client_setup.h"

#include "exit.h"
#include "options_list.h"
#include "say.h"
#include "setup_internal.h"

#include "base/alloc.h"
#include "base/text.h"

#include <pubsub/log.h>

#include <string.h>

int cli_fail(const char *what, const pubsub_error *err)
{
    cli_error("%s: %s", what, pubsub_error_text(err));
    return cli_exit_of(err->code);
}

int cli_fail_connect(const cli_setup *setup, const pubsub_error *err)
{
    int code = cli_fail(setup->shown, err);

    return code == CLI_EXIT_FAILED || code == CLI_EXIT_TIMEOUT ? CLI_EXIT_CONNECT : code;
}

int cli_setup_option(pubsub_options *options, const char *name, const char *value)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (pubsub_options_set(options, name, value, &err) != PUBSUB_OK) {
        return cli_fail("wrong option", &err);
    }
    return CLI_EXIT_OK;
}

/* ---- log ----------------------------------------------------------------------------------- */

static void on_log(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)ctx;
    if (level <= PUBSUB_LOG_WARN) {
        cli_warn("%s: %s", component, text);
    } else {
        cli_verbose("%s: %s", component, text);
    }
}

static int setup_log(const cli_args *args)
{
    static const pubsub_log_level levels[] = {PUBSUB_LOG_OFF, PUBSUB_LOG_WARN, PUBSUB_LOG_INFO,
                                              PUBSUB_LOG_DEBUG};
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *components = cli_text(args, "debug");

    if (components != NULL && pubsub_log_set_filter(components, &err) != PUBSUB_OK) {
        return cli_fail("--debug", &err);
    }
    pubsub_log_set_level(levels[cli_say_verbosity() + 1]);
    pubsub_log_set(on_log, NULL);
    return CLI_EXIT_OK;
}

/* ---- together ------------------------------------------------------------------------------ */

static int gather(setup_sources *from, const char *broker)
{
    int code = setup_read_config(from);

    if (code == CLI_EXIT_OK) {
        code = setup_choose_profile(from, broker);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_choose_url(from, broker);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_check_flags(from);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_apply_file(from);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_apply_env(from);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_apply_flags(from);
    }
    if (code == CLI_EXIT_OK) {
        code = setup_finish_login(from);
    }
    return code == CLI_EXIT_OK ? setup_finish_url(from) : code;
}

static bool asks_for(const cli_args *args, const char *word)
{
    const char *text;

    for (size_t i = 0; (text = cli_at(args, "option", i)) != NULL; i++) {
        if (strcmp(text, word) == 0) {
            return true;
        }
    }
    return false;
}

int cli_setup_init(cli_setup *setup, const cli_args *args, const char *broker, bool *done)
{
    setup_sources from = {.setup = setup, .args = args};
    int code;

    *done = false;
    memset(setup, 0, sizeof(*setup));
    setup->timeout_ms = cli_int(args, "timeout", -1);
    if (asks_for(args, "list")) {
        *done = true;
        return cli_options_list();
    }
    if (pubsub_options_new(&setup->client) != PUBSUB_OK ||
        pubsub_options_new(&setup->subscribe) != PUBSUB_OK ||
        pubsub_options_new(&setup->publish) != PUBSUB_OK) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    code = setup_log(args);
    if (code == CLI_EXIT_OK) {
        code = gather(&from, broker != NULL ? broker : cli_text(args, "broker"));
    }
    setup_sources_fini(&from);
    if (code == CLI_EXIT_OK && asks_for(args, "dump")) {
        *done = true;
        return cli_options_dump(setup);
    }
    return code;
}

void cli_setup_fini(cli_setup *setup)
{
    if (setup->url != NULL) {
        pubsub__wipe(setup->url, strlen(setup->url));
    }
    pubsub__free(setup->url);
    pubsub__free(setup->profile);
    pubsub__free(setup->config_path);
    cli_origins_fini(&setup->origins);
    pubsub_options_free(setup->client);
    pubsub_options_free(setup->subscribe);
    pubsub_options_free(setup->publish);
    memset(setup, 0, sizeof(*setup));
}

int cli_setup_client(const cli_setup *setup, pubsub_client **out)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (pubsub_client_new(out, setup->url, setup->client, &err) != PUBSUB_OK) {
        return cli_fail(setup->shown, &err);
    }
    return CLI_EXIT_OK;
}
