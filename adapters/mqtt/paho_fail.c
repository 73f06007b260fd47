/* SPDX-License-Identifier: MIT */
/* Ends of attempts and connections, and what is said about them. On the library's threads. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* CONNACK codes of 3.1.1, 1 to 5, as reason codes of 5. */
static int modern(int code)
{
    static const int codes[] = {0x84, 0x85, 0x88, 0x86, 0x87};
    return code >= 1 && code <= 5 ? codes[code - 1] : code;
}

static pubsub_err refusal_code(int reason)
{
    switch (reason) {
    case 0x86: /* bad user name or password */
    case 0x87: /* not authorized: what mosquitto says to a wrong password */
    case 0x8C: /* bad authentication method */
        return PUBSUB_EAUTH;
    case 0x8A: /* banned */
        return PUBSUB_EDENIED;
    case 0x80: /* unspecified */
    case 0x83: /* implementation specific */
    case 0x88: /* unavailable */
    case 0x89: /* busy */
    case 0x9C: /* use another server */
    case 0x9D: /* server moved */
    case 0x9F: /* connection rate */
        return PUBSUB_ECONNECT;
    case 0x97: /* quota */
        return PUBSUB_EFULL;
    default:
        return PUBSUB_EREJECTED;
    }
}

static void name_reason(int reason, char *out, size_t size)
{
    const char *name = pubsub__mqtt_reason(reason);

    if (name != NULL) {
        snprintf(out, size, "%s", name);
    } else {
        snprintf(out, size, "reason 0x%02x", (unsigned)reason & 0xFFU);
    }
}

/* Queue the end of the attempt or connection that the link has. */
static void push_end(paho_link *link, paho_kind kind, const mqtt_failure *failure)
{
    mqtt_engine *engine = link->engine;

    pubsub__paho_unlisten(link);
    pubsub__paho_settled();
    pthread_mutex_lock(&engine->lock);
    bool dying = link->dying;
    bool leaving = link->leaving;
    uint32_t attempt = link->attempt;
    link->busy = false; /* from here on the I/O thread may begin another attempt on it */
    link->leaving = false;
    pthread_mutex_unlock(&engine->lock);
    if (dying) {
        return;
    }
    paho_failed *node = pubsub__calloc(1, sizeof(*node));
    if (node == NULL) {
        return; /* as if nobody answered */
    }
    node->node.kind = leaving && kind == PAHO_LOST ? PAHO_CLOSED : kind;
    node->node.attempt = attempt;
    node->failure = *failure;
    snprintf(node->failure.error.adapter, sizeof(node->failure.error.adapter), "mqtt");
    pubsub__paho_push(engine, &node->node);
}

/* ---- attempts ------------------------------------------------------------------------------ */

static void refused(paho_link *link, int code)
{
    mqtt_failure failure = {PUBSUB_ERROR_INIT, modern(code), false, true, false, false};
    char name[64];

    name_reason(failure.reason, name, sizeof(name));
    failure.version_refused = failure.reason == 0x84;
    pubsub_error_set(&failure.error, refusal_code(failure.reason), "%s refuses the connection: %s",
                     link->host, name);
    failure.error.native_code = failure.reason;
    push_end(link, PAHO_FAILED, &failure);
}

/* What a server says about our certificate or its absence. */
static const char *about_ours(const paho_link *link, const char *alert)
{
    if (strstr(alert, "unknown CA") != NULL) {
        return "does not trust the CA of the certificate of tls_cert";
    }
    if (strstr(alert, "expired") != NULL) {
        return "says the certificate of tls_cert has expired";
    }
    /* OpenSSL up to 3.0 has no name for the alert that a certificate is required. */
    if (strstr(alert, "certificate") != NULL || strcmp(alert, "unknown") == 0) {
        return link->own_certificate ? "refuses the certificate of tls_cert"
                                     : "wants a client certificate; set tls_cert and tls_key";
    }
    if (strcmp(alert, "handshake failure") == 0) {
        return "refused the handshake; it may want another client certificate (tls_cert, tls_key)";
    }
    return strcmp(alert, "protocol version") == 0 ? "offers no version of TLS from 1.2 on" : NULL;
}

/* What we say about theirs. */
static const char *about_theirs(const paho_link *link, const char *alert)
{
    if (strstr(alert, "unknown CA") != NULL) {
        return link->own_ca ? "nobody trusted has signed it, and the file or directory of tls_ca "
                              "does not have its CA"
                            : "nobody trusted has signed it; give its CA with tls_ca";
    }
    if (strstr(alert, "expired") != NULL) {
        return "it has expired; renew it at the broker";
    }
    return strstr(alert, "certificate") != NULL ? alert : NULL;
}

/* "thread:error:number:library:function:reason:file:line:data" of OpenSSL. */
static void cut_reason(const char *line, char *out, size_t size)
{
    for (int field = 0; field < 5 && line != NULL; field++) {
        line = strchr(line, ':');
        line = line != NULL ? line + 1 : NULL;
    }
    snprintf(out, size, "%.*s", line != NULL ? (int)strcspn(line, ":\n") : 0,
             line != NULL ? line : "");
}

/* Whether it was TLS that failed; then the failure says how. */
static bool explain_tls(const paho_link *link, const paho_heard *heard, mqtt_failure *failure)
{
    const char *why = NULL;
    char reason[120];

    cut_reason(link->tls_text, reason, sizeof(reason));
    bool bare_end = strstr(reason, "unexpected eof") != NULL;
    if (heard->alert[0] != '\0') {
        why = heard->alert_is_theirs ? about_ours(link, heard->alert)
                                     : about_theirs(link, heard->alert);
    } else if (strstr(reason, "wrong version number") != NULL) {
        why = "does not speak TLS; is it the port of the plain protocol?";
    }
    if (heard->wrong_name) {
        pubsub_error_set(&failure->error, PUBSUB_ETLS,
                         "the certificate of %s is refused: it is for another name; connect by the "
                         "name that it is for",
                         link->host);
    } else if (why != NULL && heard->alert[0] != '\0' && !heard->alert_is_theirs) {
        pubsub_error_set(&failure->error, PUBSUB_ETLS, "the certificate of %s is refused: %s",
                         link->host, why);
    } else if (why != NULL) {
        pubsub_error_set(&failure->error, PUBSUB_ETLS, "%s %s", link->host, why);
    } else if (heard->alert[0] != '\0' || (reason[0] != '\0' && !bare_end)) {
        pubsub_error_set(&failure->error, PUBSUB_ETLS, "TLS with %s failed: %s", link->host,
                         heard->alert[0] != '\0' ? heard->alert : reason);
    } else {
        return false;
    }
    failure->reached = true;
    return true;
}

static void attempt_failed(paho_link *link, int code, const char *message)
{
    mqtt_failure failure = {PUBSUB_ERROR_INIT, 0, false, false, false, false};
    paho_heard heard = pubsub__paho_heard();

    message = message != NULL ? message : "";
    if (code > 0 && (strcmp(message, "CONNACK return code") == 0 ||
                     strcmp(message, "Received disconnect") == 0)) {
        refused(link, code);
        return;
    }
    if (link->tls && explain_tls(link, &heard, &failure)) {
        push_end(link, PAHO_FAILED, &failure);
        return;
    }
    /* Having ended one attempt, the library ends whatever has the number of its socket by then, which may be
     * the next attempt. The words are those of a broken handshake, too. */
    failure.doubtful = strcmp(message, "socket error") == 0;
    bool closed = failure.doubtful || strcmp(message, "TCP connect completion failure") == 0;
    bool silent = strcmp(message, "TCP connect timeout") == 0;
    failure.reached = closed || heard.tls_done;
    failure.perhaps_made = failure.reached || silent;
    failure.version_refused = closed && link->version == MQTT_V5;
    if (heard.tls_done) {
        /* With TLS 1.3 it says so only after the handshake, and a reset may be faster than its words. */
        pubsub_error_set(&failure.error, PUBSUB_ECONNECT,
                         "%s closed the connection behind the handshake; it may %s", link->host,
                         link->own_certificate
                             ? "refuse the certificate of tls_cert"
                             : "want a client certificate (tls_cert and tls_key)");
    } else if (closed) {
        pubsub_error_set(&failure.error, PUBSUB_ECONNECT,
                         "%s closed the connection without an answer", link->host);
    } else if (silent) {
        pubsub_error_set(&failure.error, PUBSUB_ECONNECT, "%s does not answer", link->host);
    } else if (heard.no_address) {
        pubsub_error_set(&failure.error, PUBSUB_ECONNECT, "cannot find the address of %s",
                         link->host);
    } else {
        pubsub_error_set(&failure.error, PUBSUB_ECONNECT, "cannot connect to %s: %s", link->host,
                         heard.socket[0] != '\0' ? heard.socket
                                                 : "nobody listens there, or it is out of reach");
    }
    push_end(link, PAHO_FAILED, &failure);
}

void pubsub__paho_failed3(void *context, MQTTAsync_failureData *data)
{
    attempt_failed(context, data != NULL ? data->code : -1, data != NULL ? data->message : NULL);
}

void pubsub__paho_failed5(void *context, MQTTAsync_failureData5 *data)
{
    attempt_failed(context, data != NULL ? data->code : -1, data != NULL ? data->message : NULL);
}

void pubsub__paho_timed_out(paho_link *link)
{
    mqtt_failure failure = {PUBSUB_ERROR_INIT, 0, false, false, true, false};
    paho_failed *node = pubsub__calloc(1, sizeof(*node));

    if (node == NULL) {
        return;
    }
    pubsub_error_set(&failure.error, PUBSUB_ECONNECT, "%s does not answer", link->host);
    snprintf(failure.error.adapter, sizeof(failure.error.adapter), "mqtt");
    node->node.kind = PAHO_FAILED;
    node->node.attempt = link->engine->attempt;
    node->failure = failure;
    pubsub__paho_push(link->engine, &node->node);
}

/* One line at a time; the first says most. */
int pubsub__paho_tls_error(const char *text, size_t len, void *context)
{
    paho_link *link = context;

    if (link->tls_text[0] == '\0') {
        snprintf(link->tls_text, sizeof(link->tls_text), "%.*s", (int)len, text);
    }
    return 1;
}

/* ---- connections --------------------------------------------------------------------------- */

void pubsub__paho_lost(void *context, char *cause)
{
    paho_link *link = context;
    mqtt_failure failure = {PUBSUB_ERROR_INIT, 0, false, true, false, false};

    (void)cause; /* never there */
    (void)pubsub__paho_heard();
    pubsub_error_set(&failure.error, PUBSUB_ELOST, "the connection to %s was lost", link->host);
    push_end(link, PAHO_LOST, &failure);
}

void pubsub__paho_disconnected(void *context, MQTTProperties *properties,
                               enum MQTTReasonCodes reason)
{
    paho_link *link = context;
    int said = (int)reason;
    mqtt_failure failure = {PUBSUB_ERROR_INIT, said, false, true, false, false};
    pubsub_err code = PUBSUB_ELOST;
    char name[64];

    (void)properties;
    if (said == MQTT_SESSION_TAKEN_OVER) {
        code = PUBSUB_ETAKEN;
    } else if (said == MQTT_NOT_AUTHORIZED) {
        code = PUBSUB_EDENIED;
    }
    name_reason(said, name, sizeof(name));
    pubsub_error_set(&failure.error, code, "%s ended the connection: %s", link->host, name);
    failure.error.native_code = said;
    push_end(link, PAHO_LOST, &failure);
}
