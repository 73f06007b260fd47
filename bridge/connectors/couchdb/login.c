/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "connectors/couchdb/couch.h"
#include "connectors/couchdb/position.h"
#include "json/slice.h"

#include <string.h>
#include <strings.h>

#define NS_PER_S 1000000000u
#define LOGIN_MS 30000
#define SHORTEST_S 5u

static bool must_log_in(const couch *self)
{
    return self->set.auth == COUCH_AUTH_SESSION || self->set.auth == COUCH_AUTH_IAM;
}

bool couch_login_ready(couch *self)
{
    const couch_login *login = &self->login;
    return !must_log_in(self) ||
           (login->secret.len > 0 &&
            (login->until_ns == 0 || self->host->now_ns(self->host) < login->until_ns));
}

static void forget(pubsub__buf *secret)
{
    if (secret->data != NULL) {
        pubsub__wipe(secret->data, secret->len);
    }
    pubsub__buf_reset(secret);
}

void couch_login_expire(couch *self, unsigned generation)
{
    if (generation == self->login.generation) {
        forget(&self->login.secret);
    }
}

void couch_login_reset(couch *self)
{
    if (self->login.call != NULL) {
        bridge_http_cancel(self->login.call);
        self->login.call = NULL;
    }
    forget(&self->login.secret);
    forget(&self->login.form);
    forget(&self->login.answer);
}

void couch_login_header(couch *self, pubsub_bytes name, pubsub_bytes value)
{
    static const char cookie[] = "AuthSession=";
    const char *end = NULL;
    if (self->set.auth != COUCH_AUTH_SESSION || name.len != 10 ||
        strncasecmp(name.data, "set-cookie", 10) != 0 || value.len <= sizeof(cookie) - 1 ||
        memcmp(value.data, cookie, sizeof(cookie) - 1) != 0) {
        return;
    }
    end = memchr(value.data, ';', value.len);
    value.len = end != NULL ? (size_t)(end - (const char *)value.data) : value.len;
    if (value.len == sizeof(cookie) - 1) {
        return; /* that takes the cookie away */
    }
    forget(&self->login.secret);
    if (pubsub__buf_add_text(&self->login.secret, "Cookie: ") != PUBSUB__BUF_OK ||
        pubsub__buf_add(&self->login.secret, value.data, value.len) != PUBSUB__BUF_OK) {
        pubsub__buf_reset(&self->login.secret);
    }
}

static void tell(couch *self, const pubsub_error *err, bool for_good, int64_t retry_after_ms)
{
    for (couch_feed *feed = self->feeds; feed != NULL; feed = feed->next) {
        couch_feed_login(feed, err, for_good, retry_after_ms);
    }
    couch_discovery_login(self, err, for_good, retry_after_ms);
    couch_check_login(self, err);
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    couch_login_header(ctx, name, value);
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    couch *self = ctx;
    (void)pubsub__buf_add(&self->login.answer, bytes.data, bytes.len);
    return bytes.len;
}

static bool take_token(couch *self)
{
    couch_login *login = &self->login;
    pubsub_bytes answer = couch_bytes(&login->answer);
    uint64_t seconds = 0;
    forget(&login->secret);
    if (bridge_json_check(answer, NULL) != NULL ||
        !bridge_json_unescape(bridge_json_member(answer, "access_token"), &login->secret)) {
        return false;
    }
    login->until_ns = 0;
    if (bridge_json_u64(bridge_json_member(answer, "expires_in"), &seconds) && seconds < 1000000) {
        /* Renewed at four fifths of its time, before anybody is refused; but not all the time, whatever the
         * server says of it. */
        seconds = seconds > SHORTEST_S ? seconds : SHORTEST_S;
        login->until_ns = self->host->now_ns(self->host) + seconds * NS_PER_S / 5 * 4;
    }
    return login->secret.len > 0;
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    couch *self = ctx;
    couch_login *login = &self->login;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool for_good = false;
    bool good = end->error == NULL && end->status == 200;
    login->call = NULL;
    if (self->emitter == NULL && self->check == NULL) {
        return;
    }
    if (good && self->set.auth == COUCH_AUTH_IAM) {
        good = take_token(self);
    }
    good = good && login->secret.len > 0;
    if (good) {
        login->generation++;
    } else if (end->error != NULL) {
        (void)pubsub_error_set(&err, end->error->code, "logging in: %s",
                               pubsub_error_text(end->error));
        err.native_code = end->error->native_code;
    } else if (end->status == 200) {
        (void)pubsub_error_set(&err, PUBSUB_EPROTO, "the answer to logging in holds no %s",
                               self->set.auth == COUCH_AUTH_IAM ? "token" : "session cookie");
    } else {
        couch_verdict verdict =
            couch_status(end->status, couch_bytes(&login->answer), "logging in", false, &err);
        for_good = verdict != COUCH_RETRY;
        err.code = for_good ? PUBSUB_EAUTH : err.code;
    }
    forget(&login->answer);
    forget(&login->form);
    tell(self, good ? NULL : &err, for_good, end->retry_after_ms);
}

static bool add_field(pubsub__buf *form, const char *name, const char *value)
{
    return pubsub__buf_add_text(form, name) == PUBSUB__BUF_OK &&
           couch_url_add(form, pubsub_bytes_of(value)) == PUBSUB__BUF_OK;
}

void couch_login_start(couch *self)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    const couch_settings *set = &self->set;
    bool iam = set->auth == COUCH_AUTH_IAM;
    couch_login *login = &self->login;
    bridge_http_request request = {.headers = headers,
                                   .ca_file = set->ca_file,
                                   .cert_file = iam ? NULL : set->cert_file,
                                   .key_file = iam ? NULL : set->key_file,
                                   .insecure = set->insecure && !iam,
                                   .total_ms = LOGIN_MS,
                                   .on_header = on_header,
                                   .on_body = on_body,
                                   .on_end = on_end,
                                   .ctx = self};
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__buf url;
    bool good = false;
    if (login->call != NULL) {
        return;
    }
    forget(&login->answer);
    forget(&login->form);
    pubsub__buf_init(&url, COUCH_ANSWER_MAX);
    if (iam) {
        /* The server of tokens is another one, with its own certificate. */
        request.ca_file = set->iam_ca_file;
        request.ca_name = "iam_ca";
        good = pubsub__buf_add_text(&url, set->iam_url) == PUBSUB__BUF_OK &&
               add_field(&login->form,
                         "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=", set->iam_key);
    } else {
        good = pubsub__buf_printf(&url, "%s/_session", set->url) == PUBSUB__BUF_OK &&
               add_field(&login->form, "name=", set->user) &&
               add_field(&login->form, "&password=", set->password);
    }
    if (good) {
        request.url = pubsub__buf_text(&url);
        request.body = couch_bytes(&login->form);
        login->call = bridge_http_start(self->http, &request, &err);
    } else {
        (void)pubsub_error_set(&err, PUBSUB_ENOMEM, "out of memory");
    }
    pubsub__buf_fini(&url);
    if (login->call == NULL) {
        tell(self, &err, err.code != PUBSUB_ENOMEM, -1);
    }
}
