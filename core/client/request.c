/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/when.h"
#include "options/resolve.h"

#include <string.h>

/* From subscribe options to a request, and the answer from capabilities. */

static pubsub_err parse_from(const pubsub_adapter *adapter, const char *text, pubsub_from *out,
                             pubsub_error *err)
{
    static const struct {
        const char *word;
        pubsub_from_kind kind;
    } words[] = {
        {"new", PUBSUB_FROM_NEW}, {"earliest", PUBSUB_FROM_EARLIEST}, {"last", PUBSUB_FROM_LAST}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0) {
            out->kind = words[i].kind;
            return PUBSUB_OK;
        }
    }
    if (pubsub__when_parse(text, pubsub__clock_wall_ns(), &out->time_ns)) {
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
static pubsub_err merge(pubsub_client *client, pubsub_subscription *sub, const pubsub_options *own,
                        pubsub_error *err)
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
    return rc == PUBSUB_OK
               ? rc
               : pubsub_error_set(err, rc, "no memory for the options of a subscription");
}

pubsub_err pubsub__request_parse(pubsub_client *client, pubsub_subscription *sub,
                                 const pubsub_options *options, pubsub_error *err)
{
    pubsub_err rc = merge(client, sub, options, err);
    if (rc == PUBSUB_OK) {
        rc = parse_texts(client, sub, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub_subscribe_request *request = &sub->spi.request;
    const pubsub_options *all = sub->options;
    request->options = all;
    request->qos =
        pubsub_options_is_set(all, "qos") ? (pubsub_qos)number(all, "qos") : PUBSUB_QOS_UNSET;
    bool reset = false;
    pubsub_options_bool(all, "reset", &reset);
    request->reset = reset;
    const char *order = pubsub_options_get(all, "order");
    request->order_key = order != NULL && strcmp(order, "key") == 0;
    request->prefetch = (uint32_t)number(all, "prefetch");
    request->prefetch_bytes = (uint64_t)number(all, "prefetch_bytes");
    request->max_attempts = (uint32_t)number(all, "max_attempts");
    sub->nack_delay = number(all, "nack_delay");
    const char *ack = pubsub_options_get(all, "ack");
    sub->ack_auto = ack == NULL || strcmp(ack, "manual") != 0;
    sub->workers = (uint32_t)number(all, "workers");
    if (sub->workers > 1) {
        if (client->inline_io) {
            return pubsub_error_set(err, PUBSUB_EOPTION,
                                    "workers above 1 need threads, and with io=inline a client "
                                    "belongs to one");
        }
        sub->lanes = pubsub__lanes_new(request->prefetch, request->order_key);
        if (sub->lanes == NULL) {
            return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
        }
    }
    const char *degrade = pubsub_options_get(all, "degrade");
    sub->degrade = degrade != NULL && strcmp(degrade, "allow") == 0;
    request->features = subscribe_features(request, options);
    pubsub_request ask = {request->features, request};
    rc = pubsub__negotiate(client, &client->caps_offline, &ask, sub->degrade, &sub->asked, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__request_lower(request, &client->caps_offline, sub->asked.refused);
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

void pubsub__request_lower(pubsub_subscribe_request *request, const pubsub_caps *caps,
                           uint64_t refused)
{
    if (request->qos == PUBSUB_QOS_UNSET ||
        (refused & PUBSUB_BIT(PUBSUB_FEATURE_QOS0 + request->qos))) {
        bool confirmed = caps->features[PUBSUB_FEATURE_QOS1].support != PUBSUB_REFUSED;
        request->qos = confirmed ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE;
    }
    if (refused & (PUBSUB_BIT(PUBSUB_FEATURE_DURABLE) | PUBSUB_BIT(PUBSUB_FEATURE_DURABLE_GROUP))) {
        request->durable = "";
    }
    if (refused & PUBSUB_BIT(PUBSUB_FEATURE_GROUP)) {
        request->group = "";
    }
    if (refused & (PUBSUB_BIT(PUBSUB_FEATURE_FROM_EARLIEST) | PUBSUB_BIT(PUBSUB_FEATURE_FROM_TIME) |
                   PUBSUB_BIT(PUBSUB_FEATURE_FROM_POSITION) | PUBSUB_BIT(PUBSUB_FEATURE_RETAIN))) {
        request->from.kind = PUBSUB_FROM_NEW;
    }
    if (refused &
        (PUBSUB_BIT(PUBSUB_FEATURE_ORDER_KEY) | PUBSUB_BIT(PUBSUB_FEATURE_ORDER_KEY_GROUP))) {
        request->order_key = false;
    }
    request->features &= ~refused;
}

static pubsub_err refuse(const pubsub_client *client, const pubsub_caps *caps,
                         const pubsub_request *request, const pubsub_answer *answer,
                         pubsub_error *err)
{
    bool firm = request->features & PUBSUB_BIT(PUBSUB_FEATURE_REQUEST_REPLY);
    unsigned feature = 0;
    if (answer->refused & PUBSUB_BIT(PUBSUB_FEATURE_REQUEST_REPLY)) {
        feature = PUBSUB_FEATURE_REQUEST_REPLY; /* rather than what it is made of */
    }
    while ((answer->refused & PUBSUB_BIT(feature)) == 0) {
        feature++;
    }
    const char *note = answer->why[0] != '\0' ? answer->why : caps->features[feature].note;
    return pubsub_error_set(err, PUBSUB_ENOTSUP, "%s does not support %s (%s)%s%s%s",
                            client->adapter->name, pubsub_feature_name(feature),
                            pubsub_feature_help(feature),
                            note != NULL && note[0] != '\0' ? ": " : "", note == NULL ? "" : note,
                            firm ? "" : "; degrade=allow goes on without it");
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
        pubsub_err rc = client->adapter->negotiate(&client->config, caps, request, &answer, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    if (answer.refused != 0 && !degrade) {
        return refuse(client, caps, request, &answer, err);
    }
    memset(grant, 0, sizeof *grant);
    grant->qos = PUBSUB_QOS_UNSET;
    grant->native = answer.native;
    grant->emulated = answer.emulated;
    grant->refused = answer.refused;
    return PUBSUB_OK;
}
