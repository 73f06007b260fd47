/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "engine/engine.h"
#include "exit.h"
#include "host/host.h"
#include "http/server.h"
#include "ops/ops.h"
#include "report.h"
#include "say.h"
#include "touch.h"

#include <pubsub/log.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One run of the bridge, from the file to the last stored position. */
typedef struct bridge_run {
    const bridge_args *args;
    pubsub_host *host;
    bridge_config *config;
    bridge_config *next; /* being applied */
    bridge_engine *engine;
    bridge_ops *ops;
    pubsub_host_timer *look; /* whether anything is left to do */
    bool stopping;
    bool clean;
    bool failed; /* a route had stopped for good */
    bool verbose;
} bridge_run;

static void on_closed(void *ctx)
{
    bridge_run *run = ctx;
    pubsub_host_stop(run->host);
}

static void on_stopped(void *ctx, bool clean)
{
    bridge_run *run = ctx;
    run->clean = clean;
    if (run->ops != NULL) {
        bridge_ops_free(run->ops, on_closed, run);
        run->ops = NULL;
    } else {
        pubsub_host_stop(run->host);
    }
}

static void stop(bridge_run *run)
{
    if (!run->stopping) {
        run->stopping = true;
        run->failed = bridge_engine_stopped_count(run->engine) > 0;
        bridge_engine_stop(run->engine, run->config->drain, on_stopped, run);
    }
}

/* The first one drains, the second one does not wait. */
static void on_end_signal(void *ctx, int number)
{
    bridge_run *run = ctx;
    if (run->stopping) {
        _exit(128 + number);
    }
    bridge_say(PUBSUB_LOG_INFO, NULL, "stopping (%s)", number == SIGINT ? "SIGINT" : "SIGTERM");
    stop(run);
}

/* Asked in a turn of its own: whoever tells it is still at work. */
static void look_soon(void *ctx)
{
    bridge_run *run = ctx;
    run->host->timer_start(run->look, 0);
}

static void on_applied(void *ctx)
{
    bridge_run *run = ctx;
    bridge_config_free(run->config);
    run->config = run->next;
    run->next = NULL;
    bridge_say(PUBSUB_LOG_INFO, NULL, "%s is in force", run->config->file);
    look_soon(run);
}

/* The file, when nothing is wrong with it; what is has been said. */
static bridge_config *load(const bridge_args *args)
{
    bridge_config *config = bridge_load(args, args->words[0]);
    bridge_findings findings = {NULL, 0, 0};
    bridge_findings remarks = {NULL, 0, 0};
    if (config != NULL && bridge_touch(config, false, &findings, &remarks) != BRIDGE_EXIT_OK) {
        bridge_report_text(args->words[0], &findings);
        bridge_config_free(config);
        config = NULL;
    }
    bridge_findings_fini(&findings);
    bridge_findings_fini(&remarks);
    return config;
}

static void on_reload_signal(void *ctx, int number)
{
    bridge_run *run = ctx;
    (void)number;
    if (run->stopping) {
        return;
    }
    if (run->next != NULL) {
        bridge_say(PUBSUB_LOG_WARN, NULL,
                   "the file read before is still being put in force; send "
                   "SIGHUP again later");
        return;
    }
    bridge_config *next = load(run->args);
    if (next == NULL) {
        bridge_say(PUBSUB_LOG_ERROR, NULL, "the file is wrong; everything goes on as before");
        return;
    }
    if (strcmp(next->state, run->config->state) != 0 ||
        (next->listen == NULL) != (run->config->listen == NULL) ||
        (next->listen != NULL && strcmp(next->listen, run->config->listen) != 0)) {
        bridge_say(PUBSUB_LOG_WARN, NULL, "`state` and `listen` change with a restart only");
    }
    bridge_server_reload(run->host);
    run->next = next;
    bridge_engine_apply(run->engine, next, on_applied, run);
}

/* A bridge with nothing left to do ends: every route has ended, or has stopped for good
 * with all that it follows. */
static void on_look(void *ctx)
{
    bridge_run *run = ctx;
    if (run->next == NULL && bridge_engine_is_over(run->engine)) {
        stop(run);
    }
}

static void on_note(void *ctx, bridge_note_kind kind, const char *route, pubsub_bytes model,
                    pubsub_bytes text)
{
    bridge_run *run = ctx;
    if (kind == BRIDGE_NOTE_ERROR) {
        bridge_say_model(PUBSUB_LOG_ERROR, route, model, text);
    } else if (run->verbose || kind == BRIDGE_NOTE_STATE) {
        bridge_say_model(PUBSUB_LOG_INFO, route, model, text);
    }
}

static void on_log(pubsub_host *host, int level, const char *text)
{
    (void)host;
    bridge_say(level, NULL, "%s", text);
}

static bool start(bridge_run *run, pubsub_error *err)
{
    if (pubsub_host_new(&run->host, err) != PUBSUB_OK) {
        return false;
    }
    run->host->log = on_log;
    run->look = run->host->timer_new(run->host, on_look, run);
    if (run->look == NULL || !bridge_host_on_signal(run->host, SIGTERM, on_end_signal, run) ||
        !bridge_host_on_signal(run->host, SIGINT, on_end_signal, run) ||
        !bridge_host_on_signal(run->host, SIGHUP, on_reload_signal, run)) {
        (void)pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot watch signals");
        return false;
    }
    run->engine = bridge_engine_new(run->host, run->config, on_note, run, err);
    if (run->engine == NULL) {
        return false;
    }
    bridge_engine_on_over(run->engine, look_soon, run);
    look_soon(run);
    if (run->config->listen != NULL) {
        run->ops = bridge_ops_new(run->host, run->engine, run->config->listen, err);
        return run->ops != NULL;
    }
    return true;
}

static void clean_up(bridge_run *run)
{
    bridge_engine_free(run->engine);
    if (run->host != NULL) {
        run->host->timer_free(run->look);
        (void)bridge_host_on_signal(run->host, SIGTERM, NULL, NULL);
        (void)bridge_host_on_signal(run->host, SIGINT, NULL, NULL);
        (void)bridge_host_on_signal(run->host, SIGHUP, NULL, NULL);
    }
    pubsub_host_free(run->host);
    bridge_config_free(run->next);
    bridge_config_free(run->config);
}

static void set_up_logging(const bridge_run *run)
{
    int level = run->args->verbosity < 0    ? PUBSUB_LOG_ERROR
                : run->args->verbosity >= 2 ? PUBSUB_LOG_DEBUG
                                            : run->config->log_level;
    if (run->verbose && level < PUBSUB_LOG_INFO) {
        level = PUBSUB_LOG_INFO; /* each event is told at this level */
    }
    bridge_say_setup(level, run->config->log_json);
    pubsub_log_set_level((pubsub_log_level)level);
}

int bridge_cmd_run(const bridge_args *args)
{
    bridge_run run;
    pubsub_error err = PUBSUB_ERROR_INIT;
    int code = BRIDGE_EXIT_OK;

    memset(&run, 0, sizeof(run));
    run.args = args;
    run.verbose = args->verbosity > 0;
    run.config = load(args);
    if (run.config == NULL) {
        return BRIDGE_EXIT_USAGE;
    }
    set_up_logging(&run);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk, not the end */
    if (!start(&run, &err)) {
        bridge_error("%s", pubsub_error_text(&err));
        code = BRIDGE_EXIT_FAILED;
        if (run.engine == NULL) {
            goto out;
        }
        stop(&run);
    }
    (void)pubsub_host_run(run.host, PUBSUB_FOREVER);
    if (!run.clean) {
        bridge_say(PUBSUB_LOG_WARN, NULL,
                   "not everything in flight was confirmed in time; it comes "
                   "again at the next start");
    }
    if (code == BRIDGE_EXIT_OK) {
        /* Whether a route that stops has something in flight is chance; that it stopped is not. */
        code = run.failed ? BRIDGE_EXIT_FAILED : !run.clean ? BRIDGE_EXIT_TIMEOUT : BRIDGE_EXIT_OK;
    }
out:
    clean_up(&run);
    return code;
}
