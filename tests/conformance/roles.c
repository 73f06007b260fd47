/* SPDX-License-Identifier: MIT */
/* What child processes of the suite do. */
#include "conformance/conf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pubsub_client *open_client(const char *url)
{
    pubsub_client *client = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (pubsub_client_new(&client, url, NULL, &error) != PUBSUB_OK) {
        (void)fprintf(stderr, "%s: %s\n", url, error.text);
        exit(90);
    }
    return client;
}

static bool say_message(pubsub_message *message)
{
    pubsub_bytes payload = pubsub_message_payload(message);
    kit_say("got %.*s %u", (int)payload.len, (const char *)payload.data,
            pubsub_message_attempt(message));
    return true;
}

/* consume URL PATTERN OPTIONS COUNT [HOLD]: say "ready", then "got PAYLOAD ATTEMPT" for each message.
 * Acks each, but none after the first COUNT - HOLD; ends after COUNT, or, when HOLD is given, says
 * "holding" and waits to be killed. COUNT 0 = no end. */
static int consume(int argc, char **argv)
{
    pubsub_client *client = open_client(argv[0]);
    pubsub_options *options = kit_options(argv[2]);
    size_t count = strtoul(argv[3], NULL, 10);
    size_t hold = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    pubsub_subscription *sub = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (pubsub_client_subscribe(client, argv[1], options, NULL, NULL, &sub, &error) != PUBSUB_OK ||
        pubsub_subscription_wait(sub, kit_ms(KIT_PATIENCE), NULL, &error) != PUBSUB_OK) {
        kit_say("refused %s %s", pubsub_err_name(error.code), error.text);
        return 91;
    }
    pubsub_options_free(options);
    kit_say("ready");
    for (size_t seen = 0; count == 0 || seen < count; seen++) {
        pubsub_message *message = NULL;
        if (pubsub_subscription_next(sub, kit_ms(3 * KIT_PATIENCE), &message, &error) !=
            PUBSUB_OK) {
            kit_say("end %s", pubsub_err_name(error.code));
            return 92;
        }
        (void)say_message(message);
        if (count == 0 || seen < count - hold) {
            (void)pubsub_message_ack(message);
            pubsub_message_unref(message);
        }
    }
    if (hold > 0) {
        char line[16];
        (void)pubsub_client_flush(client, kit_ms(KIT_PATIENCE), NULL);
        kit_say("holding");
        (void)kit_hear(line, sizeof(line));
        _exit(0);
    }
    pubsub_subscription_free(sub);
    (void)pubsub_client_end(client, kit_ms(KIT_PATIENCE), NULL);
    pubsub_client_free(client);
    return 0;
}

/* produce URL TOPIC PREFIX COUNT: publish so many and end. */
static int produce(int argc, char **argv)
{
    pubsub_client *client = open_client(argv[0]);
    size_t count = strtoul(argv[3], NULL, 10);
    pubsub_err result = PUBSUB_OK;
    (void)argc;
    for (size_t i = 0; i < count && result == PUBSUB_OK; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%s%zu", argv[2], i);
        result = pubsub_client_publish_text(client, argv[1], text, NULL);
    }
    if (result == PUBSUB_OK) {
        result = pubsub_client_end(client, kit_ms(KIT_PATIENCE), NULL);
    }
    pubsub_client_free(client);
    return result == PUBSUB_OK ? 0 : 93;
}

static void say_stored(void *ctx, const pubsub_report *report)
{
    size_t *stored = ctx;
    if (report->outcome == PUBSUB_ACCEPTED) {
        kit_say("stored %zu", (*stored)++);
    }
}

/* confirm URL TOPIC PREFIX: publish without end, saying "stored N" for each that is confirmed, in
 * order. To be killed. */
static int confirm(int argc, char **argv)
{
    pubsub_client *client = open_client(argv[0]);
    size_t stored = 0;
    (void)argc;
    (void)pubsub_client_on_delivery(client, say_stored, &stored);
    for (size_t i = 0;; i++) {
        char text[64];
        pubsub_publication pub;
        (void)snprintf(text, sizeof(text), "%s%zu", argv[2], i);
        pub = kit_publication(argv[1], text);
        if (pubsub_client_publish(client, &pub, 0, NULL) != PUBSUB_OK) {
            return 94;
        }
        while (i > stored + 50) {
            (void)pubsub_client_poll(client, 100, NULL);
        }
        (void)pubsub_client_poll(client, 0, NULL);
    }
}

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t work_done; /* with say_lock */

/* The key is what stands before the ':'. */
static int work_on(void *ctx, pubsub_message *message)
{
    const char *stuck = ctx;
    pubsub_bytes payload = pubsub_message_payload(message);
    size_t len = strlen(stuck);
    while (payload.len > len && memcmp(payload.data, stuck, len) == 0 &&
           ((const char *)payload.data)[len] == ':') {
        (void)pause();
    }
    (void)pthread_mutex_lock(&say_lock);
    kit_say("done %.*s", (int)payload.len, (const char *)payload.data);
    work_done++;
    (void)pthread_mutex_unlock(&say_lock);
    return 0;
}

/* Until all that was said to be done is acknowledged: a handler speaks before it returns. */
static void await_acks(pubsub_client *client)
{
    kit_deadline until = kit_in(KIT_PATIENCE);
    pubsub_stats stats = {.size = sizeof(stats)};
    uint64_t said = 0;
    do {
        kit_breathe();
        (void)pthread_mutex_lock(&say_lock);
        said = work_done;
        (void)pthread_mutex_unlock(&say_lock);
        (void)pubsub_client_stats(client, &stats);
    } while (stats.acked < said && !kit_over(until));
}

/* work URL PATTERN OPTIONS STUCK: say "ready", then "done PAYLOAD" for each message that was handled by
 * several threads; those of the key STUCK never are. A line on stdin: flush and say "flushed". To be
 * killed. */
static int work(int argc, char **argv)
{
    pubsub_options *threads = kit_options("dispatch=thread");
    pubsub_options *options = kit_options(argv[2]);
    pubsub_client *client = NULL;
    pubsub_subscription *sub = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    char line[16];
    (void)argc;
    if (pubsub_client_new(&client, argv[0], threads, &error) != PUBSUB_OK ||
        pubsub_client_subscribe(client, argv[1], options, work_on, argv[3], &sub, &error) !=
            PUBSUB_OK ||
        pubsub_subscription_wait(sub, kit_ms(KIT_PATIENCE), NULL, &error) != PUBSUB_OK) {
        kit_say("refused %s %s", pubsub_err_name(error.code), error.text);
        return 91;
    }
    (void)pthread_mutex_lock(&say_lock);
    kit_say("ready");
    (void)pthread_mutex_unlock(&say_lock);
    while (kit_hear(line, sizeof(line))) {
        await_acks(client);
        (void)pubsub_client_flush(client, kit_ms(KIT_PATIENCE), NULL);
        kit_say("flushed");
    }
    return 0;
}

/* serve URL TOPIC: say "ready", answer each request with "re:" and its payload. To be killed. */
static int serve(int argc, char **argv)
{
    pubsub_client *client = open_client(argv[0]);
    pubsub_subscription *sub = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)argc;
    if (pubsub_client_subscribe(client, argv[1], NULL, NULL, NULL, &sub, &error) != PUBSUB_OK ||
        pubsub_subscription_wait(sub, kit_ms(KIT_PATIENCE), NULL, &error) != PUBSUB_OK) {
        kit_say("refused %s %s", pubsub_err_name(error.code), error.text);
        return 91;
    }
    kit_say("ready");
    for (;;) {
        char text[96];
        pubsub_message *message = NULL;
        pubsub_publication answer = PUBSUB_PUBLICATION_INIT;
        if (pubsub_subscription_next(sub, PUBSUB_FOREVER, &message, &error) != PUBSUB_OK) {
            return 92;
        }
        pubsub_bytes payload = pubsub_message_payload(message);
        (void)snprintf(text, sizeof(text), "re:%.*s", (int)payload.len,
                       payload.len > 0 ? (const char *)payload.data : "");
        answer.payload = pubsub_bytes_of(text);
        if (pubsub_message_reply(message, &answer, PUBSUB_FOREVER, &error) != PUBSUB_OK) {
            return 95;
        }
        (void)pubsub_message_ack(message);
        pubsub_message_unref(message);
    }
}

const kit_role conf_roles[] = {{"serve", serve},     {"consume", consume}, {"work", work},
                               {"produce", produce}, {"confirm", confirm}, {NULL, NULL}};
