/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_TRANSPORT_SERVER_H
#define PUBSUB_TESTS_TRANSPORT_SERVER_H

/* A server on its own thread with plain blocking sockets: one connection after the other, each treated by
 * a function of the test's. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct server server;
typedef void (*server_fn)(server *s, int fd);

struct server {
    server_fn serve; /* the descriptor is closed after it */
    void *ctx;
    size_t size; /* for the functions below */

    char path[108]; /* of a Unix socket, "" = TCP */
    int family;     /* AF_INET, AF_INET6, AF_UNIX */
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_int current;
    atomic_uint accepted;
    atomic_size_t received;
    atomic_uint sum;   /* of the bytes received */
    atomic_bool go;    /* set by the test, waited for by server_wait_go */
    atomic_bool ended; /* the client has said its last byte */
    void *tls;         /* SSL_CTX of a TLS server */
};

/* Start; port 0 is any. Fails the test when it does not work. */
void server_start(server *s, int family, uint16_t port, server_fn serve);
void server_stop(server *s);
/* "wire://127.0.0.1:PORT" or the like, then `rest`. */
const char *server_url(const server *s, const char *rest, char *out, size_t size);
/* A port of the loopback on which nobody listens. */
uint16_t server_dead_port(void);

/* Inside a server_fn. */
bool server_wait_go(server *s);
bool server_send(int fd, const void *bytes, size_t len);
/* Read and count until the end; false on an error. */
bool server_read_all(server *s, int fd);

/* Functions to serve with. */
void serve_echo(server *s, int fd);
/* Read and count to the end, once `go` is set. */
void serve_sink(server *s, int fd);
/* Say nothing and read nothing until the server stops. */
void serve_mute(server *s, int fd);
/* Send s->size bytes 'x', then end this direction and read on. */
void serve_source(server *s, int fd);
/* Read s->size bytes, then reset the connection. */
void serve_reset(server *s, int fd);
/* Close at once. */
void serve_nothing(server *s, int fd);

/* A listener whose queue is full: connecting to it takes for ever. */
typedef struct blackhole {
    int fd;
    int fill[64];
    size_t filled;
    uint16_t port;
} blackhole;
void blackhole_open(blackhole *hole);
void blackhole_close(blackhole *hole);

#endif
