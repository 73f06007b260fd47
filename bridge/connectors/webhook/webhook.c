/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/text.h"
#include "connectors/table.h"
#include "connectors/webhook/internal.h"

#include <string.h>

static const pubsub_setting settings[] = {
    {"listen", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_REQUIRED, NULL, NULL, 0, 0,
     "host:port to listen on; :port is this machine only, *:port every address"},
    {"path", PUBSUB_SETTING_TEXT, 0, "/hooks/{model}", NULL, 0, 0,
     "path of the requests; {model} stands for one level, the model's name"},
    {"signature", PUBSUB_SETTING_CHOICE, 0, NULL, "none|github|stripe|standard|hmac", 0, 0,
     "how the sender signs; needed with a secret, and beyond this machine"},
    {"secret", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_SECRET | PUBSUB_SETTING_LIST, NULL, NULL, 0, 0,
     "secrets that are valid at present; several while one is replaced"},
    {"signature_header", PUBSUB_SETTING_TEXT, 0, "X-Signature", NULL, 0, 0,
     "header with the signature, for hmac"},
    {"signature_prefix", PUBSUB_SETTING_TEXT, 0, "", NULL, 0, 0,
     "what stands before the signature, such as sha256=, for hmac"},
    {"signature_encoding", PUBSUB_SETTING_CHOICE, 0, "hex", "hex|base64", 0, 0, "for hmac"},
    {"signature_algorithm", PUBSUB_SETTING_CHOICE, 0, "sha256", "sha256|sha1|sha512", 0, 0,
     "for hmac"},
    {"tolerance", PUBSUB_SETTING_DURATION, 0, "5m", NULL, 1000, 0,
     "how old a signed time may be, for stripe and standard"},
    {"tls_cert", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "PEM file with the certificate chain"},
    {"tls_key", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "PEM file with the key"},
    {"methods", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST, "POST", NULL, 0, 0,
     "methods that are accepted"},
    {"body", PUBSUB_SETTING_CHOICE, 0, "json", "json|any", 0, 0,
     "what a body must be; any is passed on with its content type"},
    {"max_body", PUBSUB_SETTING_SIZE, 0, "1M", NULL, 1, 64 * 1024 * 1024, "bytes of one request"},
    {"max_pending", PUBSUB_SETTING_INT, 0, "1000", NULL, 1, 1000000,
     "requests that wait for the broker at a time; more are asked to come again"},
    {"max_connections", PUBSUB_SETTING_INT, 0, "2000", NULL, 1, 1000000, "connections at a time"},
    {"max_connections_per_address", PUBSUB_SETTING_INT, 0, "500", NULL, 1, 1000000,
     "connections at a time from one address"},
    {"id_header", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "header with the id of the delivery; the signature's kind knows its own"},
    {"type_header", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0,
     "header with the kind of event, passed on as pubsub-type; likewise"},
    {"headers", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST, NULL, NULL, 0, 0,
     "headers of the request to pass on, by name"},
    {"dedupe_window", PUBSUB_SETTING_DURATION, 0, "1h", NULL, 0, 0,
     "how long the ids of deliveries are known; 0 = not at all"},
    {"dedupe_size", PUBSUB_SETTING_INT, 0, "10000", NULL, 1, 10000000, "how many ids are known"},
    {"retry_after", PUBSUB_SETTING_DURATION, 0, "5s", NULL, 1000, 0,
     "when a sender is told to come again"},
    {"status", PUBSUB_SETTING_INT, 0, "200", NULL, 200, 299, "status of a delivery that is safe"},
};

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

/* ---- settings ------------------------------------------------------------------------------ */

void webhook_config_unref(webhook_config *config)
{
    if (config == NULL || --config->refs > 0) {
        return;
    }
    webhook_signer_fini(&config->signer);
    char *texts[] = {config->source,      config->listen,      config->path,
                     config->mount,       config->cert_file,   config->key_file,
                     config->sign_header, config->sign_prefix, config->id_header,
                     config->type_header, config->id_member,   config->type_member};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        pubsub__free(texts[i]);
    }
    for (size_t i = 0; i < WEBHOOK_LIST_MAX; i++) {
        pubsub__free(config->methods[i]);
        pubsub__free(config->headers[i]);
    }
    pubsub__free(config);
}

typedef struct reading {
    const pubsub_connector_init *init;
    pubsub_error *err;
    pubsub_err code; /* the first failure */
} reading;

static const pubsub_setting_value *find(const reading *r, const char *name)
{
    return pubsub_setting_find(r->init->settings, r->init->setting_count, name);
}

static void fail(reading *r, pubsub_err code, const char *text)
{
    if (r->code == PUBSUB_OK) {
        r->code = pubsub_error_set(r->err, code, "%s", text);
    }
}

static char *copy(reading *r, const char *text)
{
    char *made = pubsub__strdup(text);
    if (made == NULL && text != NULL) {
        fail(r, PUBSUB_ENOMEM, "out of memory");
    }
    return made;
}

static char *text_of(reading *r, const char *name, const char *otherwise)
{
    const pubsub_setting_value *value = find(r, name);
    return copy(r, value != NULL ? value->text : otherwise);
}

static int64_t number_of(const reading *r, const char *name)
{
    const pubsub_setting_value *value = find(r, name);
    return value != NULL ? value->number : 0;
}

static size_t list_of(reading *r, const char *name, char **out)
{
    size_t count = 0;
    for (size_t i = 0; i < r->init->setting_count; i++) {
        const pubsub_setting_value *value = &r->init->settings[i];
        if (strcmp(value->name, name) != 0) {
            continue;
        }
        if (count == WEBHOOK_LIST_MAX) {
            fail(r, PUBSUB_EOPTION, "methods, headers: a list is too long");
            return count;
        }
        out[count++] = copy(r, value->text);
    }
    return count;
}

static void read_signature(reading *r, webhook_config *config)
{
    const pubsub_setting_value *scheme = find(r, "signature");
    bool has_secret = find(r, "secret") != NULL;
    webhook_signer *signer = &config->signer;
    signer->scheme = scheme != NULL ? (webhook_scheme)scheme->number : WEBHOOK_NONE;
    if (scheme == NULL && has_secret) {
        fail(
            r, PUBSUB_EOPTION,
            "signature: say how the sender signs with the secret (github, stripe, standard, hmac)");
    }
    if (scheme != NULL && has_secret != (signer->scheme != WEBHOOK_NONE)) {
        fail(r, PUBSUB_EOPTION,
             has_secret ? "secret: with signature: none it is not used; remove one of them"
                        : "secret: it is needed to check the signature");
    }
    if (scheme == NULL && !has_secret && config->listen != NULL &&
        !bridge_listen_is_loopback(config->listen)) {
        fail(r, PUBSUB_EOPTION,
             "signature: anybody could send events to this address; set a secret and a signature, "
             "or write signature: none");
    }
}

/* Behind read_preset: a secret is made ready for the algorithm. */
static void read_secrets(reading *r, webhook_config *config)
{
    for (size_t i = 0; i < r->init->setting_count && r->code == PUBSUB_OK; i++) {
        if (strcmp(r->init->settings[i].name, "secret") == 0) {
            r->code = webhook_signer_add(&config->signer, r->init->settings[i].text, r->err);
        }
    }
}

/* What each kind of sender has where. */
static void read_preset(reading *r, webhook_config *config)
{
    static const struct {
        const char *signature;
        const char *prefix;
        const char *id_header;
        const char *type_header;
        const char *id_member;
        const char *type_member;
    } presets[] = {
        [WEBHOOK_NONE] = {"", "", "", "", "", ""},
        [WEBHOOK_GITHUB] = {"X-Hub-Signature-256", "sha256=", "X-GitHub-Delivery", "X-GitHub-Event",
                            "", ""},
        [WEBHOOK_STRIPE] = {"Stripe-Signature", "", "", "", "id", "type"},
        [WEBHOOK_STANDARD] = {"webhook-signature", "", "webhook-id", "", "", "type"},
        [WEBHOOK_HMAC] = {NULL, NULL, "", "", "", ""},
    };
    webhook_signer *signer = &config->signer;
    webhook_scheme kind = signer->scheme;
    bool is_hmac = kind == WEBHOOK_HMAC;
    config->sign_header =
        is_hmac ? text_of(r, "signature_header", "") : copy(r, presets[kind].signature);
    config->sign_prefix =
        is_hmac ? text_of(r, "signature_prefix", "") : copy(r, presets[kind].prefix);
    config->id_header = text_of(r, "id_header", presets[kind].id_header);
    config->type_header = text_of(r, "type_header", presets[kind].type_header);
    config->id_member = copy(r, presets[kind].id_member);
    config->type_member = copy(r, presets[kind].type_member);
    signer->header = config->sign_header;
    signer->prefix = config->sign_prefix;
    signer->base64 = is_hmac && number_of(r, "signature_encoding") == 1;
    signer->algorithm = is_hmac && number_of(r, "signature_algorithm") == 1   ? "sha1"
                        : is_hmac && number_of(r, "signature_algorithm") == 2 ? "sha512"
                                                                              : "sha256";
    signer->tolerance_s = number_of(r, "tolerance") / 1000;
}

static void read_path(reading *r, webhook_config *config)
{
    const char *at = NULL;
    const char *model = NULL;
    size_t len = 0;
    config->path = text_of(r, "path", "/hooks/{model}");
    if (config->path == NULL) {
        return;
    }
    at = strstr(config->path, "{model}");
    model = r->init->models[0];
    if (config->path[0] != '/') {
        fail(r, PUBSUB_EOPTION, "path: it begins with a slash");
    } else if (at != NULL && (at[-1] != '/' || (at[7] != '\0' && at[7] != '/'))) {
        fail(r, PUBSUB_EOPTION, "path: {model} is a level of its own, between slashes");
    } else if (at == NULL && (r->init->model_count > 1 || strchr(model, '*') != NULL)) {
        fail(r, PUBSUB_EOPTION,
             "path: it needs a level {model}, because the route has several models");
    }
    len = at != NULL && at > config->path + 1 ? (size_t)(at - config->path) - 1
          : at != NULL                        ? 1
                                              : strlen(config->path);
    config->mount = pubsub__strndup(config->path, len);
    if (config->mount == NULL) {
        fail(r, PUBSUB_ENOMEM, "out of memory");
    }
}

static uint64_t mix(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    } while (*text++ != '\0');
    return hash;
}

static void read_rest(reading *r, webhook_config *config)
{
    config->cert_file = text_of(r, "tls_cert", NULL);
    config->key_file = text_of(r, "tls_key", NULL);
    if ((config->cert_file == NULL) != (config->key_file == NULL)) {
        fail(r, PUBSUB_EOPTION, "tls_cert, tls_key: TLS needs both files");
    }
    config->method_count = list_of(r, "methods", config->methods);
    config->header_count = list_of(r, "headers", config->headers);
    config->any_body = number_of(r, "body") == 1;
    config->max_body = (size_t)number_of(r, "max_body");
    config->max_pending = (size_t)number_of(r, "max_pending");
    config->limits.connections = (size_t)number_of(r, "max_connections");
    config->limits.connections_address = (size_t)number_of(r, "max_connections_per_address");
    config->dedupe_window_ms = number_of(r, "dedupe_window");
    config->dedupe_size = config->dedupe_window_ms > 0 ? (size_t)number_of(r, "dedupe_size") : 0;
    config->retry_after_s = number_of(r, "retry_after") / 1000;
    config->status = (int)number_of(r, "status");
    config->same = mix(14695981039346656037u, r->init->name);
    for (size_t i = 0; i < r->init->setting_count; i++) {
        config->same = mix(mix(config->same, r->init->settings[i].name), r->init->settings[i].text);
    }
}

static pubsub_err read_config(webhook *self, const pubsub_connector_init *init, pubsub_error *err)
{
    reading r = {init, err, PUBSUB_OK};
    webhook_config *config = pubsub__calloc(1, sizeof(*config));
    if (config == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    config->refs = 1;
    self->config = config;
    config->source = copy(&r, init->name);
    config->listen = text_of(&r, "listen", NULL);
    read_path(&r, config);
    read_signature(&r, config);
    read_preset(&r, config);
    read_secrets(&r, config);
    read_rest(&r, config);
    return r.code;
}

/* ---- the connector ------------------------------------------------------------------------- */

static webhook *known; /* all instances, of every host */

/* Connections are counted for an address, before anybody knows whose path is asked for. */
static pubsub_err check_limits(const webhook *self, pubsub_error *err)
{
    const webhook_config *ours = self->config;
    for (const webhook *at = known; at != NULL; at = at->next_known) {
        const webhook_config *other = at->config;
        bool total = ours->limits.connections != other->limits.connections;
        bool each = ours->limits.connections_address != other->limits.connections_address;
        if (at->host == self->host && (total || each) && strcmp(ours->source, other->source) != 0 &&
            bridge_listen_is_same(ours->listen, other->listen)) {
            return pubsub_error_set(
                err, PUBSUB_EOPTION,
                "%s: source '%s' listens on the same address and has %zu; an "
                "address has one limit, so write the same in both",
                total ? "max_connections" : "max_connections_per_address", other->source,
                total ? other->limits.connections : other->limits.connections_address);
        }
    }
    return PUBSUB_OK;
}

static void forget(const webhook *self)
{
    webhook **at = &known;
    while (*at != NULL && *at != self) {
        at = &(*at)->next_known;
    }
    if (*at != NULL) {
        *at = self->next_known;
    }
}

static void webhook_fini(void *ctx)
{
    webhook *self = ctx;
    if (self == NULL) {
        return;
    }
    forget(self);
    for (size_t i = 0; i < self->model_count; i++) {
        pubsub__free(self->models[i]);
    }
    pubsub__free(self->models);
    webhook_config_unref(self->config);
    pubsub__free(self);
}

static pubsub_err webhook_initialize(void **out, const pubsub_connector_init *init,
                                     pubsub_error *err)
{
    webhook *self = pubsub__calloc(1, sizeof(*self));
    pubsub_err code = PUBSUB_ENOMEM;
    *out = NULL;
    if (self != NULL) {
        self->host = init->host;
        self->models = pubsub__calloc(init->model_count, sizeof(*self->models));
    }
    if (self == NULL || self->models == NULL) {
        pubsub__free(self);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    for (; self->model_count < init->model_count; self->model_count++) {
        self->models[self->model_count] = pubsub__strdup(init->models[self->model_count]);
        if (self->models[self->model_count] == NULL) {
            webhook_fini(self);
            return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        }
    }
    code = read_config(self, init, err);
    code = code == PUBSUB_OK ? check_limits(self, err) : code;
    if (code != PUBSUB_OK) {
        webhook_fini(self);
        return code;
    }
    self->next_known = known;
    known = self;
    *out = self;
    return PUBSUB_OK;
}

static pubsub_err webhook_start(void *ctx, pubsub_emitter *emitter, pubsub_error *err)
{
    webhook *self = ctx;
    pubsub_err code = webhook_receiver_join(self, err);
    if (code != PUBSUB_OK) {
        return code;
    }
    self->emitter = emitter;
    for (size_t i = 0; i < self->model_count; i++) {
        emitter->state(emitter, pubsub_bytes_of(self->models[i]), PUBSUB_SOURCE_ACTIVE);
    }
    return PUBSUB_OK;
}

/* A request that did not fit was answered; its sender comes again. */
static void webhook_resume(void *ctx)
{
    (void)ctx;
}

static void webhook_settled(void *ctx, const pubsub_settled *settled, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        webhook_receiver_settled(&settled[i]);
    }
}

static void webhook_stop(void *ctx, void (*done)(void *ctx), void *done_ctx)
{
    webhook *self = ctx;
    self->emitter = NULL;
    self->done = done;
    self->done_ctx = done_ctx;
    webhook_receiver_leave(self);
}

static void webhook_check(void *ctx, void (*say)(void *ctx, const pubsub_error *finding),
                          void (*done)(void *ctx), void *say_ctx)
{
    webhook *self = ctx;
    pubsub_error finding = PUBSUB_ERROR_INIT;
    if (self->config->signer.scheme == WEBHOOK_NONE) {
        (void)pubsub_error_set(&finding, PUBSUB_OK,
                               "signatures are not checked: whoever reaches %s "
                               "can send events",
                               self->config->listen);
        say(say_ctx, &finding);
    }
    (void)pubsub_error_set(&finding, PUBSUB_OK,
                           "what is sent while the bridge is down is lost unless the sender tries "
                           "again; GitHub does not by itself");
    say(say_ctx, &finding);
    done(say_ctx);
}

const pubsub_connector bridge_connector_webhook = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_connector),
    .name = "webhook",
    .summary = "receives webhooks over HTTP(S): GitHub, Stripe, Standard Webhooks, any HMAC",
    .flags = PUBSUB_CONNECTOR_SETTLES | PUBSUB_CONNECTOR_HURRIES,
    .settings = settings,
    .setting_count = SETTING_COUNT,
    .initialize = webhook_initialize,
    .start = webhook_start,
    .resume = webhook_resume,
    .settled = webhook_settled,
    .stop = webhook_stop,
    .fini = webhook_fini,
    .check = webhook_check,
};
