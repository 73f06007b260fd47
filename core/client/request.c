/* SPDX-License-Identifier: MIT */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* timegm */
#endif
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/units.h"
#include "options/resolve.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* From subscribe options to a request, and the answer from capabilities. */

/* RFC 3339, section 5.6: 2026-01-31T12:00:00[.5](Z|+01:00); a space may stand for the T. */
static bool parse_rfc3339(const char *text, uint64_t *out_ns)
{
    struct tm tm;
    int used = 0;
    char sep = 0;
    memset(&tm, 0, sizeof tm);
    if (sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &sep,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 7 ||
        (sep != 'T' && sep != 't' && sep != ' ')) {
        return false;
    }
    bool in_range = tm.tm_year >= 1970 && tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 &&
                    tm.tm_mday <= 31 && tm.tm_hour >= 0 && tm.tm_hour <= 23 && tm.tm_min >= 0 &&
                    tm.tm_min <= 59 && tm.tm_sec >= 0 && tm.tm_sec <= 60;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const char *at = text + used;
    uint64_t fraction = 0;
    if (*at == '.') {
        uint64_t unit = 100000000u;
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10) {
            fraction += (uint64_t)(*at - '0') * unit;
        }
    }
    int hours = 0;
    int minutes = 0;
    int end = 0;
    if ((*at == '+' || *at == '-') && sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &end) == 2) {
        int64_t sign = *at == '-' ? -1 : 1;
        at += 1 + end;
        tm.tm_sec -= (int)(sign * (hours * 3600 + minutes * 60));
    } else if (*at == 'Z' || *at == 'z') {
        at++;
    } else {
        return false;
    }
    time_t seconds = timegm(&tm);
    if (!in_range || *at != '\0' || seconds < 0) {
        return false;
    }
    *out_ns = (uint64_t)seconds * 1000000000u + fraction;
    return true;
}

/* "@1700000000.25": seconds since 1970. */
static bool parse_unix(const char *text, uint64_t *out_ns)
{
    uint64_t seconds = 0;
    uint64_t fraction = 0;
    const char *at = text + 1;
    if (*text != '@' || *at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9' && seconds < 10000000000u; at++) {
        seconds = seconds * 10 + (uint64_t)(*at - '0');
    }
    if (*at == '.') {
        uint64_t unit = 100000000u;
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10) {
            fraction += (uint64_t)(*at - '0') * unit;
        }
    }
    *out_ns = seconds * 1000000000u + fraction;
    return *at == '\0';
}

static bool parse_time(const char *text, uint64_t *out_ns)
{
    int64_t ago_ms = 0;
    if (text[0] == '-' && pubsub__parse_duration(text + 1, &ago_ms) == 0 && ago_ms >= 0) {
        uint64_t now = pubsub__clock_wall_ns();
        uint64_t ago = (uint64_t)ago_ms * 1000000u;
        *out_ns = ago < now ? now - ago : 0;
        return true;
    }
    return parse_unix(text, out_ns) || parse_rfc3339(text, out_ns);
}

static pubsub_err parse_from(const pubsub_adapter *adapter, const char *text, pubsub_from *out,
                             pubsub_error *err)
{
    static const struct {
        const char *word;
        pubsub_from_kind kind;
    } words[] = {{"new", PUBSUB_FROM_NEW},
                 {"earliest", PUBSUB_FROM_EARLIEST},
                 {"last", PUBSUB_FROM_LAST}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0) {
            out->kind = words[i].kind;
            return PUBSUB_OK;
        }
    }
    if (parse_time(text, &out->time_ns)) {
        out->kind = PUBSUB_FROM_TIME;
        return PUBSUB_OK;
    }
    pubsub_error why = PUBSUB_ERROR_INIT;
    if (adapter->position_parse != NULL &&
        adapter->position_parse(text, &out->position, &why) == PUBSUB_OK) {
        out->kind = PUBSUB_FROM_POSITION;
        return PUBSUB_OK;
    }
    return pubsub_error_set(err, PUBSUB_EOPTION,
                            "from='%.60s' is neither new, earliest, last, a time "
                            "(2026-01-31T12:00:00Z, @1700000000, -5m) nor a position of %s",
                            text, adapter->name);
}

static uint64_t subscribe_features(const pubsub_subscribe_request *request,
                                   const pubsub_options *own)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < request->pattern_count; i++) {
        const char *pattern = request->patterns[i].data;
        size_t len = request->patterns[i].len;
        bits |= request->literal ? 0 : PUBSUB_BIT(PUBSUB_FEATURE_PATTERNS);
        for (size_t at = 0; !request->literal && at + 1 < len; at++) {
            bool multi = (pattern[at] == '#' || pattern[at] == '*') && pattern[at + 1] == '/' &&
                         (at == 0 || pattern[at - 1] == '/');
            bits |= multi ? PUBSUB_BIT(PUBSUB_FEATURE_INNER_MULTI) : 0;
        }
    }
    if (request->qos != PUBSUB_QOS_UNSET) {
        bits |= PUBSUB_BIT(PUBSUB_FEATURE_QOS0 + request->qos);
    }
    bool group = request->group[0] != '\0';
    bool durable = request->durable[0] != '\0';
    bits |= group ? PUBSUB_BIT(PUBSUB_FEATURE_GROUP) : 0;
    bits |= durable && !group ? PUBSUB_BIT(PUBSUB_FEATURE_DURABLE) : 0;
    bits |= durable && group ? PUBSUB_BIT(PUBSUB_FEATURE_DURABLE_GROUP) : 0;
    static const pubsub_feature from[] = {PUBSUB_FEATURE_COUNT, PUBSUB_FEATURE_FROM_EARLIEST,
                                          PUBSUB_FEATURE_RETAIN, PUBSUB_FEATURE_FROM_TIME,
                                          PUBSUB_FEATURE_FROM_POSITION};
    if (request->from.kind != PUBSUB_FROM_NEW) {
        bits |= PUBSUB_BIT(from[request->from.kind]);
    }
    if (request->order_key) {
        bits |= PUBSUB_BIT(group ? PUBSUB_FEATURE_ORDER_KEY_GROUP : PUBSUB_FEATURE_ORDER_KEY);
    }
    static const struct {
        const char *option;
        pubsub_feature feature;
    } asked[] = {{"ack", PUBSUB_FEATURE_ACK},
                 {"nack_delay", PUBSUB_FEATURE_NACK_DELAY},
                 {"max_attempts", PUBSUB_FEATURE_ATTEMPTS},
                 {"dead_letter", PUBSUB_FEATURE_DEAD_LETTER}};
    for (size_t i = 0; own != NULL && i < sizeof asked / sizeof asked[0]; i++) {
        if (pubsub_options_is_set(own, asked[i].option)) {
            bits |= PUBSUB_BIT(asked[i].feature);
        }
    }
    return bits;
}

static pubsub_err parse_texts(pubsub_client *client, pubsub_subscription *sub, pubsub_error *err)
{
    const pubsub_options *options = sub->options;
    const char *group = pubsub_options_get(options, "group");
    const char *durable = pubsub_options_get(options, "durable");
    const char *from = pubsub_options_get(options, "from");
    const char *dead = pubsub_options_get(options, "dead_letter");
    sub->group = pubsub__strdup(group == NULL ? "" : group);
    sub->durable = pubsub__strdup(durable == NULL ? "" : durable);
    bool off = dead != NULL && strcmp(dead, "none") == 0;
    sub->dead_letter = off ? NULL : pubsub__strdup(dead == NULL ? "" : dead);
    if (sub->group == NULL || sub->durable == NULL || (!off && sub->dead_letter == NULL)) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
    }
    if (!off && sub->dead_letter[0] != '\0') {
        pubsub_err rc = pubsub_topic_check(sub->dead_letter, strlen(sub->dead_letter), err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    sub->spi.request.group = sub->group;
    sub->spi.request.durable = sub->durable;
    return parse_from(client->adapter, from == NULL ? "new" : from, &sub->spi.request.from, err);
}

static int64_t number(const pubsub_options *options, const char *name)
{
    int64_t value = 0;
    return pubsub_options_int(options, name, &value) == PUBSUB_OK ? value : 0;
}

/* The client's values are the defaults of its subscriptions. */
static pubsub_err merge(pubsub_client *client, pubsub_subscription *sub,
                        const pubsub_options *own, pubsub_error *err)
{
    if (own != NULL) {
        pubsub_err rc = pubsub_options_check(own, PUBSUB_SCOPE_SUBSCRIBE, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    pubsub_err rc = pubsub_options_copy(&sub->options, client->options);
    if (rc == PUBSUB_OK && own != NULL) {
        rc = pubsub_options_merge(sub->options, own);
    }
    return rc == PUBSUB_OK ? rc
                           : pubsub_error_set(err, rc, "no memory for the options of a subscription");
}

pubsub_err pubsub__request_parse(pubsub_client *client, pubsub_subscription *sub,
                                 const pubsub_options *own, pubsub_error *err)
{
    pubsub_err rc = merge(client, sub, own, err);
    if (rc == PUBSUB_OK) {
        rc = parse_texts(client, sub, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub_subscribe_request *request = &sub->spi.request;
    const pubsub_options *options = sub->options;
    request->options = options;
    request->qos = pubsub_options_is_set(options, "qos") ? (pubsub_qos)number(options, "qos")
                                                         : PUBSUB_QOS_UNSET;
    bool reset = false;
    pubsub_options_bool(options, "reset", &reset);
    request->reset = reset;
    const char *order = pubsub_options_get(options, "order");
    request->order_key = order != NULL && strcmp(order, "key") == 0;
    request->prefetch = (uint32_t)number(options, "prefetch");
    request->prefetch_bytes = (uint64_t)number(options, "prefetch_bytes");
    request->max_attempts = (uint32_t)number(options, "max_attempts");
    sub->nack_delay = number(options, "nack_delay");
    const char *ack = pubsub_options_get(options, "ack");
    sub->ack_auto = ack == NULL || strcmp(ack, "manual") != 0;
    if (number(options, "workers") > 1) {
        return pubsub_error_set(err, PUBSUB_ENOTSUP,
                                "workers above 1 are not available yet; handlers run one at a time");
    }
    request->features = subscribe_features(request, own);
    pubsub_request ask = {request->features, request};
    rc = pubsub__negotiate(client, &client->caps_offline, &ask, client->degrade, &sub->asked, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (request->qos == PUBSUB_QOS_UNSET || (sub->asked.refused &
                                             PUBSUB_BIT(PUBSUB_FEATURE_QOS0 + request->qos))) {
        request->qos = client->caps_offline.features[PUBSUB_FEATURE_QOS1].support != PUBSUB_REFUSED
                           ? PUBSUB_AT_LEAST_ONCE
                           : PUBSUB_AT_MOST_ONCE;
    }
    return PUBSUB_OK;
}

/* ---- negotiation ---- */

uint64_t pubsub__caps_mask(const pubsub_caps *caps)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        mask |= caps->features[i].support != PUBSUB_REFUSED ? PUBSUB_BIT(i) : 0;
    }
    return mask;
}

static pubsub_err refuse(const pubsub_client *client, const pubsub_caps *caps,
                         const pubsub_answer *answer, pubsub_error *err)
{
    unsigned feature = 0;
    while ((answer->refused & PUBSUB_BIT(feature)) == 0) {
        feature++;
    }
    const char *note = answer->why[0] != '\0' ? answer->why : caps->features[feature].note;
    return pubsub_error_set(err, PUBSUB_ENOTSUP, "%s does not support %s (%s)%s%s; degrade=allow goes "
                            "on without it", client->adapter->name, pubsub_feature_name(feature),
                            pubsub_feature_help(feature),
                            note != NULL && note[0] != '\0' ? ": " : "", note == NULL ? "" : note);
}

pubsub_err pubsub__negotiate(const pubsub_client *client, const pubsub_caps *caps,
                             const pubsub_request *request, bool degrade, pubsub_grant *grant,
                             pubsub_error *err)
{
    pubsub_answer answer;
    memset(&answer, 0, sizeof answer);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        uint64_t bit = request->features & PUBSUB_BIT(i);
        answer.native |= caps->features[i].support == PUBSUB_NATIVE ? bit : 0;
        answer.emulated |= caps->features[i].support == PUBSUB_EMULATED ? bit : 0;
        answer.refused |= caps->features[i].support == PUBSUB_REFUSED ? bit : 0;
    }
    if (client->adapter->negotiate != NULL) {
        pubsub_err rc =
            client->adapter->negotiate(&client->config, caps, request, &answer, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    if (answer.refused != 0 && !degrade) {
        return refuse(client, caps, &answer, err);
    }
    memset(grant, 0, sizeof *grant);
    grant->qos = PUBSUB_QOS_UNSET;
    grant->native = answer.native;
    grant->emulated = answer.emulated;
    grant->refused = answer.refused;
    return PUBSUB_OK;
}
