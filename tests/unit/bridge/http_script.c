/* SPDX-License-Identifier: MIT */
#include "http_script.h"

#include "support/cmocka.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ASKED_MAX = 4096 };

struct http_scripts {
    const http_script *scripts;
    char asked[HTTP_SCRIPTS_MAX][ASKED_MAX];
    pthread_t thread;
    int listener;
};

static bool read_request(int fd, char *into)
{
    size_t len = 0;
    into[0] = '\0';
    while (strstr(into, "\r\n\r\n") == NULL && len + 1 < ASKED_MAX) {
        ssize_t got = recv(fd, into + len, ASKED_MAX - 1 - len, 0);
        if (got <= 0) {
            return false;
        }
        len += (size_t)got;
        into[len] = '\0';
    }
    return true;
}

static void write_answer(int fd, const http_script *script)
{
    size_t len = script->len > 0 ? script->len : strlen(script->answer);
    for (size_t at = 0; at < len;) {
        size_t part = script->piece > 0 && script->piece < len - at ? script->piece : len - at;
        ssize_t sent = send(fd, script->answer + at, part, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        at += (size_t)sent;
    }
}

static void *serve(void *ctx)
{
    http_scripts *server = ctx;
    int fd = -1;
    for (size_t i = 0; server->scripts[i].answer != NULL && i < HTTP_SCRIPTS_MAX; i++) {
        const http_script *script = &server->scripts[i];
        char byte = 0;
        if (fd < 0) {
            fd = accept(server->listener, NULL, NULL);
        }
        if (fd < 0) {
            break;
        }
        if (read_request(fd, server->asked[i])) {
            write_answer(fd, script);
        }
        if (script->hold) {
            (void)recv(fd, &byte, 1, 0);
        }
        if (!script->keep) {
            (void)close(fd);
            fd = -1;
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return NULL;
}

http_scripts *http_scripts_start(const http_script *scripts, int *port)
{
    http_scripts *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    assert_non_null(server);
    server->scripts = scripts;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server->listener >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

const char *http_scripts_asked(const http_scripts *server, size_t nth)
{
    return server->asked[nth];
}

void http_scripts_end(http_scripts *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
}

void http_scripts_free(http_scripts *server)
{
    free(server);
}
