/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "cmd.h"
#include "engine/spool.h"
#include "engine/state_dir.h"
#include "exit.h"
#include "say.h"
#include "json/slice.h"

#include <pubsub/client.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is stored comes at once; silence this long is the end of it. */
enum { SPOOL_QUIET = 500, SPOOL_OPEN = 10000, SPOOL_LINE_MAX = 64 << 20 };

typedef enum spool_verb { SPOOL_CHECK, SPOOL_DUMP, SPOOL_REPAIR } spool_verb;

/* A walk through one spool. */
typedef struct spool_walk {
    spool_verb verb;
    uint64_t events;
    uint64_t bytes;
    uint64_t gaps;
    uint64_t missed; /* as far as it is known */
    bool unknown;    /* there is a gap of which it is not */
    const char *route;
} spool_walk;

static void on_event(void *ctx, const pubsub_event *event)
{
    spool_walk *walk = ctx;
    if (event->type == PUBSUB_EVENT_GAP) {
        walk->gaps++;
        walk->missed += event->gap->missed;
        walk->unknown = walk->unknown || event->gap->missed == 0;
        if (event->gap->missed > 0) {
            bridge_error("%s: %" PRIu64 " events are missing here: %s", walk->route,
                         event->gap->missed, event->gap->reason);
        } else {
            bridge_error("%s: an unknown number of events is missing here: %s", walk->route,
                         event->gap->reason);
        }
    }
}

static void add_member(pubsub__buf *line, const char *name, pubsub_bytes value)
{
    (void)pubsub__buf_printf(line, "\"%s\":", name);
    (void)bridge_json_quote(value, line);
    (void)pubsub__buf_add_byte(line, ',');
}

/* {"position":...,"headers":{...},"document":"..."}: headers hold the event, as it was written. */
static void dump(const pubsub_message *message)
{
    pubsub__buf line;
    char text[PUBSUB_POSITION_TEXT_MAX];
    pubsub_position position = pubsub_message_position(message);
    pubsub__buf_init(&line, SPOOL_LINE_MAX);
    (void)pubsub_position_text(&position, text, sizeof(text));
    (void)pubsub__buf_add_byte(&line, '{');
    add_member(&line, "position", pubsub_bytes_of(text));
    add_member(&line, "key", pubsub_message_key(message));
    (void)pubsub__buf_add_text(&line, "\"headers\":[");
    for (size_t i = 0; i < pubsub_message_header_count(message); i++) {
        pubsub_header header = pubsub_message_header(message, i);
        (void)pubsub__buf_add_text(&line, i > 0 ? ",[" : "[");
        (void)bridge_json_quote(header.name, &line);
        (void)pubsub__buf_add_byte(&line, ',');
        (void)bridge_json_quote(header.value, &line);
        (void)pubsub__buf_add_byte(&line, ']');
    }
    (void)pubsub__buf_add_text(&line, "],\"document\":");
    (void)bridge_json_quote(pubsub_message_payload(message), &line);
    (void)pubsub__buf_add_text(&line, "}\n");
    (void)fwrite(pubsub__buf_text(&line), 1, line.len, stdout);
    pubsub__buf_fini(&line);
}

static pubsub_err read_all(pubsub_client *client, spool_walk *walk, pubsub_error *err)
{
    pubsub_options *options = NULL;
    pubsub_subscription *sub = NULL;
    pubsub_message *message = NULL;
    pubsub_err rc = pubsub_options_new(&options);
    rc = rc == PUBSUB_OK ? pubsub_options_set(options, "from", "earliest", err) : rc;
    rc =
        rc == PUBSUB_OK ? pubsub_client_subscribe(client, "#", options, NULL, NULL, &sub, err) : rc;
    rc = rc == PUBSUB_OK ? pubsub_subscription_wait(sub, SPOOL_OPEN, NULL, err) : rc;
    while (rc == PUBSUB_OK &&
           (rc = pubsub_subscription_next(sub, SPOOL_QUIET, &message, err)) == PUBSUB_OK) {
        walk->events++;
        walk->bytes += pubsub_message_payload(message).len;
        if (walk->verb == SPOOL_DUMP) {
            dump(message);
        }
        (void)pubsub_message_ack(message);
        pubsub_message_unref(message);
    }
    while (pubsub_client_poll(client, 0, NULL) > 0) {
    }
    pubsub_subscription_free(sub);
    pubsub_options_free(options);
    return rc == PUBSUB_ETIMEDOUT ? PUBSUB_OK : rc;
}

static int walk_spool(spool_walk *walk, const char *path)
{
    pubsub_client *client = NULL;
    pubsub_options *options = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = pubsub_options_new(&options);
    rc = rc == PUBSUB_OK ? pubsub_options_set(options, "local.dir", path, &err) : rc;
    if (walk->verb == SPOOL_REPAIR) {
        rc = rc == PUBSUB_OK ? pubsub_options_set(options, "local.repair", "yes", &err) : rc;
    }
    rc = rc == PUBSUB_OK ? pubsub_client_new(&client, "local:", options, &err) : rc;
    rc = rc == PUBSUB_OK ? pubsub_client_on_event(client, on_event, walk) : rc;
    rc = rc == PUBSUB_OK ? read_all(client, walk, &err) : rc;
    (void)pubsub_client_end(client, SPOOL_OPEN, NULL);
    pubsub_client_free(client);
    pubsub_options_free(options);
    if (rc != PUBSUB_OK) {
        bridge_error("%s: %s", walk->route, pubsub_error_text(&err));
        return rc == PUBSUB_ECORRUPT ? BRIDGE_EXIT_VERIFY : BRIDGE_EXIT_FAILED;
    }
    fprintf(stderr, "%s: %" PRIu64 " events, %" PRIu64 " bytes", walk->route, walk->events,
            walk->bytes);
    if (walk->gaps > 0) {
        fprintf(stderr, ", damaged: %s%" PRIu64 " lost", walk->unknown ? "at least " : "",
                walk->missed);
    }
    fputc('\n', stderr);
    return walk->gaps > 0 ? BRIDGE_EXIT_VERIFY : BRIDGE_EXIT_OK;
}

/* Repairing is done by the log itself when it is opened alone: a torn end is cut off, and a disk that failed is
 * written to again. Damage in the middle stays where it is, and readers pass over it: what is left of it
 * cannot be made whole, and the files may still help a person. */
static int one_spool(spool_verb verb, const bridge_config *config, const bridge_route *route)
{
    struct stat there;
    spool_walk walk = {.verb = verb, .route = route->name};
    char *path = bridge_spool_path(config->state, route->name);
    int code;
    if (path == NULL) {
        bridge_error("%s: no memory, or too long a path", route->name);
        return BRIDGE_EXIT_FAILED;
    }
    if (stat(path, &there) != 0) {
        fprintf(stderr, "%s: no spool: %s\n", route->name, strerror(errno));
        code = errno == ENOENT ? BRIDGE_EXIT_OK : BRIDGE_EXIT_FAILED;
    } else {
        code = walk_spool(&walk, path);
    }
    pubsub__free(path);
    return code;
}

static int each_spool(spool_verb verb, const bridge_config *config, const char *only)
{
    int code = BRIDGE_EXIT_OK;
    size_t seen = 0;
    for (size_t i = 0; i < config->route_count; i++) {
        const bridge_route *route = &config->routes[i];
        bool wanted = only != NULL ? strcmp(only, route->name) == 0
                                   : bridge_spool_needed(&config->sources[route->source]);
        if (wanted) {
            int one = one_spool(verb, config, route);
            code = code != BRIDGE_EXIT_OK ? code : one;
            seen++;
        }
    }
    if (seen == 0 && only != NULL) {
        bridge_error("there is no route \"%s\"", only);
        return BRIDGE_EXIT_USAGE;
    }
    if (seen == 0) {
        fprintf(stderr, "no route of this file has a spool\n");
    }
    return code;
}

static bool parse_verb(const char *word, spool_verb *verb)
{
    static const char *const names[] = {"check", "dump", "repair"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(word, names[i]) == 0) {
            *verb = (spool_verb)i;
            return true;
        }
    }
    bridge_error("spool check, dump or repair? \"%s\" is none of them", word);
    return false;
}

int bridge_cmd_spool(const bridge_args *args)
{
    spool_verb verb;
    int lock = -1;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!parse_verb(args->words[0], &verb)) {
        return BRIDGE_EXIT_USAGE;
    }
    bridge_config *config = bridge_load(args, args->words[1]);
    if (config == NULL) {
        return BRIDGE_EXIT_USAGE;
    }
    int code = BRIDGE_EXIT_FAILED;
    if (verb == SPOOL_REPAIR && bridge_state_dir_take(config->state, &lock, &err) != PUBSUB_OK) {
        bridge_error("%s", pubsub_error_text(&err));
    } else {
        code = each_spool(verb, config, args->word_count > 2 ? args->words[2] : NULL);
    }
    if (lock >= 0) {
        (void)close(lock);
    }
    bridge_config_free(config);
    return code;
}
