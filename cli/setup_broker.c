/* SPDX-License-Identifier: MIT */
#include "setup_internal.h"

#include "exit.h"
#include "say.h"

#include "base/alloc.h"
#include "base/nearest.h"

#include <pubsub/caps.h>

#include <stdio.h>
#include <string.h>

/* One place that may name a profile or a broker, the first that does counts. */
typedef struct named {
    const char *text;
    cli_origin origin;
} named;

static bool is_url(const char *text)
{
    return strchr(text, ':') != NULL;
}

/* A broker text that is no URL is the name of a profile. */
static const char *as_profile(const char *broker)
{
    return broker != NULL && broker[0] != '\0' && !is_url(broker) ? broker : NULL;
}

static const char *as_url(const char *broker)
{
    return broker != NULL && is_url(broker) ? broker : NULL;
}

static cli_origin of_entry(const setup_sources *from, const char *profile, const char *key)
{
    const cli_config_entry *entry = cli_config_find(&from->config, profile, key);
    cli_origin_kind kind = profile[0] != '\0' ? CLI_ORIGIN_PROFILE : CLI_ORIGIN_FILE;

    return entry != NULL && from->setup->config_path != NULL
               ? cli_origin_line(kind, from->setup->config_path, entry->line)
               : cli_origin_make(CLI_ORIGIN_DEFAULT, "");
}

static int fail_profile(const setup_sources *from, const named *name)
{
    const char *by = name->origin.detail;
    pubsub__nearest nearest;
    const char *best;

    if (from->setup->config_path == NULL) {
        return cli_usage(
            "%s: no profile %s, as there is no configuration file (`pubsub config path` "
            "shows where one may be): give a broker URL such as mqtt://localhost",
            by, name->text);
    }
    pubsub__nearest_init(&nearest, name->text);
    for (size_t i = 0; i < from->config.count; i++) {
        if (from->config.entries[i].profile[0] != '\0') {
            pubsub__nearest_offer(&nearest, from->config.entries[i].profile);
        }
    }
    best = pubsub__nearest_result(&nearest);
    if (best != NULL) {
        return cli_usage("%s: no profile %s in %s: did you mean %s?", by, name->text,
                         from->setup->config_path, best);
    }
    return cli_usage(
        "%s: no profile %s in %s: give a broker URL such as mqtt://localhost, or write "
        "[profile %s] into the file",
        by, name->text, from->setup->config_path, name->text);
}

static named named_profile(const setup_sources *from, const char *broker)
{
    const char *in_env = broker == NULL ? as_profile(setup_env("PUBSUB_BROKER")) : NULL;
    /* A URL by flag leaves the profiles named elsewhere their say in the other options. */
    const named names[] = {
        {cli_text(from->args, "profile"), cli_origin_make(CLI_ORIGIN_FLAG, "--profile")},
        {as_profile(broker), cli_origin_make(CLI_ORIGIN_FLAG, "--broker")},
        {in_env, cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_BROKER")},
        {setup_env("PUBSUB_PROFILE"), cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_PROFILE")},
        {cli_config_get(&from->config, "", "profile"), of_entry(from, "", "profile")},
        {cli_config_has_profile(&from->config, "default") ? "default" : NULL,
         cli_origin_make(CLI_ORIGIN_DEFAULT, "")},
    };
    size_t i = 0;

    while (i + 1 < sizeof(names) / sizeof(names[0]) && names[i].text == NULL) {
        i++;
    }
    return names[i];
}

int setup_choose_profile(setup_sources *from, const char *broker)
{
    const char *flag = cli_text(from->args, "profile");
    named chosen;

    if (flag != NULL && as_profile(broker) != NULL && strcmp(flag, broker) != 0) {
        return cli_usage("-b %s and --profile %s name two profiles: give one", broker, flag);
    }
    chosen = named_profile(from, broker);
    if (chosen.text == NULL) {
        return CLI_EXIT_OK;
    }
    if (!cli_config_has_profile(&from->config, chosen.text)) {
        return fail_profile(from, &chosen);
    }
    from->setup->profile = pubsub__strdup(chosen.text);
    from->setup->profile_from = chosen.origin;
    return from->setup->profile != NULL ? CLI_EXIT_OK : setup_out_of_memory();
}

const char *cli_setup_profile(const cli_args *args, const cli_config *config)
{
    cli_setup setup = {.config_path = NULL};
    setup_sources from = {.setup = &setup, .args = args, .config = *config};

    return named_profile(&from, cli_text(args, "broker")).text;
}

/* The adapter of a scheme, NULL when nobody knows it. */
static const char *adapter_of(const char *scheme)
{
    pubsub_scheme row;

    for (size_t i = 0; pubsub_scheme_at(i, &row); i++) {
        if (strcmp(row.scheme, scheme) == 0) {
            return row.adapter;
        }
    }
    return NULL;
}

static int parse_url(setup_sources *from)
{
    cli_setup *setup = from->setup;
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (pubsub_url_parse(&from->parsed, from->url, &err) != PUBSUB_OK) {
        const char *by = setup->url_from.detail;

        return cli_usage("%s%swrong broker URL: %s", by, by[0] != '\0' ? ": " : "",
                         pubsub_error_text(&err));
    }
    (void)pubsub_url_redacted(from->parsed, setup->shown, sizeof(setup->shown));
    (void)snprintf(setup->scheme, sizeof(setup->scheme), "%s", pubsub_url_scheme(from->parsed));
    from->adapter = adapter_of(setup->scheme);
    if (from->adapter == NULL) {
        /* What follows may be a password: user:password@host. */
        (void)snprintf(setup->shown, sizeof(setup->shown), "%s:...", setup->scheme);
    }
    return CLI_EXIT_OK;
}

/* Flag > environment > profile > file > built-in; a profile named by a flag counts as a flag. */
int setup_choose_url(setup_sources *from, const char *broker)
{
    const char *profile = from->setup->profile != NULL ? from->setup->profile : "";
    const named in_profile = {profile[0] != '\0' ? cli_config_get(&from->config, profile, "broker")
                                                 : NULL,
                              of_entry(from, profile, "broker")};
    bool by_flag = from->setup->profile_from.kind == CLI_ORIGIN_FLAG;
    const named order[] = {
        {as_url(broker), cli_origin_make(CLI_ORIGIN_FLAG, "--broker")},
        {by_flag ? in_profile.text : NULL, in_profile.origin},
        {as_url(setup_env("PUBSUB_BROKER")), cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_BROKER")},
        in_profile,
        {cli_config_get(&from->config, "", "broker"), of_entry(from, "", "broker")},
    };

    from->url = "local:";
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (order[i].text != NULL) {
            from->url = order[i].text;
            from->setup->url_from = order[i].origin;
            from->setup->broker_given = true;
            break;
        }
    }
    return parse_url(from);
}
