/* SPDX-License-Identifier: MIT */
#include "base/rand.h"
#include "base/text.h"
#include "connectors/couchdb/couch.h"
#include "json/slice.h"

#include <stdio.h>
#include <string.h>

#define FIRST_PAUSE_MS 100
#define REASON_MAX 120

void couch_request(couch *self, bridge_http_request *request, const char *url, const char **headers)
{
    const couch_settings *set = &self->set;
    size_t count = 0;
    request->url = url;
    request->ca_file = set->ca_file;
    request->cert_file = set->cert_file;
    request->key_file = set->key_file;
    request->insecure = set->insecure;
    switch (set->auth) {
    case COUCH_AUTH_BASIC:
        request->user = set->user;
        request->password = set->password;
        break;
    case COUCH_AUTH_BEARER:
        request->bearer = set->token;
        break;
    case COUCH_AUTH_IAM:
        request->bearer = pubsub__buf_text(&self->login.secret);
        break;
    case COUCH_AUTH_SESSION:
        if (self->login.secret.len > 0) {
            headers[count++] = pubsub__buf_text(&self->login.secret);
        }
        break;
    }
    headers[count++] = "Accept: application/json";
    headers[count] = NULL;
    request->headers = headers;
}

/* "unauthorized: You are not a server admin." */
static void reason_of(pubsub_bytes answer, char *out, size_t size)
{
    static const char *const names[] = {"error", "reason"};
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        pubsub__buf text;
        pubsub__buf_init(&text, COUCH_ANSWER_MAX);
        if (bridge_json_unescape(bridge_json_member(answer, names[i]), &text) && text.len > 0) {
            int len = snprintf(out + used, size - used, "%s%.*s", used > 0 ? ", " : ": ",
                               text.len < REASON_MAX / 2 ? (int)text.len : REASON_MAX / 2,
                               pubsub__buf_text(&text));
            used += len > 0 ? (size_t)len : 0;
        }
        pubsub__buf_fini(&text);
    }
    pubsub__text_oneline(out);
}

couch_verdict couch_status(int status, pubsub_bytes answer, const char *model, bool was_live,
                           pubsub_error *err)
{
    char reason[REASON_MAX + 8];
    couch_verdict verdict = COUCH_STOP;
    pubsub_err code = PUBSUB_EREJECTED;
    const char *text = "the server refuses the request";
    reason_of(answer, reason, sizeof(reason));
    if (status == 401) {
        verdict = COUCH_DENIED;
        code = PUBSUB_EAUTH;
        text = "the server does not accept the credentials";
    } else if (status == 403) {
        code = PUBSUB_EDENIED;
        text = "the user may not read this database";
    } else if (status == 404) {
        code = PUBSUB_ENOTFOUND;
        text = was_live ? "the database was deleted" : "there is no such database";
    } else if (status == 400) {
        text = "the server does not understand the request; look at since and selector";
    } else if (status >= 300 && status < 400) {
        text = "the server sends us elsewhere; set url to where it really is";
    } else if (status == 408 || status == 425 || status == 429) {
        verdict = COUCH_RETRY;
        code = PUBSUB_EBUSY;
        text = "the server asks for patience";
    } else if (status >= 500 || status < 300) {
        verdict = COUCH_RETRY;
        code = PUBSUB_EIO;
        text = "the server has a problem";
    }
    (void)pubsub_error_set(err, code, "%s: %s (status %d%s)", model, text, status, reason);
    err->native_code = status;
    return verdict;
}

int64_t couch_backoff(unsigned failures, int64_t retry_after_ms, int64_t longest_ms)
{
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    int64_t most = FIRST_PAUSE_MS * ((int64_t)1 << (doublings < 20 ? doublings : 20));
    int64_t pause = 0;
    most = most < longest_ms ? most : longest_ms;
    pause = 1 + (int64_t)pubsub__rand_below((uint64_t)most);
    return pause > retry_after_ms ? pause : retry_after_ms;
}

bool couch_is_pattern(const char *model)
{
    return strchr(model, '*') != NULL;
}

/* `*` stands for any bytes. Linear but for backing up to the last star. */
bool couch_matches(const char *pattern, pubsub_bytes name)
{
    const char *text = name.data;
    const char *star = NULL;
    size_t at = 0;
    size_t mark = 0;
    /* Databases of the server itself are meant only by who names their underscore. */
    if (name.len > 0 && text[0] == '_' && pattern[0] != '_') {
        return false;
    }
    while (at < name.len) {
        if (*pattern == '*') {
            star = pattern++;
            mark = at;
        } else if (*pattern != '\0' && *pattern == text[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star + 1;
            at = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
