/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_HTTP_SCRIPT_H
#define PUBSUB_TESTS_HTTP_SCRIPT_H

/* A server on a thread that answers each request by the next script, whatever is asked. */

#include <stdbool.h>
#include <stddef.h>

#define HTTP_SCRIPTS_MAX 8

typedef struct http_script {
    const char *answer; /* all bytes of it */
    size_t len;         /* 0 = strlen */
    size_t piece;       /* bytes a write; 0 = at once */
    bool hold;          /* afterwards wait until the client goes away, instead of closing */
    bool keep;          /* afterwards wait for the next request on this connection */
} http_script;

typedef struct http_scripts http_scripts;

/* scripts end with one whose answer is NULL. The port is for the URL. */
http_scripts *http_scripts_start(const http_script *scripts, int *port);
/* What the client sent for the nth request. After http_scripts_end only. */
const char *http_scripts_asked(const http_scripts *server, size_t nth);
/* Wait for the thread; NULL pointers are fine. */
void http_scripts_end(http_scripts *server);
void http_scripts_free(http_scripts *server);

#endif
