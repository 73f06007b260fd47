/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/rand.h"
#include "connectors/exec/child.h"
#include "connectors/exec/line.h"
#include "connectors/models.h"
#include "connectors/table.h"
#include "json/slice.h"

#include <pubsub/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const pubsub_setting settings[] = {
    {"command", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_REQUIRED | PUBSUB_SETTING_LIST, NULL, NULL, 0,
     0, "the program and its arguments, one for each entry; no shell is involved"},
    {"env", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST | PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "NAME=value for the program's environment, which has little else in it"},
    {"dir", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "directory it runs in"},
    {"restart", PUBSUB_SETTING_CHOICE, 0, "always", "always|on-failure|never", 0, 0,
     "when it is started again after it has ended"},
    {"backoff", PUBSUB_SETTING_DURATION, 0, "1s", NULL, 1, 0, "before the first start again"},
    {"backoff_max", PUBSUB_SETTING_DURATION, 0, "1m", NULL, 1, 0, "the time doubles up to this"},
    {"max_line", PUBSUB_SETTING_SIZE, 0, "8M", NULL, 64, 256 * 1024 * 1024, "bytes of one line"},
    {"bad_line", PUBSUB_SETTING_CHOICE, 0, "stop", "stop|skip", 0, 0,
     "what to do at a line that is not understood"},
    {"stop_timeout", PUBSUB_SETTING_DURATION, 0, "5s", NULL, 0, 0,
     "between SIGTERM and SIGKILL for its process group"},
};

enum { ENV_MAX = 64, MAX_ENV_TEXT = 1024 * 1024 };

typedef struct exec_feed {
    pubsub_host *host;
    char *name;
    char **models;
    size_t model_count;
    char **argv;
    char **env; /* of the settings */
    char *dir;
    int restart; /* 0 always, 1 on failure, 2 never */
    pubsub_duration_ms backoff;
    pubsub_duration_ms backoff_max;
    size_t max_line;
    bool skip_bad;
    pubsub_duration_ms patience;

    pubsub_emitter *emitter; /* while it runs */
    exec_child *child;
    pubsub_host_timer *again;
    pubsub_duration_ms delay; /* before the next start */
    exec_line line;
    uint64_t line_number;
    bool told_active;
    bool skipping; /* the rest of a line that is too long */
    bool given_up; /* stopped for good */
    void (*done)(void *ctx);
    void *done_ctx;
} exec_feed;

/* ---- telling ------------------------------------------------------------------------------- */

static pubsub_bytes first_model(const exec_feed *feed)
{
    return pubsub_bytes_of(feed->models[0]);
}

static void tell_state(exec_feed *feed, pubsub_source_state state)
{
    for (size_t i = 0; feed->emitter != NULL && i < feed->model_count; i++) {
        feed->emitter->state(feed->emitter, pubsub_bytes_of(feed->models[i]), state);
    }
}

static void tell_error(exec_feed *feed, const pubsub_error *error)
{
    if (feed->emitter != NULL) {
        feed->emitter->error(feed->emitter, first_model(feed), error);
    }
}

static bool is_literal(const char *model)
{
    return strchr(model, '*') == NULL;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* The model of a line; a feed of one model needs not name it. */
static bool model_of(const exec_feed *feed, pubsub_bytes *out)
{
    out->data = feed->line.model.data;
    out->len = feed->line.model.len;
    if (out->len == 0) {
        *out = first_model(feed);
        return feed->model_count == 1 && is_literal(feed->models[0]);
    }
    return true;
}

static bool is_wanted(const exec_feed *feed, pubsub_bytes model)
{
    for (size_t i = 0; i < feed->model_count; i++) {
        if (bridge_model_fits(feed->models[i], model)) {
            return true;
        }
    }
    return false;
}

static void bad_line(exec_feed *feed, const char *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&error, PUBSUB_EPROTO, "line %llu of %s: %s",
                           (unsigned long long)feed->line_number, feed->argv[0], why);
    tell_error(feed, &error);
    if (!feed->skip_bad) {
        feed->given_up = true;
        tell_state(feed, PUBSUB_SOURCE_STOPPED);
        exec_child_stop(feed->child, feed->patience);
    }
}

static void now_active(exec_feed *feed)
{
    if (!feed->told_active) {
        feed->told_active = true;
        feed->delay = feed->backoff;
        tell_state(feed, PUBSUB_SOURCE_ACTIVE);
    }
}

static pubsub_bytes bytes_of(const pubsub__buf *buf)
{
    pubsub_bytes bytes = {buf->data, buf->len};
    return bytes;
}

static pubsub_err take_event(exec_feed *feed, pubsub_bytes model)
{
    const exec_line *line = &feed->line;
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    char random[25];
    pubsub_err code = PUBSUB_OK;
    event.model = model;
    event.document = line->document;
    event.id = bytes_of(&line->id);
    event.key = bytes_of(&line->key);
    event.position = bytes_of(&line->position);
    event.change = line->change;
    event.timestamp_ns = line->time_ns;
    if (event.id.len == 0 && event.position.len == 0) {
        pubsub__rand_name(random, sizeof(random) - 1); /* nothing would tell it from the others */
        event.id = pubsub_bytes_of(random);
    }
    code = feed->emitter->event(feed->emitter, &event);
    if (code != PUBSUB_OK && code != PUBSUB_EAGAIN && code != PUBSUB_ECLOSED) {
        bad_line(feed, pubsub_strerror(code));
        return PUBSUB_OK;
    }
    return code;
}

/* PUBSUB_OK: done with; PUBSUB_EAGAIN: it must be offered again. */
static pubsub_err take_line(exec_feed *feed, pubsub_bytes text)
{
    exec_line *line = &feed->line;
    pubsub_bytes model = {NULL, 0};
    exec_line_parse(line, text);
    if (line->kind == EXEC_LINE_EMPTY) {
        feed->emitter->alive(feed->emitter, first_model(feed));
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_BAD) {
        bad_line(feed, line->why);
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_STATE && line->model.len == 0) {
        feed->told_active = line->state == PUBSUB_SOURCE_ACTIVE;
        feed->delay = feed->told_active ? feed->backoff : feed->delay;
        tell_state(feed, line->state);
        return PUBSUB_OK;
    }
    if (!model_of(feed, &model)) {
        if (line->kind != EXEC_LINE_ERROR) {
            bad_line(feed, "\"model\" is missing, and there are several");
            return PUBSUB_OK;
        }
        model = first_model(feed);
    }
    if (line->kind == EXEC_LINE_ERROR) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)pubsub_error_set(&error, PUBSUB_EIO, "%s", pubsub__buf_text(&line->text));
        feed->emitter->error(feed->emitter, model, &error);
        return PUBSUB_OK;
    }
    if (!is_wanted(feed, model)) {
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_STATE) {
        feed->emitter->state(feed->emitter, model, line->state);
        return PUBSUB_OK;
    }
    now_active(feed);
    if (line->kind == EXEC_LINE_POSITION) {
        feed->emitter->position(feed->emitter, model, bytes_of(&line->position));
        return PUBSUB_OK;
    }
    return take_event(feed, model);
}

static size_t on_output(void *ctx, const char *data, size_t len)
{
    exec_feed *feed = ctx;
    size_t used = 0;
    while (used < len && feed->emitter != NULL && !feed->given_up) {
        const char *end = memchr(data + used, '\n', len - used);
        size_t size = end != NULL ? (size_t)(end - data) - used : len - used;
        pubsub_bytes line = {data + used, size};
        if (size > feed->max_line || feed->skipping) {
            if (!feed->skipping) {
                feed->line_number++;
                bad_line(feed, "it is longer than max_line");
            }
            feed->skipping = end == NULL;
        } else if (end == NULL) {
            break;
        } else {
            feed->line_number++;
            if (take_line(feed, line) == PUBSUB_EAGAIN) {
                feed->line_number--;
                exec_child_pause(feed->child);
                break;
            }
        }
        used += size + (end != NULL ? 1 : 0);
    }
    return used;
}

static void on_complaint(void *ctx, const char *line)
{
    exec_feed *feed = ctx;
    char text[2400];
    (void)snprintf(text, sizeof(text), "%s: %s: %s", feed->name, feed->models[0], line);
    feed->host->log(feed->host, PUBSUB_LOG_WARN, text);
}

/* ---- the program --------------------------------------------------------------------------- */

static bool add_env(char **list, size_t *count, pubsub__buf *text)
{
    char *made = pubsub__buf_take(text);
    if (made == NULL || *count == ENV_MAX) {
        pubsub__free(made);
        return false;
    }
    list[(*count)++] = made;
    return true;
}

/* Every model's stored position as a JSON object, and their names as a list. */
static bool add_models(exec_feed *feed, char **list, size_t *count)
{
    pubsub__buf names;
    pubsub__buf positions;
    pubsub__buf one;
    bool ok = true;
    pubsub__buf_init(&names, MAX_ENV_TEXT);
    pubsub__buf_init(&positions, MAX_ENV_TEXT);
    pubsub__buf_init(&one, MAX_ENV_TEXT);
    ok = pubsub__buf_add_text(&names, "PUBSUB_MODELS=[") == PUBSUB__BUF_OK &&
         pubsub__buf_add_text(&positions, "PUBSUB_POSITIONS={") == PUBSUB__BUF_OK &&
         pubsub__buf_add_text(&one, "PUBSUB_POSITION=") == PUBSUB__BUF_OK;
    for (size_t i = 0; i < feed->model_count && ok; i++) {
        pubsub_bytes model = pubsub_bytes_of(feed->models[i]);
        pubsub_bytes stored = feed->emitter->stored(feed->emitter, model);
        ok = pubsub__buf_add_text(&names, i > 0 ? "," : "") == PUBSUB__BUF_OK &&
             bridge_json_quote(model, &names) == PUBSUB__BUF_OK;
        if (ok && stored.len > 0) {
            bool is_first = positions.data[positions.len - 1] == '{';
            ok = pubsub__buf_add_text(&positions, is_first ? "" : ",") == PUBSUB__BUF_OK &&
                 bridge_json_quote(model, &positions) == PUBSUB__BUF_OK &&
                 pubsub__buf_add_byte(&positions, ':') == PUBSUB__BUF_OK &&
                 bridge_json_quote(stored, &positions) == PUBSUB__BUF_OK;
            if (ok && i == 0 && memchr(stored.data, '\0', stored.len) == NULL) {
                ok = pubsub__buf_add(&one, stored.data, stored.len) == PUBSUB__BUF_OK;
            }
        }
    }
    ok = ok && pubsub__buf_add_byte(&names, ']') == PUBSUB__BUF_OK &&
         pubsub__buf_add_byte(&positions, '}') == PUBSUB__BUF_OK;
    ok = ok && add_env(list, count, &names) && add_env(list, count, &positions) &&
         add_env(list, count, &one);
    pubsub__buf_fini(&names);
    pubsub__buf_fini(&positions);
    pubsub__buf_fini(&one);
    return ok;
}

/* This process's environment may hold the secrets of other sources: only what programs need to run is
 * handed on. */
static bool fill_env(exec_feed *feed, char **list, size_t *count)
{
    static const char *const kept[] = {"PATH",  "HOME",   "USER",           "LOGNAME",
                                       "SHELL", "LANG",   "LC_ALL",         "LC_CTYPE",
                                       "TZ",    "TMPDIR", "LD_LIBRARY_PATH"};
    bool ok = true;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && ok; i++) {
        const char *value = getenv(kept[i]);
        pubsub__buf text;
        pubsub__buf_init(&text, MAX_ENV_TEXT);
        if (value != NULL) {
            ok = pubsub__buf_printf(&text, "%s=%s", kept[i], value) == PUBSUB__BUF_OK &&
                 add_env(list, count, &text);
        }
        pubsub__buf_fini(&text);
    }
    ok = ok && add_models(feed, list, count);
    for (size_t i = 0; ok && feed->env[i] != NULL; i++) {
        pubsub__buf text;
        pubsub__buf_init(&text, MAX_ENV_TEXT);
        ok = pubsub__buf_add_text(&text, feed->env[i]) == PUBSUB__BUF_OK &&
             add_env(list, count, &text);
        pubsub__buf_fini(&text);
    }
    return ok;
}

static void on_end(void *ctx, int status);

static pubsub_err launch(exec_feed *feed, pubsub_error *err)
{
    static const exec_child_events events = {on_output, on_complaint, on_end};
    char *env[ENV_MAX + 1];
    size_t count = 0;
    exec_child_options options = {feed->argv, env, feed->dir, feed->max_line};
    pubsub_error detail = PUBSUB_ERROR_INIT;
    memset(env, 0, sizeof(env));
    feed->line_number = 0;
    feed->told_active = false;
    feed->skipping = false;
    if (fill_env(feed, env, &count)) {
        feed->child = exec_child_new(feed->host, &options, &events, feed, &detail);
    } else {
        (void)pubsub_error_set(&detail, PUBSUB_EOPTION,
                               "env: there are more than %d entries, or they are too long",
                               ENV_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        pubsub__free(env[i]);
    }
    if (feed->child == NULL) {
        return pubsub_error_set(err, detail.code, "%s", detail.text);
    }
    tell_state(feed, PUBSUB_SOURCE_STARTING);
    return PUBSUB_OK;
}

static void start_later(exec_feed *feed)
{
    pubsub_duration_ms delay = feed->delay;
    feed->delay = delay * 2 < feed->backoff_max ? delay * 2 : feed->backoff_max;
    tell_state(feed, PUBSUB_SOURCE_WAITING);
    feed->host->timer_start(feed->again, delay);
}

static void on_again(void *ctx)
{
    exec_feed *feed = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (launch(feed, &error) != PUBSUB_OK) {
        tell_error(feed, &error);
        start_later(feed);
    }
}

static void on_end(void *ctx, int status)
{
    exec_feed *feed = ctx;
    bool is_success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    pubsub_error error = PUBSUB_ERROR_INIT;
    feed->child = NULL;
    if (feed->done != NULL) {
        void (*done)(void *ctx) = feed->done;
        feed->done = NULL;
        done(feed->done_ctx);
        return;
    }
    if (feed->given_up) {
        return;
    }
    if (!is_success) {
        (void)pubsub_error_set(&error, PUBSUB_EIO, "%s ended %s %d", feed->argv[0],
                               WIFSIGNALED(status) ? "by signal" : "with status",
                               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        tell_error(feed, &error);
    }
    if (feed->restart == 0 || (feed->restart == 1 && !is_success)) {
        start_later(feed);
    } else {
        tell_state(feed, is_success ? PUBSUB_SOURCE_ENDED : PUBSUB_SOURCE_STOPPED);
    }
}

/* ---- the connector ------------------------------------------------------------------------- */

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        pubsub__free(list[i]);
    }
    pubsub__free(list);
}

static void exec_fini(void *ctx)
{
    exec_feed *feed = ctx;
    if (feed != NULL) {
        free_list(feed->models);
        free_list(feed->argv);
        free_list(feed->env);
        pubsub__free(feed->name);
        pubsub__free(feed->dir);
        feed->host->timer_free(feed->again);
        exec_line_fini(&feed->line);
        pubsub__free(feed);
    }
}

/* The values of one name, NULL-terminated; NULL when memory is short. */
static char **list_of(const pubsub_connector_init *init, const char *name)
{
    char **list = pubsub__calloc(init->setting_count + 1, sizeof(*list));
    size_t count = 0;
    for (size_t i = 0; list != NULL && i < init->setting_count; i++) {
        if (strcmp(init->settings[i].name, name) == 0 &&
            (list[count++] = pubsub__strdup(init->settings[i].text)) == NULL) {
            free_list(list);
            return NULL;
        }
    }
    return list;
}

static bool copy_models(exec_feed *feed, const pubsub_connector_init *init)
{
    feed->models = pubsub__calloc(init->model_count + 1, sizeof(*feed->models));
    for (; feed->models != NULL && feed->model_count < init->model_count; feed->model_count++) {
        feed->models[feed->model_count] = pubsub__strdup(init->models[feed->model_count]);
        if (feed->models[feed->model_count] == NULL) {
            return false;
        }
    }
    return feed->models != NULL;
}

static int64_t number_of(const pubsub_connector_init *init, const char *name)
{
    return pubsub_setting_find(init->settings, init->setting_count, name)->number;
}

static pubsub_err check_settings(const exec_feed *feed, pubsub_error *err)
{
    if (feed->argv[0] == NULL || feed->argv[0][0] == '\0') {
        return pubsub_error_set(err, PUBSUB_EOPTION, "command: the program's name is empty");
    }
    for (size_t i = 0; feed->env[i] != NULL; i++) {
        if (strchr(feed->env[i], '=') == NULL || feed->env[i][0] == '=') {
            return pubsub_error_set(err, PUBSUB_EOPTION, "env: entry %zu is not NAME=value", i + 1);
        }
    }
    return PUBSUB_OK;
}

static pubsub_err exec_initialize(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    const pubsub_setting_value *dir =
        pubsub_setting_find(init->settings, init->setting_count, "dir");
    exec_feed *feed = pubsub__calloc(1, sizeof(*feed));
    pubsub_err code = PUBSUB_OK;
    *out = NULL;
    if (feed == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    feed->host = init->host;
    exec_line_init(&feed->line);
    feed->name = pubsub__strdup(init->name);
    feed->argv = list_of(init, "command");
    feed->env = list_of(init, "env");
    feed->dir = dir != NULL ? pubsub__strdup(dir->text) : NULL;
    feed->again = init->host->timer_new(init->host, on_again, feed);
    feed->restart = (int)number_of(init, "restart");
    feed->backoff = number_of(init, "backoff");
    feed->backoff_max = number_of(init, "backoff_max");
    feed->max_line = (size_t)number_of(init, "max_line");
    feed->skip_bad = number_of(init, "bad_line") == 1;
    feed->patience = number_of(init, "stop_timeout");
    if (!copy_models(feed, init) || feed->name == NULL || feed->argv == NULL || feed->env == NULL ||
        feed->again == NULL || (dir != NULL && feed->dir == NULL)) {
        code = pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    } else {
        code = check_settings(feed, err);
    }
    if (code != PUBSUB_OK) {
        exec_fini(feed);
        return code;
    }
    *out = feed;
    return PUBSUB_OK;
}

static pubsub_err exec_start(void *self, pubsub_emitter *emitter, pubsub_error *err)
{
    exec_feed *feed = self;
    pubsub_err code = PUBSUB_OK;
    feed->emitter = emitter;
    feed->given_up = false;
    feed->delay = feed->backoff;
    code = launch(feed, err);
    if (code != PUBSUB_OK) {
        feed->emitter = NULL;
    }
    return code;
}

static void exec_resume(void *self)
{
    exec_feed *feed = self;
    if (feed->child != NULL && !feed->given_up) {
        exec_child_resume(feed->child);
    }
}

static void exec_stop(void *self, void (*done)(void *ctx), void *ctx)
{
    exec_feed *feed = self;
    feed->emitter = NULL;
    feed->host->timer_stop(feed->again);
    if (feed->child == NULL) {
        done(ctx);
        return;
    }
    feed->done = done;
    feed->done_ctx = ctx;
    exec_child_stop(feed->child, feed->patience);
}

const pubsub_connector bridge_connector_exec = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_connector),
    .name = "exec",
    .summary = "runs a program that prints events as JSON lines",
    .flags = PUBSUB_CONNECTOR_REPLAYS,
    .settings = settings,
    .setting_count = sizeof(settings) / sizeof(settings[0]),
    .initialize = exec_initialize,
    .start = exec_start,
    .resume = exec_resume,
    .stop = exec_stop,
    .fini = exec_fini,
};
