/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/text.h"
#include "connectors/couchdb/couch.h"
#include "json/slice.h"

#include <string.h>

#define ROW(name, type, flags, def, choices, min, max, help)                                       \
    {                                                                                              \
        name, PUBSUB_SETTING_##type, flags, def, choices, min, max, help                           \
    }

const pubsub_setting couch_setting_table[COUCH_SETTING_COUNT] = {
    ROW("url", TEXT, PUBSUB_SETTING_REQUIRED, NULL, NULL, 0, 0,
        "address of the server without a database, https://host:6984"),
    ROW("user", TEXT, 0, NULL, NULL, 0, 0, "name of the user"),
    ROW("password", TEXT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0, "the user's password"),
    ROW("auth", CHOICE, 0, "basic", "basic|session|bearer|iam", 0, 0,
        "how to log in: user and password in each request, a session's cookie, a token, an IAM "
        "key"),
    ROW("token", TEXT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0, "bearer token (auth: bearer)"),
    ROW("iam_key", TEXT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0, "IBM Cloud API key (auth: iam)"),
    ROW("iam_url", TEXT, 0, "https://iam.cloud.ibm.com/identity/token", NULL, 0, 0,
        "where IAM keys become tokens"),
    ROW("iam_ca", TEXT, 0, NULL, NULL, 0, 0,
        "file with the authorities to trust at iam_url (PEM); else the system's"),
    ROW("feed", CHOICE, 0, "longpoll", "longpoll|continuous", 0, 0,
        "longpoll passes every proxy; continuous is one endless answer"),
    ROW("since", TEXT, 0, "now", NULL, 0, 0,
        "where to begin when no position is stored: now, 0 (everything), or a sequence"),
    ROW("include_docs", BOOL, 0, "yes", NULL, 0, 0, "send documents, not only what changed"),
    ROW("selector", JSON, 0, NULL, NULL, 0, 0, "only documents that match this selector"),
    ROW("heartbeat", DURATION, 0, NULL, NULL, 100, 3600000,
        "sign of life the server sends while nothing happens; default 10s with feed: continuous"),
    ROW("timeout", DURATION, 0, "57s", NULL, 100, 3600000,
        "how long one longpoll waits for a change"),
    ROW("limit", INT, 0, "10000", NULL, 1, 1000000, "rows in one answer"),
    ROW("retry_max", DURATION, 0, "57s", NULL, 1, 3600000, "longest pause between two attempts"),
    ROW("discover", DURATION, 0, "30s", NULL, 100, 86400000,
        "how often the list of databases is read when a model is a pattern"),
    ROW("max_document", SIZE, 0, "16M", NULL, 1024, (int64_t)1 << 30,
        "largest document in bytes; a larger one stops the feed"),
    ROW("tls_ca", TEXT, 0, NULL, NULL, 0, 0, "file with the authorities to trust (PEM)"),
    ROW("tls_cert", TEXT, 0, NULL, NULL, 0, 0, "file with the own certificate (PEM)"),
    ROW("tls_key", TEXT, 0, NULL, NULL, 0, 0, "file with the own key (PEM)"),
    ROW("tls_verify", BOOL, 0, "yes", NULL, 0, 0, "no: trust any server, for tests only"),
};

typedef struct reader {
    const pubsub_connector_init *init;
    bool nomem;
} reader;

static const pubsub_setting_value *find(const reader *from, const char *name)
{
    return pubsub_setting_find(from->init->settings, from->init->setting_count, name);
}

static char *text(reader *from, const char *name)
{
    const pubsub_setting_value *value = find(from, name);
    char *copy = NULL;
    if (value == NULL || value->text == NULL) {
        return NULL;
    }
    copy = pubsub__strdup(value->text);
    from->nomem = from->nomem || copy == NULL;
    return copy;
}

static int64_t number(const reader *from, const char *name, int64_t otherwise)
{
    const pubsub_setting_value *value = find(from, name);
    return value != NULL ? value->number : otherwise;
}

static char *selector_body(reader *from)
{
    const pubsub_setting_value *value = find(from, "selector");
    pubsub__buf body;
    if (value == NULL || value->text == NULL) {
        return NULL;
    }
    pubsub__buf_init(&body, (size_t)1 << 20);
    if (pubsub__buf_printf(&body, "{\"selector\":%s}", value->text) != PUBSUB__BUF_OK) {
        from->nomem = true;
    }
    return pubsub__buf_take(&body);
}

static pubsub_err check_auth(const couch_settings *set, pubsub_error *err)
{
    if ((set->auth == COUCH_AUTH_SESSION || set->password != NULL) && set->user == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "user is missing");
    }
    if (set->user != NULL && set->password == NULL &&
        (set->auth == COUCH_AUTH_BASIC || set->auth == COUCH_AUTH_SESSION)) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "password is missing for user %s", set->user);
    }
    if (set->auth == COUCH_AUTH_BEARER && set->token == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "auth: bearer needs token");
    }
    if (set->auth == COUCH_AUTH_IAM && set->iam_key == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "auth: iam needs iam_key");
    }
    return PUBSUB_OK;
}

static pubsub_err check_rest(const couch_settings *set, pubsub_error *err)
{
    const char *wrong = NULL;
    if (set->url == NULL || (!pubsub__text_starts_with(set->url, "http://") &&
                             !pubsub__text_starts_with(set->url, "https://"))) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "url has to begin with http:// or https://");
    }
    if (strchr(set->url, '@') != NULL || strpbrk(set->url, "?#") != NULL) {
        return pubsub_error_set(
            err, PUBSUB_EOPTION,
            "url is only scheme, host and port; user and password have settings "
            "of their own");
    }
    if (set->selector != NULL) {
        wrong = bridge_json_check(pubsub_bytes_of(set->selector), NULL);
        if (wrong != NULL) {
            return pubsub_error_set(err, PUBSUB_EOPTION, "selector is no JSON: %s", wrong);
        }
    }
    if ((set->cert_file == NULL) != (set->key_file == NULL)) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "tls_cert and tls_key belong together");
    }
    if (set->since == NULL || set->since[0] == '\0') {
        return pubsub_error_set(err, PUBSUB_EOPTION, "since is now, 0, or a sequence");
    }
    return PUBSUB_OK;
}

pubsub_err couch_settings_read(couch_settings *set, const pubsub_connector_init *init,
                               pubsub_error *err)
{
    reader from = {init, false};
    pubsub_err result = PUBSUB_OK;
    set->url = text(&from, "url");
    set->user = text(&from, "user");
    set->password = text(&from, "password");
    set->token = text(&from, "token");
    set->iam_key = text(&from, "iam_key");
    set->iam_url = text(&from, "iam_url");
    set->iam_ca_file = text(&from, "iam_ca");
    set->since = text(&from, "since");
    set->selector = selector_body(&from);
    set->ca_file = text(&from, "tls_ca");
    set->cert_file = text(&from, "tls_cert");
    set->key_file = text(&from, "tls_key");
    set->auth = (couch_auth)number(&from, "auth", COUCH_AUTH_BASIC);
    set->continuous = number(&from, "feed", 0) == 1;
    set->include_docs = number(&from, "include_docs", 1) != 0;
    set->insecure = number(&from, "tls_verify", 1) == 0;
    set->heartbeat = number(&from, "heartbeat", set->continuous ? 10000 : 0);
    set->timeout = number(&from, "timeout", 57000);
    set->limit = number(&from, "limit", 10000);
    set->retry_max = number(&from, "retry_max", 57000);
    set->discover = number(&from, "discover", 30000);
    set->max_document = (size_t)number(&from, "max_document", (int64_t)16 << 20);
    if (from.nomem) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    result = check_auth(set, err);
    if (result == PUBSUB_OK) {
        result = check_rest(set, err);
    }
    for (size_t len = result == PUBSUB_OK ? strlen(set->url) : 0;
         len > 0 && set->url[len - 1] == '/';) {
        set->url[--len] = '\0';
    }
    return result;
}

static void wipe(char *secret)
{
    if (secret != NULL) {
        pubsub__wipe(secret, strlen(secret));
        pubsub__free(secret);
    }
}

void couch_settings_fini(couch_settings *set)
{
    pubsub__free(set->url);
    pubsub__free(set->user);
    wipe(set->password);
    wipe(set->token);
    wipe(set->iam_key);
    pubsub__free(set->iam_url);
    pubsub__free(set->iam_ca_file);
    pubsub__free(set->since);
    pubsub__free(set->selector);
    pubsub__free(set->ca_file);
    pubsub__free(set->cert_file);
    pubsub__free(set->key_file);
}
