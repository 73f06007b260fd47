/* SPDX-License-Identifier: MIT */
/* Any broker of libpubsub as a source. Messages are acknowledged when they are dealt with, so nothing is
 * lost where the broker keeps messages for a name, and what is not dealt with comes again. */
#include "connectors/broker/internal.h"

#include "base/alloc.h"

#include <pubsub/client.h>
#include <pubsub/options.h>

#include <stdio.h>
#include <string.h>

#define NONE "none"

static const pubsub_setting rows[] = {
    {"url", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_REQUIRED | PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "broker URL to subscribe at"},
    {"user", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "user name, instead of in the URL"},
    {"password", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "password, instead of in the URL"},
    {"tls_ca", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "file or directory of trusted certificates; default: the system's"},
    {"tls_cert", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "file of the client certificate"},
    {"tls_key", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "file of the client certificate's private key"},
    {"group", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "share the messages with the other members of this group"},
    {"durable", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "name under which the broker keeps messages while the bridge is away; none = it keeps none; "
     "default: made of the route's name where the broker can"},
    {"qos", PUBSUB_SETTING_INT, 0, NULL, NULL, 0, 2, "0, 1 or 2; default: 1 where the broker can"},
    {"from", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "where to begin the first time: new, earliest, last, a time, a position; default: new"},
    {"prefetch", PUBSUB_SETTING_INT, 0, NULL, NULL, 1, 1000000,
     "messages handed out and not settled; default: the route's in_flight"},
    {"model", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "name of the model of every event; default: the message's topic"},
    {"option", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST | PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "any other option of the broker or the subscription, as name=value"},
};

static pubsub_err no_memory(const pubsub_connector_init *init, pubsub_error *err)
{
    return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for source '%s'", init->name);
}

static const char *text_of(const pubsub_connector_init *init, const char *name)
{
    const pubsub_setting_value *value =
        pubsub_setting_find(init->settings, init->setting_count, name);
    return value != NULL && value->text[0] != '\0' ? value->text : NULL;
}

static bool can(const broker_self *self, pubsub_feature feature)
{
    return self->caps.features[feature].support != PUBSUB_REFUSED;
}

/* ---- options ---- */

static pubsub_err set_free_option(broker_self *self, const char *text, pubsub_error *err)
{
    char name[128];
    const char *equals = strchr(text, '=');
    size_t len = equals != NULL ? (size_t)(equals - text) : 0;
    if (len == 0 || len >= sizeof name) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "an `option` is written name=value, as prefetch_bytes=16M");
    }
    memcpy(name, text, len);
    name[len] = '\0';
    const pubsub_option_row *row = pubsub_option_find(name, err);
    if (row == NULL) {
        return PUBSUB_EOPTION;
    }
    bool subscribe = (row->scopes & PUBSUB_SCOPE_SUBSCRIBE) != 0;
    return pubsub_options_set(subscribe ? self->options : self->client_options, name, equals + 1,
                              err);
}

static pubsub_err set_client_options(broker_self *self, const pubsub_connector_init *init,
                                     pubsub_error *err)
{
    static const char *const names[] = {"user", "password", "tls_ca", "tls_cert", "tls_key"};
    pubsub_err rc = pubsub_options_set(self->client_options, "connect_retry", "yes", err);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && rc == PUBSUB_OK; i++) {
        const char *text = text_of(init, names[i]);
        rc = text != NULL ? pubsub_options_set(self->client_options, names[i], text, err) : rc;
    }
    for (size_t i = 0; i < init->setting_count && rc == PUBSUB_OK; i++) {
        if (strcmp(init->settings[i].name, "option") == 0) {
            rc = set_free_option(self, init->settings[i].text, err);
        }
    }
    return rc;
}

/* The name under which messages are kept: what was asked for, or the reader's where the broker can. */
static const char *durable_name(const broker_self *self, const pubsub_connector_init *init,
                                const char *group)
{
    const char *durable = text_of(init, "durable");
    if (durable != NULL) {
        return strcmp(durable, NONE) == 0 ? NULL : durable;
    }
    return can(self, group != NULL ? PUBSUB_FEATURE_DURABLE_GROUP : PUBSUB_FEATURE_DURABLE)
               ? init->reader
               : NULL;
}

static pubsub_err set_subscribe_options(broker_self *self, const pubsub_connector_init *init,
                                        pubsub_error *err)
{
    char prefetch[16];
    const char *group = text_of(init, "group");
    const char *wanted = text_of(init, "prefetch");
    (void)snprintf(prefetch, sizeof prefetch, "%u",
                   init->in_flight < 1         ? 1u
                   : init->in_flight > 1000000 ? 1000000u
                                               : (unsigned)init->in_flight);
    self->acks = can(self, PUBSUB_FEATURE_ACK);
    const char *const pairs[][2] = {
        {"group", group},
        {"durable", durable_name(self, init, group)},
        {"qos", text_of(init, "qos")},
        {"from", text_of(init, "from")},
        {"prefetch", wanted != NULL ? wanted : prefetch},
        {"ack", self->acks ? "manual" : NULL},
        /* Refusing is the route's business, and it has a dead-letter topic of its own. */
        {"max_attempts", self->acks && can(self, PUBSUB_FEATURE_ATTEMPTS) ? "0" : NULL},
    };
    pubsub_err rc = PUBSUB_OK;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && rc == PUBSUB_OK; i++) {
        if (pairs[i][1] != NULL && !pubsub_options_is_set(self->options, pairs[i][0])) {
            rc = pubsub_options_set(self->options, pairs[i][0], pairs[i][1], err);
        }
    }
    return rc;
}

/* ---- the instance ---- */

void broker_fini(void *ctx)
{
    broker_self *self = ctx;
    if (self == NULL) {
        return;
    }
    if (self->checking && self->client == NULL) {
        self->orphan = true;
        return;
    }
    /* There only when somebody did not wait for the end of a check. */
    self->host->watch_free(self->watch);
    self->host->timer_free(self->beat);
    pubsub_client_free(self->client);
    for (size_t i = 0; self->patterns != NULL && i < self->pattern_count; i++) {
        pubsub__free(self->patterns[i]);
    }
    while (self->pool != NULL) {
        broker_item *item = self->pool;
        self->pool = item->next;
        pubsub__free(item);
    }
    pubsub__free(self->patterns);
    pubsub__free(self->name);
    pubsub__free(self->url);
    pubsub__free(self->model);
    pubsub_options_free(self->client_options);
    pubsub_options_free(self->options);
    pubsub__free(self);
}

static pubsub_err copy_names(broker_self *self, const pubsub_connector_init *init,
                             pubsub_error *err)
{
    self->name = pubsub__strdup(init->name);
    self->url = pubsub__strdup(text_of(init, "url"));
    self->model = pubsub__strdup(text_of(init, "model"));
    self->patterns = pubsub__calloc(init->model_count, sizeof(char *));
    self->pattern_count = init->model_count;
    if (self->name == NULL || self->url == NULL || self->patterns == NULL) {
        return no_memory(init, err);
    }
    for (size_t i = 0; i < init->model_count; i++) {
        pubsub_err rc = pubsub_pattern_check(init->models[i], strlen(init->models[i]), err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        self->patterns[i] = pubsub__strdup(init->models[i]);
        if (self->patterns[i] == NULL) {
            return no_memory(init, err);
        }
    }
    return PUBSUB_OK;
}

static pubsub_err set_up(broker_self *self, const pubsub_connector_init *init, pubsub_error *err)
{
    if (init->model_count == 0 || init->model_count > 64) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "source '%s': 1 to 64 models, this is %zu",
                                init->name, init->model_count);
    }
    if (self->url == NULL && text_of(init, "url") == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "source '%s': url is empty", init->name);
    }
    pubsub_err rc = copy_names(self, init, err);
    rc = rc == PUBSUB_OK ? pubsub_options_new(&self->client_options) : rc;
    rc = rc == PUBSUB_OK ? pubsub_options_new(&self->options) : rc;
    rc = rc == PUBSUB_OK ? set_client_options(self, init, err) : rc;
    self->caps.size = sizeof self->caps;
    rc = rc == PUBSUB_OK ? pubsub_caps_offline(self->url, self->client_options, &self->caps, err)
                         : rc;
    rc = rc == PUBSUB_OK ? set_subscribe_options(self, init, err) : rc;
    return rc == PUBSUB_OK ? pubsub_options_check(self->options, PUBSUB_SCOPE_SUBSCRIBE, err) : rc;
}

static pubsub_err initialize(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    broker_self *self = pubsub__calloc(1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return no_memory(init, err);
    }
    self->host = init->host;
    pubsub_err rc = set_up(self, init, err);
    if (rc != PUBSUB_OK) {
        broker_fini(self);
        return rc;
    }
    *out = self;
    return PUBSUB_OK;
}

const pubsub_connector bridge_connector_broker = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_connector),
    .name = "broker",
    .summary = "any broker of libpubsub; models are topic patterns",
    .flags = PUBSUB_CONNECTOR_SETTLES,
    .settings = rows,
    .setting_count = sizeof rows / sizeof rows[0],
    .initialize = initialize,
    .start = broker_start,
    .resume = broker_resume,
    .settled = broker_settled,
    .stop = broker_stop,
    .fini = broker_fini,
    .check = broker_check,
};
