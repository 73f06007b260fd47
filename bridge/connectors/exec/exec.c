/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "connectors/exec/feed.h"
#include "connectors/table.h"

#include <string.h>

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
    feed->again = init->host->timer_new(init->host, exec_feed_again, feed);
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
    code = exec_feed_launch(feed, err);
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
