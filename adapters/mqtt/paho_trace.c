/* SPDX-License-Identifier: MIT */
/* Why an attempt failed. The library's callbacks do not say: not whether a name was not found or a
 * connection refused, not what was wrong with a certificate. Its trace does, on the thread that calls back
 * next, so what is heard is kept by thread until then. While nobody connects the trace is silent; by
 * default it is formatted, and dropped, for each packet. */
#include "mqtt/paho_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local paho_heard g_heard;
static atomic_int g_listening; /* attempts */
static bool g_installed;       /* set once, before the first attempt */

static void copy_until(char *out, size_t size, const char *text, const char *end)
{
    snprintf(out, size, "%.*s", (int)strcspn(text, end), text);
}

/* @locks the library's, for its trace */
static void hear(enum MQTTASYNC_TRACE_LEVELS level, char *message)
{
    const char *at;

    (void)level;
    if (message == NULL) {
        return;
    }
    if (strstr(message, "SSL handshake done") != NULL) {
        g_heard.tls_done = true;
    } else if ((at = strstr(message, "SSL alert ")) != NULL) {
        at += strlen("SSL alert ");
        const char *fatal = strstr(at, ":fatal:");
        if (fatal != NULL) {
            g_heard.alert_is_theirs = strncmp(at, "read", 4) == 0;
            copy_until(g_heard.alert, sizeof(g_heard.alert), fatal + strlen(":fatal:"), "\n");
        }
    } else if (strstr(message, "X509_check_host for hostname") != NULL) {
        g_heard.wrong_name = true;
    } else if (strstr(message, "rc from X509_check_ip_asc is 1") != NULL) {
        g_heard.wrong_name = false;
    } else if (strstr(message, "getaddrinfo failed") != NULL) {
        g_heard.no_address = true;
    } else if ((at = strstr(message, " Socket error ")) != NULL) {
        copy_until(g_heard.socket, sizeof(g_heard.socket), at + strlen(" Socket error "), "(\n");
    }
}

void pubsub__paho_trace_install(void)
{
    const char *own = getenv("MQTT_C_CLIENT_TRACE"); /* somebody looks at the library itself */

    if (own == NULL || own[0] == '\0') {
        g_installed = true;
        MQTTAsync_setTraceCallback(hear);
        MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
    }
}

void pubsub__paho_listen(paho_link *link)
{
    if (g_installed && !atomic_exchange(&link->listening, true)) {
        atomic_fetch_add(&g_listening, 1);
        MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_MINIMUM);
    }
}

void pubsub__paho_unlisten(paho_link *link)
{
    if (atomic_exchange(&link->listening, false) && atomic_fetch_sub(&g_listening, 1) == 1) {
        MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
        if (atomic_load(&g_listening) > 0) { /* another began between */
            MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_MINIMUM);
        }
    }
}

paho_heard pubsub__paho_heard(void)
{
    paho_heard heard = g_heard;

    memset(&g_heard, 0, sizeof(g_heard));
    return heard;
}
