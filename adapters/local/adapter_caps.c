/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define SCOPE PUBSUB_SCOPE_CLIENT
#define YEAR_MS (INT64_C(366) * 24 * 3600 * 1000)
#define KIB INT64_C(1024)

const pubsub_option_row pubsub__local_option_rows[] = {
    {.name = "dir",
     .adapter = "local",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = SCOPE,
     .min = 1,
     .max = 4000,
     .help =
         "directory of the bus, instead of in the URL; default: $PUBSUB_BUS, else a directory of "
         "the user"},
    {.name = "sync",
     .adapter = "local",
     .type = PUBSUB_OPTION_ENUM,
     .scopes = SCOPE,
     .values = "written|durable",
     .default_text = "written",
     .help = "when a publish is confirmed: when it survives kill -9, or when it survives loss of "
             "power"},
    {.name = "max_bytes",
     .adapter = "local",
     .type = PUBSUB_OPTION_SIZE,
     .scopes = SCOPE,
     .min = 4 * KIB * KIB,
     .max = KIB * KIB * KIB * KIB,
     .help = "most bytes of the log, stored for everybody; 1G in a new bus"},
    {.name = "max_age",
     .adapter = "local",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = SCOPE,
     .min = -1,
     .max = 100 * YEAR_MS,
     .help = "messages older than this are removed, stored for everybody; 7d in a new bus"},
    {.name = "full",
     .adapter = "local",
     .type = PUBSUB_OPTION_ENUM,
     .scopes = SCOPE,
     .values = "drop|reject",
     .help =
         "at max_bytes remove the oldest messages, or refuse new ones; stored for everybody; drop "
         "in a new bus"},
    {.name = "repair",
     .adapter = "local",
     .type = PUBSUB_OPTION_BOOL,
     .scopes = SCOPE,
     .default_text = "no",
     .help = "look through the log as after a loss of power: a torn end is cut off, and a disk "
             "that failed once "
             "is written to again; nobody else may use the bus"},
    {.name = "segment_bytes",
     .adapter = "local",
     .type = PUBSUB_OPTION_SIZE,
     .scopes = SCOPE,
     .min = 64 * KIB,
     .max = KIB * KIB * KIB,
     .help = "size of one file of the log, stored for everybody; 64M or an eighth of max_bytes"},
    {.name = NULL},
};

static pubsub_err number(const pubsub_options *options, const char *name, int64_t *out)
{
    *out = 0;
    return pubsub_options_is_set(options, name) ? pubsub_options_int(options, name, out)
                                                : PUBSUB_OK;
}

static bool is(const pubsub_options *options, const char *name, const char *value)
{
    const char *text = pubsub_options_get(options, name);
    return text != NULL && strcmp(text, value) == 0;
}

/* local: is the default bus, local:name one beside it, local:/dir and local:./dir a directory. */
static pubsub_err choose_dir(const pubsub_adapter_config *config, char **dir, pubsub_error *err)
{
    char path[4096];
    const char *url = pubsub_url_path(config->url);
    const char *option = pubsub_options_get(config->options, "local.dir");
    if (url == NULL) {
        url = "";
    }
    if (option != NULL && option[0] != '\0') {
        if (url[0] != '\0' && strcmp(url, option) != 0) {
            return pubsub_error_set(err, PUBSUB_EOPTION,
                                    "the URL says '%.80s' and local.dir '%.80s'; give one of them",
                                    url, option);
        }
        url = option;
    } else if (url[0] != '\0' && strchr(url, '/') == NULL) {
        pubsub_err rc = pubsub__local_default_dir(url, path, sizeof(path), err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        url = path;
    }
    if (url[0] != '\0') {
        *dir = pubsub__strdup(url);
        if (*dir == NULL) {
            return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a path");
        }
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_adapter_options(const pubsub_adapter_config *config, local_options *out,
                                         char **dir, bool *durable, pubsub_error *err)
{
    const pubsub_options *options = config->options;
    int64_t max_bytes, max_age_ms, segment;
    memset(out, 0, sizeof(*out));
    if (number(options, "local.max_bytes", &max_bytes) != PUBSUB_OK ||
        number(options, "local.max_age", &max_age_ms) != PUBSUB_OK ||
        number(options, "local.segment_bytes", &segment) != PUBSUB_OK) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "an option of local: is malformed");
    }
    pubsub_err rc = choose_dir(config, dir, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    out->dir = *dir;
    out->max_bytes = (uint64_t)max_bytes;
    out->segment_bytes = (uint64_t)segment;
    out->max_age_s = max_age_ms <= 0 ? max_age_ms : (max_age_ms + 999) / 1000;
    out->full = is(options, "local.full", "reject") ? LOCAL_FULL_REJECT
                : is(options, "local.full", "drop") ? LOCAL_FULL_DROP
                                                    : LOCAL_FULL_KEEP;
    if (pubsub_options_is_set(options, "local.repair")) {
        (void)pubsub_options_bool(options, "local.repair", &out->repair);
    }
    *durable = is(options, "local.sync", "durable");
    return PUBSUB_OK;
}

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

pubsub_err pubsub__local_adapter_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                                      pubsub_error *err)
{
    (void)err;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    cell(out, PUBSUB_FEATURE_QOS2, PUBSUB_REFUSED, "use qos 1 and drop what comes twice");
    cell(out, PUBSUB_FEATURE_NACK_DELAY, PUBSUB_NATIVE,
         "by the client where there is neither group nor durable name");
    cell(out, PUBSUB_FEATURE_ATTEMPTS, PUBSUB_NATIVE,
         "by the client where there is neither group nor durable name");
    cell(out, PUBSUB_FEATURE_DEAD_LETTER, PUBSUB_EMULATED, "published by the client");
    cell(out, PUBSUB_FEATURE_DELAY, PUBSUB_REFUSED, "not available yet");
    bool durable = is(config->options, "local.sync", "durable");
    out->confirm = durable ? PUBSUB_CONFIRM_DURABLE : PUBSUB_CONFIRM_WRITTEN;
    out->confirm_note = durable ? "" : "durable with local.sync=durable";
    out->max_payload = LOCAL_MAX_PAYLOAD_DEFAULT;
    out->max_topic = LOCAL_TOPIC_MAX;
    return PUBSUB_OK;
}

pubsub_err pubsub__local_adapter_negotiate(const pubsub_adapter_config *config,
                                           const pubsub_caps *caps, const pubsub_request *request,
                                           pubsub_answer *answer, pubsub_error *err)
{
    (void)config;
    (void)caps;
    (void)err;
    const pubsub_subscribe_request *sub = request->subscribe;
    uint64_t retain = PUBSUB_BIT(PUBSUB_FEATURE_RETAIN) & answer->native;
    if (sub != NULL && (sub->group[0] != '\0' || sub->durable[0] != '\0') && retain != 0) {
        answer->native &= ~retain;
        answer->refused |= retain;
        (void)snprintf(answer->why, sizeof(answer->why),
                       "from=last is not available with a group or durable name");
    }
    if (sub != NULL && sub->group[0] == '\0' && sub->durable[0] == '\0') {
        /* Nobody but this client keeps track of such a subscription. */
        uint64_t ours =
            (PUBSUB_BIT(PUBSUB_FEATURE_NACK_DELAY) | PUBSUB_BIT(PUBSUB_FEATURE_ATTEMPTS)) &
            answer->native;
        answer->native &= ~ours;
        answer->emulated |= ours;
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_adapter_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                       const pubsub_publication *publication, pubsub_error *err)
{
    (void)config;
    if (publication->key.len > LOCAL_KEY_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "a key has at most %u bytes", LOCAL_KEY_MAX);
    }
    uint64_t total = publication->payload.len;
    total += publication->key.len + publication->content_type.len + publication->reply_to.len +
             publication->correlation.len;
    for (size_t i = 0; i < publication->header_count; i++) {
        total += publication->headers[i].name.len + publication->headers[i].value.len + 8;
        if (publication->headers[i].name.len > UINT16_MAX) {
            return pubsub_error_set(err, PUBSUB_ETOOBIG, "a header's name is longer than %u bytes",
                                    UINT16_MAX);
        }
    }
    if (total > caps->max_payload) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG,
                                "payload, key and headers have %llu bytes, local: takes %llu",
                                (unsigned long long)total, (unsigned long long)caps->max_payload);
    }
    return PUBSUB_OK;
}

pubsub_position pubsub__local_adapter_position(local_position position)
{
    return (pubsub_position){{position.epoch, position.offset}, &pubsub__adapter_local};
}

size_t pubsub__local_adapter_position_text(const pubsub_position *position, char *text, size_t size)
{
    char buf[LOCAL_POSITION_TEXT];
    local_position pos = {(uint32_t)position->word[0], position->word[1]};
    size_t len = pubsub__local_position_format(pos, buf);
    if (size > 0) {
        size_t n = len < size - 1 ? len : size - 1;
        memcpy(text, buf, n);
        text[n] = '\0';
    }
    return len;
}

pubsub_err pubsub__local_adapter_position_parse(const char *text, pubsub_position *out,
                                                pubsub_error *err)
{
    local_position pos;
    if (!pubsub__local_position_parse(text, strlen(text), &pos)) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "'%.60s' is not a position of local:, such as e1-4096", text);
    }
    *out = pubsub__local_adapter_position(pos);
    return PUBSUB_OK;
}
