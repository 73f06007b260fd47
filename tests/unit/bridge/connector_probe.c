/* SPDX-License-Identifier: MIT */
/* Runs a connector for a script: prints what the emitter is told as JSON lines, and takes commands.
 *   connector_probe [-l OBJECT] [-n INSTANCES] CONNECTOR MODEL[,MODEL..] name=value ...
 *   auto | hold | full | refuse NAME   what becomes of events from now on; at first auto
 *   settle NAME            the held ones: OK, EAGAIN, ...
 *   models COUNT           so many models have a stored position: b0, c1, b2, ...
 *   resume | stop | start | stored POSITION | check | files */
#include <pubsub/connector.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "json/slice.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INSTANCES_MAX = 4, HELD_MAX = 4096, ARGS_MAX = 64 };

typedef struct probe {
    pubsub_emitter emitter;
    int index;
    void *self;
    bool running;
    void *held[HELD_MAX];
    size_t held_count;
} probe;

static pubsub_host *host;
static const pubsub_connector *connector;
static probe probes[INSTANCES_MAX];
static int probe_count = 1;
static enum { AUTO, HOLD, FULL, REFUSE } mode;
static pubsub_err refusal;
static char stored_position[4096];
static int stored_models;
static char input[8192];
static size_t input_len;
static bool at_end;

/* ---- printing ------------------------------------------------------------------------------ */

static void put(pubsub__buf *out, const char *name, pubsub_bytes bytes)
{
    if (bytes.data != NULL) {
        pubsub__buf_printf(out, ",\"%s\":", name);
        bridge_json_quote(bytes, out);
    }
}

static void flush_line(pubsub__buf *out)
{
    pubsub__buf_add_text(out, "}\n");
    fwrite(out->data, 1, out->len, stdout);
    fflush(stdout);
    pubsub__buf_fini(out);
}

static void begin_line(pubsub__buf *out, const probe *p, const char *what)
{
    pubsub__buf_init(out, 64 * 1024 * 1024);
    pubsub__buf_printf(out, "{\"what\":\"%s\",\"instance\":%d", what, p->index);
}

static pubsub_err code_of(const char *name)
{
    for (int code = 0; code > -100; code--) {
        const char *full = pubsub_err_name((pubsub_err)code); /* "PUBSUB_EAGAIN" */
        if (strlen(full) > 7 && strcmp(full + 7, name) == 0) {
            return (pubsub_err)code;
        }
    }
    return PUBSUB_EINTERNAL;
}

static pubsub_err on_event(pubsub_emitter *emitter, const pubsub_source_event *event)
{
    probe *p = (probe *)(void *)emitter;
    pubsub__buf line;
    if (mode == FULL) {
        return PUBSUB_EAGAIN;
    }
    if (mode == REFUSE) {
        return refusal;
    }
    begin_line(&line, p, "event");
    put(&line, "model", event->model);
    put(&line, "document", event->document);
    put(&line, "type", event->content_type);
    put(&line, "id", event->id);
    put(&line, "key", event->key);
    put(&line, "position", event->position);
    pubsub__buf_printf(&line, ",\"change\":\"%s\",\"time\":%llu", pubsub_change_name(event->change),
                       (unsigned long long)event->timestamp_ns);
    for (size_t i = 0; i < event->header_count; i++) {
        char name[80];
        snprintf(name, sizeof(name), "header.%.*s", (int)event->headers[i].name.len,
                 (const char *)event->headers[i].name.data);
        put(&line, name, event->headers[i].value);
    }
    flush_line(&line);
    if (event->token != NULL) {
        if (mode == HOLD && p->held_count < HELD_MAX) {
            p->held[p->held_count++] = event->token;
        } else {
            const pubsub_settled settled = {event->token, PUBSUB_OK};
            connector->settled(p->self, &settled, 1);
        }
    }
    return PUBSUB_OK;
}

static void on_position(pubsub_emitter *emitter, pubsub_bytes model, pubsub_bytes position)
{
    pubsub__buf line;
    begin_line(&line, (probe *)(void *)emitter, "position");
    put(&line, "model", model);
    put(&line, "position", position);
    flush_line(&line);
}

static pubsub_bytes on_stored(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)emitter;
    (void)model;
    return pubsub_bytes_of(stored_position);
}

static void on_state(pubsub_emitter *emitter, pubsub_bytes model, pubsub_source_state state)
{
    pubsub__buf line;
    begin_line(&line, (probe *)(void *)emitter, "state");
    put(&line, "model", model);
    put(&line, "state", pubsub_bytes_of(pubsub_source_state_name(state)));
    flush_line(&line);
}

static void on_error(pubsub_emitter *emitter, pubsub_bytes model, const pubsub_error *error)
{
    pubsub__buf line;
    begin_line(&line, (probe *)(void *)emitter, "error");
    put(&line, "model", model);
    put(&line, "text", pubsub_bytes_of(pubsub_error_text(error)));
    flush_line(&line);
}

static void on_alive(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)emitter;
    (void)model;
}

/* As many models as are told, each with the position that is stored, if one is. */
static void on_stored_all(pubsub_emitter *emitter,
                          void (*each)(void *ctx, pubsub_bytes model, pubsub_bytes position),
                          void *ctx)
{
    (void)emitter;
    for (int i = 0; i < stored_models; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%c%d", i % 2 == 0 ? 'b' : 'c', i);
        each(ctx, pubsub_bytes_of(name), pubsub_bytes_of(stored_position));
    }
}

static void on_log(pubsub_host *self, int level, const char *text)
{
    pubsub__buf line;
    (void)self;
    begin_line(&line, &probes[0], "log");
    pubsub__buf_printf(&line, ",\"level\":%d", level);
    put(&line, "text", pubsub_bytes_of(text));
    flush_line(&line);
}

static void say(const char *what, const char *text)
{
    pubsub__buf line;
    begin_line(&line, &probes[0], what);
    put(&line, "text", pubsub_bytes_of(text));
    flush_line(&line);
}

/* ---- commands ------------------------------------------------------------------------------ */

static void start(probe *p)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (connector->start(p->self, &p->emitter, &err) != PUBSUB_OK) {
        say("refused", pubsub_error_text(&err));
        return;
    }
    p->running = true;
    say("started", "");
}

static void stopped(void *ctx)
{
    probe *p = ctx;
    bool any = false;
    p->running = false;
    say("stopped", "");
    for (int i = 0; i < probe_count; i++) {
        any = any || probes[i].running;
    }
    if (at_end && !any) {
        pubsub_host_stop(host);
    }
}

static void stop_all(void)
{
    bool any = false;
    for (int i = 0; i < probe_count; i++) {
        if (probes[i].running) {
            any = true;
            connector->stop(probes[i].self, stopped, &probes[i]);
        }
    }
    if (!any && at_end) {
        pubsub_host_stop(host);
    }
}

static void settle(const char *name)
{
    pubsub_err code = code_of(name);
    for (int i = 0; i < probe_count; i++) {
        probe *p = &probes[i];
        for (size_t k = 0; k < p->held_count; k++) {
            const pubsub_settled settled = {p->held[k], code};
            connector->settled(p->self, &settled, 1);
        }
        p->held_count = 0;
    }
    say("settled", name);
}

static void on_finding(void *ctx, const pubsub_error *finding)
{
    (void)ctx;
    say("finding", pubsub_error_text(finding));
}

static void on_checked(void *ctx)
{
    (void)ctx;
    say("checked", "");
}

static void count_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    char text[32];
    int count = 0;
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    snprintf(text, sizeof(text), "%d", count);
    say("files", text);
}

static void command(char *line)
{
    char *argument = strchr(line, ' ');
    if (argument != NULL) {
        *argument++ = '\0';
    } else {
        argument = line + strlen(line);
    }
    if (strcmp(line, "auto") == 0) {
        mode = AUTO;
    } else if (strcmp(line, "hold") == 0) {
        mode = HOLD;
    } else if (strcmp(line, "full") == 0) {
        mode = FULL;
    } else if (strcmp(line, "refuse") == 0) {
        mode = REFUSE;
        refusal = code_of(argument);
    } else if (strcmp(line, "settle") == 0) {
        settle(argument);
        return;
    } else if (strcmp(line, "stored") == 0) {
        snprintf(stored_position, sizeof(stored_position), "%s", argument);
    } else if (strcmp(line, "models") == 0) {
        stored_models = (int)strtol(argument, NULL, 10);
    } else if (strcmp(line, "check") == 0) {
        connector->check(probes[0].self, on_finding, on_checked, NULL);
        return;
    } else if (strcmp(line, "files") == 0) {
        count_files();
        return;
    } else if (strcmp(line, "stop") == 0) {
        stop_all();
        return;
    }
    for (int i = 0; i < probe_count; i++) {
        if (strcmp(line, "start") == 0) {
            start(&probes[i]);
        } else if (strcmp(line, "resume") == 0) {
            connector->resume(probes[i].self);
        }
    }
    say("done", line);
}

static void on_input(void *ctx, uint32_t bits)
{
    ssize_t got = read(0, input + input_len, sizeof(input) - input_len - 1);
    char *line = input;
    char *end = NULL;
    (void)bits;
    if (got <= 0) {
        host->watch_set(*(pubsub_host_watch **)ctx, 0);
        at_end = true;
        stop_all();
        return;
    }
    input_len += (size_t)got;
    input[input_len] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        command(line);
        line = end + 1;
    }
    input_len -= (size_t)(line - input);
    memmove(input, line, input_len);
}

/* ---- main ---------------------------------------------------------------------------------- */

static int make(int argc, char **argv)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_setting_value *values = NULL;
    const char *names[ARGS_MAX];
    const char *texts[ARGS_MAX];
    const char *models[8];
    pubsub_connector_init init;
    size_t count = 0;
    size_t model_count = 0;
    for (char *model = strtok_r(argv[1], ",", &argv[0]); model != NULL && model_count < 8;
         model = strtok_r(NULL, ",", &argv[0])) {
        models[model_count++] = model;
    }
    for (int i = 2; i < argc && count < ARGS_MAX; i++, count++) {
        char *equals = strchr(argv[i], '=');
        *equals = '\0';
        names[count] = argv[i];
        texts[count] = equals + 1;
    }
    memset(&init, 0, sizeof(init));
    if (pubsub_settings_new(connector, names, texts, count, &values, &init.setting_count, &err) !=
        PUBSUB_OK) {
        say("refused", pubsub_error_text(&err));
        return 2;
    }
    init.size = sizeof(init);
    init.host = host;
    init.name = "source";
    init.reader = "reader";
    init.models = models;
    init.model_count = model_count;
    init.settings = values;
    init.in_flight = 100;
    for (int i = 0; i < probe_count; i++) {
        probe *p = &probes[i];
        const pubsub_emitter emitter = {.abi = PUBSUB_CONNECTOR_ABI,
                                        .size = sizeof(emitter),
                                        .event = on_event,
                                        .position = on_position,
                                        .stored = on_stored,
                                        .state = on_state,
                                        .error = on_error,
                                        .alive = on_alive,
                                        .stored_all = on_stored_all};
        p->emitter = emitter;
        p->index = i;
        if (connector->initialize(&p->self, &init, &err) != PUBSUB_OK) {
            say("refused", pubsub_error_text(&err));
            pubsub_settings_free(values, init.setting_count);
            return 2;
        }
    }
    pubsub_settings_free(values, init.setting_count);
    return 0;
}

int main(int argc, char **argv)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_host_watch *watch = NULL;
    const char *object = NULL;
    int code = 0;
    int option = 0;
    while ((option = getopt(argc, argv, "+l:n:")) != -1) {
        object = option == 'l' ? optarg : object;
        probe_count = option == 'n' ? (int)strtol(optarg, NULL, 10) : probe_count;
    }
    argc -= optind;
    argv += optind;
    if (argc < 2 || pubsub_host_new(&host, NULL) != PUBSUB_OK) {
        return 2;
    }
    host->log = on_log;
    connector = pubsub_connector_find(argv[0]);
    if (object != NULL && pubsub_connector_load(object, &connector, &err) != PUBSUB_OK) {
        say("refused", pubsub_error_text(&err));
        pubsub_host_free(host);
        return 2;
    }
    code = connector != NULL ? make(argc, argv) : 2;
    if (code == 0) {
        for (int i = 0; i < probe_count; i++) {
            start(&probes[i]);
        }
        watch = host->watch_new(host, 0, on_input, &watch);
        host->watch_set(watch, PUBSUB_HOST_READ);
        code = pubsub_host_run(host, 120000) == PUBSUB_OK ? 0 : 4;
        host->watch_free(watch);
    }
    for (int i = 0; i < probe_count; i++) {
        connector->fini(probes[i].self);
    }
    pubsub_host_free(host);
    if (pubsub__alloc_live() != 0) {
        printf("left: %lld blocks of memory\n", (long long)pubsub__alloc_live());
        return 3;
    }
    printf("{\"what\":\"ended\"}\n");
    return code;
}
