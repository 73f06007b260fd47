/* SPDX-License-Identifier: MIT */
#include "support/broker.h"

#include "support/cmocka.h"
#include "support/tempdir.h"
#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BROKERS_MAX = 64, ARGUMENTS_MAX = 64, OUTPUT_MAX = 16384, NOT_INSTALLED = 77 };

/* More than the tool's own patience, which ends with an explanation. */
#define TOOL_PATIENCE 120000

struct kit_broker {
    char kind[16];
    char root[KIT_PATH_MAX]; /* a temporary directory that holds dir */
    char dir[KIT_PATH_MAX + 16];
    char told[OUTPUT_MAX]; /* name NUL value NUL ... */
    size_t told_len;
    char passwords[2][128];
};

static kit_broker *started[BROKERS_MAX];
static pid_t owner;

static const char *tool(void)
{
    const char *path = getenv("PUBSUB_TEST_BROKER_TOOL");
    return path != NULL && path[0] != '\0' ? path : PUBSUB_TEST_BROKER_TOOL_DEFAULT;
}

/* --- running the tool --- */

/* In the child: only calls that are safe between fork and exec. */
static void become(char **argv, int out)
{
    (void)dup2(out, STDOUT_FILENO);
    (void)execvp(argv[0], argv);
    _exit(98);
}

/* Everything it writes, until it closes its output; false when that takes too long. */
static bool collect(int from, char *text, size_t size, size_t *len)
{
    kit_deadline deadline = kit_in(TOOL_PATIENCE);
    *len = 0;
    for (;;) {
        struct pollfd wait = {from, POLLIN, 0};
        char drain[256];
        bool room = *len + 1 < size;
        ssize_t got = 0;
        int ready = poll(&wait, 1, (int)kit_left(deadline));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        got = room ? read(from, text + *len, size - 1 - *len) : read(from, drain, sizeof(drain));
        if (got <= 0) {
            text[*len] = '\0';
            return got == 0;
        }
        *len += room ? (size_t)got : 0;
    }
}

/* Run the tool with arguments (ended by NULL): its exit code, -1 when it hangs. */
static int run(const char *const *arguments, char *text, size_t size, size_t *len)
{
    static char python[] = "python3";
    static char plain[] = "-B"; /* leaves no compiled files in the tree */
    char *argv[ARGUMENTS_MAX + 4] = {python, plain, strdup(tool())};
    size_t count = 3;
    int out[2];
    int status = 0;
    bool whole = false;
    pid_t child = 0;
    for (size_t i = 0; arguments[i] != NULL && count < ARGUMENTS_MAX + 3; i++) {
        argv[count++] = strdup(arguments[i]);
    }
    argv[count] = NULL;
    assert_int_equal(pipe(out), 0);
    (void)fcntl(out[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(out[1], F_SETFD, FD_CLOEXEC);
    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        become(argv, out[1]);
    }
    (void)close(out[1]);
    for (size_t i = 2; i < count; i++) {
        free(argv[i]);
    }
    assert_true(child > 0);
    whole = collect(out[0], text, size, len);
    (void)close(out[0]);
    if (!whole) {
        (void)kill(child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return whole && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- what it tells --- */

static void parse(kit_broker *broker)
{
    /* Lines name=value become pairs of strings, in place. */
    char *at = broker->told;
    char *end = broker->told + broker->told_len;
    while (at < end) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        char *sign = NULL;
        if (line_end == NULL) {
            break;
        }
        sign = memchr(at, '=', (size_t)(line_end - at));
        assert_non_null(sign);
        *sign = '\0';
        *line_end = '\0';
        at = line_end + 1;
    }
}

const char *kit_broker_get(const kit_broker *broker, const char *name)
{
    const char *at = broker->told;
    const char *end = broker->told + broker->told_len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0) {
            return value;
        }
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *kit_broker_need(const kit_broker *broker, const char *name)
{
    const char *value = kit_broker_get(broker, name);
    if (value == NULL) {
        fail_msg("%s in %s has no %s", broker->kind, broker->dir, name);
    }
    return value;
}

const char *kit_broker_url(const kit_broker *broker)
{
    return kit_broker_need(broker, "url");
}

static void read_password(kit_broker *broker, const char *name, int which)
{
    const char *path = kit_broker_get(broker, name);
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    if (file != NULL) {
        char *line = fgets(broker->passwords[which], sizeof(broker->passwords[which]), file);
        (void)fclose(file);
        assert_non_null(line);
        line[strcspn(line, "\n")] = '\0';
    }
}

const char *kit_broker_password(const kit_broker *broker, bool limited)
{
    return broker->passwords[limited];
}

pid_t kit_broker_pid(const kit_broker *broker)
{
    return (pid_t)strtol(kit_broker_need(broker, "pid"), NULL, 10);
}

/* --- starting and stopping --- */

static void stop_rest(void)
{
    if (getpid() != owner) {
        return; /* a child process stops nothing of its parent's */
    }
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        kit_broker_stop(started[i]);
    }
}

/* PUBSUB_TEST_BROKERS, when set, lists the kinds this run is about. */
bool kit_broker_asked(const char *kind)
{
    const char *kinds = getenv("PUBSUB_TEST_BROKERS");
    size_t len = strlen(kind);
    if (kinds == NULL || kinds[0] == '\0' || strcmp(kind, "couchdb3") == 0 ||
        strcmp(kind, "pouchdb") == 0) {
        return true; /* the list is of brokers; sources of changes belong to every run */
    }
    for (const char *at = kinds; *at != '\0';) {
        size_t word = strcspn(at, " ,");
        if (word == len && strncmp(at, kind, len) == 0) {
            return true;
        }
        at += word;
        at += strspn(at, " ,");
    }
    return false;
}

static void not_installed(const char *kind)
{
    const char *required = getenv("PUBSUB_TEST_REQUIRE_BROKERS");
    if (required != NULL && strcmp(required, "1") == 0) {
        fail_msg("%s is not installed, and PUBSUB_TEST_REQUIRE_BROKERS is set", kind);
    }
    print_message("%s is not installed: skipped\n", kind);
    skip();
}

bool kit_broker_installed(const char *kind)
{
    char text[256];
    size_t len = 0;
    const char *const arguments[] = {"check", kind, NULL};
    return kit_broker_asked(kind) && run(arguments, text, sizeof(text), &len) == 0;
}

static void free_broker(kit_broker *broker)
{
    kit_dir_remove(broker->root);
    free(broker);
}

static kit_broker *remember(kit_broker *broker)
{
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        if (started[i] == NULL) {
            started[i] = broker;
            return broker;
        }
    }
    fail_msg("more than %d brokers at once", BROKERS_MAX);
    return NULL;
}

static kit_broker *new_broker(const char *kind)
{
    kit_broker *broker = calloc(1, sizeof(*broker));
    assert_non_null(broker);
    kit_dir_new(broker->root);
    if (owner == 0) { /* after kit_dir_new, so that this runs before directories are removed */
        owner = getpid();
        (void)atexit(stop_rest);
    }
    (void)snprintf(broker->kind, sizeof(broker->kind), "%s", kind);
    (void)snprintf(broker->dir, sizeof(broker->dir), "%s/%s", broker->root, kind);
    return broker;
}

kit_broker *kit_broker_start_with(const char *kind, const char *variants,
                                  const char *const *settings)
{
    if (!kit_broker_asked(kind)) {
        print_message("%s was not asked for: skipped\n", kind);
        skip();
    }
    kit_broker *broker = new_broker(kind);
    const char *ca = getenv("PUBSUB_TEST_CA_DIR");
    char pid[24];
    const char *arguments[ARGUMENTS_MAX] = {"start",
                                            kind,
                                            "--dir",
                                            broker->dir,
                                            "--owner",
                                            pid,
                                            "--remove",
                                            "--format",
                                            "env",
                                            "--variant",
                                            variants != NULL ? variants : ""};
    size_t count = 11;
    int code = 0;
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    if (ca != NULL && ca[0] != '\0') {
        arguments[count++] = "--ca";
        arguments[count++] = ca;
    }
    for (size_t i = 0; settings != NULL && settings[i] != NULL && count < ARGUMENTS_MAX - 2; i++) {
        arguments[count++] = "--set";
        arguments[count++] = settings[i];
    }
    code = run(arguments, broker->told, sizeof(broker->told), &broker->told_len);
    if (code != 0) {
        free_broker(broker);
        if (code == NOT_INSTALLED) {
            not_installed(kind);
        }
        fail_msg("cannot start %s (%s): broker.py ended with %d", kind,
                 variants != NULL ? variants : "stock", code);
    }
    parse(broker);
    read_password(broker, "password_file", 0);
    read_password(broker, "limited_password_file", 1);
    return remember(broker);
}

kit_broker *kit_broker_start(const char *kind, const char *variants)
{
    return kit_broker_start_with(kind, variants, NULL);
}

/* command DIR [--node NODE]; what it tells replaces what is known when tells is set. */
static void command(kit_broker *broker, const char *name, const char *node, bool tells)
{
    const char *arguments[8] = {name, broker->dir};
    size_t count = 2;
    char *text = malloc(OUTPUT_MAX);
    size_t len = 0;
    int code = 0;
    assert_non_null(text);
    if (node != NULL) {
        arguments[count++] = "--node";
        arguments[count++] = node;
    }
    if (tells) {
        arguments[count++] = "--format";
        arguments[count++] = "env";
    }
    code = run(arguments, text, OUTPUT_MAX, &len);
    if (code == 0 && tells) {
        memcpy(broker->told, text, OUTPUT_MAX);
        broker->told_len = len;
        parse(broker);
    }
    free(text);
    if (code != 0) {
        fail_msg("%s of %s: broker.py ended with %d", name, broker->dir, code);
    }
}

void kit_broker_kill(kit_broker *broker)
{
    command(broker, "kill", NULL, false);
}

void kit_broker_kill_node(kit_broker *broker, const char *node)
{
    command(broker, "kill", node, false);
}

void kit_broker_pause(kit_broker *broker)
{
    command(broker, "pause", NULL, false);
}

void kit_broker_resume(kit_broker *broker)
{
    command(broker, "resume", NULL, false);
}

void kit_broker_restart(kit_broker *broker)
{
    command(broker, "restart", NULL, true);
}

void kit_broker_restart_node(kit_broker *broker, const char *node)
{
    command(broker, "restart", node, true);
}

void kit_broker_stop(kit_broker *broker)
{
    char text[256];
    size_t len = 0;
    if (broker == NULL) {
        return;
    }
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        if (started[i] == broker) {
            started[i] = NULL;
        }
    }
    const char *const arguments[] = {"stop", broker->dir, "--remove", NULL};
    if (run(arguments, text, sizeof(text), &len) != 0) {
        print_message("cannot stop %s in %s\n", broker->kind, broker->dir);
    }
    free_broker(broker);
}

/* --- the shared ones --- */

static const struct shared {
    const char *kind;
    const char *variable;
    const char *variants; /* as scripts/test starts it */
} shared[] = {{"mosquitto", "PUBSUB_TEST_MQTT_URL", "generous,persistence"},
              {"redis", "PUBSUB_TEST_REDIS_URL", "generous,aof-on"},
              {"rabbitmq", "PUBSUB_TEST_AMQP_URL", "generous"},
              {"kafka", "PUBSUB_TEST_KAFKA_URL", "generous"}};
static kit_broker *own[sizeof(shared) / sizeof(shared[0])];

const char *kit_broker_given(const char *kind)
{
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        if (strcmp(shared[i].kind, kind) == 0) {
            const char *url = getenv(shared[i].variable);
            return url != NULL && url[0] != '\0' ? url : NULL;
        }
    }
    return NULL;
}

const char *kit_broker_shared(const char *kind)
{
    const char *given = kit_broker_given(kind);
    if (given != NULL) {
        return given;
    }
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        if (strcmp(shared[i].kind, kind) == 0) {
            if (own[i] == NULL) {
                own[i] = kit_broker_start(kind, shared[i].variants);
            }
            return kit_broker_url(own[i]);
        }
    }
    fail_msg("no kind of broker is called %s", kind);
    return NULL;
}
