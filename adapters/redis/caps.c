/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define C PUBSUB_SCOPE_CLIENT
#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* proto-max-bulk-len as it comes; CONFIG GET corrects it. */
#define BULK_DEFAULT (UINT64_C(512) * 1024 * 1024)

const pubsub_option_row pubsub__redis_option_rows[] = {
    {.name = "keep_alive",
     .adapter = "redis",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C,
     .min = 0,
     .max = DAY_MS,
     .default_text = "30s",
     .help = "longest silence before the connection is tested, and given up after as long again; "
             "0 = never"},
    {.name = "lease",
     .adapter = "redis",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C,
     .min = 300,
     .max = DAY_MS,
     .default_text = "5s",
     .help = "streams: messages of a member that was silent for so long go to the others; all "
             "members of a group have to agree"},
    {.name = "max_len",
     .adapter = "redis",
     .type = PUBSUB_OPTION_INT,
     .unit = "entries",
     .scopes = C,
     .min = 0,
     .max = INT64_C(1000000000000),
     .default_text = "0",
     .help = "streams: trim a stream to about so many entries when publishing, also those that "
             "nobody has read; 0 = never"},
    {.name = "backlog",
     .adapter = "redis",
     .type = PUBSUB_OPTION_SIZE,
     .scopes = C | PUBSUB_SCOPE_SUBSCRIBE,
     .min = 0,
     .max = INT64_C(1) << 40,
     .default_text = "64M",
     .help = "pub/sub: bytes kept here for a subscription beyond its prefetch; more is dropped and "
             "told as a gap"},
    {.name = NULL},
};

bool pubsub__redis_is_streams(const pubsub_adapter_config *config)
{
    return strchr(pubsub_url_scheme(config->url), '+') != NULL; /* for each message */
}

pubsub_err pubsub__redis_database(const pubsub_adapter_config *config, uint64_t *out,
                                  pubsub_error *err)
{
    const char *path = pubsub_url_path(config->url);
    uint64_t number = 0;
    size_t i = path != NULL && path[0] == '/' ? 1 : 0;
    *out = 0;
    if (path == NULL || path[i] == '\0') {
        return PUBSUB_OK;
    }
    for (; path[i] != '\0'; i++) {
        if (path[i] < '0' || path[i] > '9' || number > 1000000) {
            return pubsub_error_set(err, PUBSUB_EURL,
                                    "the path of a redis URL is the number of a database, as in "
                                    "redis://host/0; '%.60s' is none",
                                    path);
        }
        number = number * 10 + (uint64_t)(path[i] - '0');
    }
    *out = number;
    return PUBSUB_OK;
}

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

static void pubsub_caps_of(pubsub_caps *out)
{
    static const char *const nothing_kept = "pub/sub keeps nothing; redis+streams: does";
    static const char *const only_bytes =
        "a message of pub/sub is its payload and nothing else; redis+streams: has it";
    static const pubsub_feature kept[] = {
        PUBSUB_FEATURE_QOS1,          PUBSUB_FEATURE_GROUP,        PUBSUB_FEATURE_DURABLE,
        PUBSUB_FEATURE_DURABLE_GROUP, PUBSUB_FEATURE_ACK,          PUBSUB_FEATURE_NACK_DELAY,
        PUBSUB_FEATURE_ATTEMPTS,      PUBSUB_FEATURE_DEAD_LETTER,  PUBSUB_FEATURE_FROM_EARLIEST,
        PUBSUB_FEATURE_FROM_TIME,     PUBSUB_FEATURE_FROM_POSITION};
    static const pubsub_feature beside[] = {PUBSUB_FEATURE_HEADERS,      PUBSUB_FEATURE_KEY,
                                            PUBSUB_FEATURE_CONTENT_TYPE, PUBSUB_FEATURE_REPLY_TO,
                                            PUBSUB_FEATURE_TOMBSTONE,    PUBSUB_FEATURE_EXPIRY,
                                            PUBSUB_FEATURE_REQUEST_REPLY};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        cell(out, kept[i], PUBSUB_REFUSED, nothing_kept);
    }
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        cell(out, beside[i], PUBSUB_REFUSED, only_bytes);
    }
    cell(out, PUBSUB_FEATURE_ORDER_KEY, PUBSUB_NATIVE, "per publisher");
    cell(out, PUBSUB_FEATURE_RETAIN, PUBSUB_EMULATED, "in the hash pubsub.retained");
    out->confirm = PUBSUB_CONFIRM_NONE;
    out->confirm_note = "pub/sub is at most once";
}

static void stream_caps_of(pubsub_caps *out)
{
    cell(out, PUBSUB_FEATURE_GROUP, PUBSUB_NATIVE, "consumer groups");
    cell(out, PUBSUB_FEATURE_NACK_DELAY, PUBSUB_EMULATED,
         "the client waits; if it dies, redis.lease");
    cell(out, PUBSUB_FEATURE_ATTEMPTS, PUBSUB_NATIVE,
         "by the client where there is neither group nor durable name");
    cell(out, PUBSUB_FEATURE_DEAD_LETTER, PUBSUB_EMULATED, "published by the client");
    cell(out, PUBSUB_FEATURE_RETAIN, PUBSUB_EMULATED,
         "in a stream of one entry, pubsub.last:TOPIC");
    cell(out, PUBSUB_FEATURE_EXPIRY, PUBSUB_EMULATED, "who receives it looks at the time");
    cell(out, PUBSUB_FEATURE_ORDER_KEY, PUBSUB_NATIVE, "");
    cell(out, PUBSUB_FEATURE_REQUEST_REPLY, PUBSUB_EMULATED, "over the stream of an inbox");
    out->confirm = PUBSUB_CONFIRM_DURABLE;
    out->confirm_note =
        "is the server's setting: durable with appendfsync always, written with appendfsync no, "
        "received with everysec and without an append-only file";
}

pubsub_err pubsub__redis_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err)
{
    uint64_t database = 0;
    pubsub_err rc = pubsub__redis_database(config, &database, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    cell(out, PUBSUB_FEATURE_QOS2, PUBSUB_REFUSED, "use qos 1 and drop what comes twice");
    cell(out, PUBSUB_FEATURE_PATTERNS, PUBSUB_EMULATED,
         pubsub__redis_is_streams(config)
             ? "over the set of topics pubsub.topics, in which publishers enter theirs"
             : "more is received and filtered here");
    cell(out, PUBSUB_FEATURE_INNER_MULTI, PUBSUB_EMULATED, "as patterns");
    cell(out, PUBSUB_FEATURE_ORDER_KEY_GROUP, PUBSUB_REFUSED,
         "the server deals messages out without regard to their keys");
    cell(out, PUBSUB_FEATURE_DELAY, PUBSUB_REFUSED, "Redis has no delayed messages");
    if (pubsub__redis_is_streams(config)) {
        stream_caps_of(out);
    } else {
        pubsub_caps_of(out);
    }
    out->max_payload = BULK_DEFAULT;
    out->max_topic = PUBSUB_TOPIC_MAX;
    return PUBSUB_OK;
}

/* ---- what the server tells ----------------------------------------------------------------------- */

/* With everysec the server answers before it writes whenever its disk is slow (for up to two seconds), so
 * kill -9 may lose what it has confirmed. */
void pubsub__redis_caps_storage(redis_self *self, const redis_reply *reply)
{
    pubsub_caps *caps = &self->caps;
    const redis_reply *fsync = pubsub__redis_find(reply, "appendfsync");
    bool skips =
        pubsub__redis_is_text(pubsub__redis_find(reply, "no-appendfsync-on-rewrite"), "yes");
    if (!self->streams) {
        return;
    }
    caps->confirm = PUBSUB_CONFIRM_RECEIVED;
    if (pubsub__redis_find(reply, "appendonly") == NULL) {
        caps->confirm_note = "this server does not tell how it stores (CONFIG GET)";
    } else if (!pubsub__redis_is_text(pubsub__redis_find(reply, "appendonly"), "yes")) {
        caps->confirm_note = "this server has no append-only file: kill -9 loses what came since "
                             "its last snapshot";
    } else if (pubsub__redis_is_text(fsync, "always") && !skips) {
        caps->confirm = PUBSUB_CONFIRM_DURABLE;
        caps->confirm_note = "appendfsync always";
    } else if (pubsub__redis_is_text(fsync, "always")) {
        caps->confirm = PUBSUB_CONFIRM_WRITTEN;
        caps->confirm_note = "appendfsync always, but not during a rewrite of the file "
                             "(no-appendfsync-on-rewrite)";
    } else if (pubsub__redis_is_text(fsync, "no")) {
        caps->confirm = PUBSUB_CONFIRM_WRITTEN;
        caps->confirm_note = "appendfsync no: loss of power loses the last half minute";
    } else {
        caps->confirm_note = "appendfsync everysec: a crash loses up to two seconds";
    }
    self->confirm = (pubsub_confirm)caps->confirm;
}

void pubsub__redis_caps_bulk(redis_self *self, const redis_reply *reply)
{
    pubsub_bytes text = pubsub__redis_bytes(pubsub__redis_find(reply, "proto-max-bulk-len"));
    uint64_t max = 0;
    for (size_t i = 0; i < text.len && i < 18; i++) {
        char digit = ((const char *)text.data)[i];
        max = digit >= '0' && digit <= '9' ? max * 10 + (uint64_t)(digit - '0') : 0;
    }
    if (max > 0 && max < self->caps.max_payload) {
        self->caps.max_payload = max;
    }
}

/* ---- combinations, and what the server would choke on -------------------------------------------- */

pubsub_err pubsub__redis_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                   const pubsub_request *request, pubsub_answer *answer,
                                   pubsub_error *err)
{
    const pubsub_subscribe_request *sub = request->subscribe;
    (void)caps;
    (void)err;
    if (sub == NULL || !pubsub__redis_is_streams(config)) {
        return PUBSUB_OK;
    }
    bool shared = sub->group[0] != '\0' || sub->durable[0] != '\0';
    uint64_t retain = PUBSUB_BIT(PUBSUB_FEATURE_RETAIN) & (answer->native | answer->emulated);
    if (shared && retain != 0) {
        answer->native &= ~retain;
        answer->emulated &= ~retain;
        answer->refused |= retain;
        (void)snprintf(answer->why, sizeof(answer->why),
                       "from=last is not available with a group or durable name");
    }
    if (!shared) {
        /* Nobody but this client keeps track of such a subscription. */
        uint64_t ours = PUBSUB_BIT(PUBSUB_FEATURE_ATTEMPTS) & answer->native;
        answer->native &= ~ours;
        answer->emulated |= ours;
    }
    return PUBSUB_OK;
}

static pubsub_err too_big(pubsub_error *err, const char *what, size_t len, uint64_t max)
{
    return pubsub_error_set(err, PUBSUB_ETOOBIG,
                            "%s has %zu bytes, redis takes %" PRIu64 " (proto-max-bulk-len)", what,
                            len, max);
}

pubsub_err pubsub__redis_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                               const pubsub_publication *publication, pubsub_error *err)
{
    static const char ours[] = "pubsub.";
    const pubsub_publication *pub = publication;
    uint64_t max = caps->max_payload;
    if (pub->topic.len >= sizeof(ours) - 1 &&
        memcmp(pub->topic.data, ours, sizeof(ours) - 1) == 0) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "names that begin with 'pubsub.' are the library's own keys");
    }
    if (!pubsub__redis_is_streams(config)) {
        return PUBSUB_OK;
    }
    if (pub->key.len > max || pub->correlation.len > max || pub->content_type.len > max) {
        return too_big(err, "a property", pub->key.len, max);
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        if (pubsub__redis_is_reserved(pub->headers[i].name)) {
            return pubsub_error_set(
                err, PUBSUB_EINVAL, "header %zu: the name '%.*s' is the library's own", i + 1,
                (int)pub->headers[i].name.len, (const char *)pub->headers[i].name.data);
        }
        if (pub->headers[i].value.len > max) {
            return too_big(err, "a header", pub->headers[i].value.len, max);
        }
    }
    return PUBSUB_OK;
}
