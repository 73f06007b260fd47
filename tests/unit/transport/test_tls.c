/* SPDX-License-Identifier: MIT */
/* TLS: who is trusted, what is said when not, and bytes through it. */
#include "certs.h"
#include "wire.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY (24L * 3600)

static char g_url[1024];
static char g_options[2048];

/* Made once: a CA, and what it signed; another CA. */
static struct {
    char dir[KIT_PATH_MAX];
    cert ca, other_ca;
    cert good, expired, early, elsewhere, client, foreign_client, lonely;
} g;

static int make_certificates(void **state)
{
    (void)state;
    kit_dir_new(g.dir);
    cert_make(&g.ca, g.dir, "ca", NULL, NULL, -DAY, 30 * DAY);
    cert_make(&g.other_ca, g.dir, "other-ca", NULL, NULL, -DAY, 30 * DAY);
    cert_make(&g.good, g.dir, "good", "DNS:localhost,IP:127.0.0.1", &g.ca, -DAY, DAY);
    cert_make(&g.expired, g.dir, "expired", "DNS:localhost,IP:127.0.0.1", &g.ca, -3 * DAY, -DAY);
    cert_make(&g.early, g.dir, "early", "DNS:localhost,IP:127.0.0.1", &g.ca, DAY, 3 * DAY);
    cert_make(&g.elsewhere, g.dir, "elsewhere", "DNS:broker.example,DNS:*.other.example", &g.ca,
              -DAY, DAY);
    cert_make(&g.client, g.dir, "client", NULL, &g.ca, -DAY, DAY);
    cert_make(&g.foreign_client, g.dir, "foreign-client", NULL, &g.other_ca, -DAY, DAY);
    cert_make(&g.lonely, g.dir, "lonely", "DNS:localhost,IP:127.0.0.1", NULL, -DAY, DAY);
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    cert *all[] = {&g.ca,        &g.other_ca, &g.good,           &g.expired, &g.early,
                   &g.elsewhere, &g.client,   &g.foreign_client, &g.lonely};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cert_free(all[i]);
    }
    kit_dir_remove(g.dir);
    return 0;
}

/* A server with this certificate, on a name or address the certificate is for. */
static void serve(server *s, const cert *own, const cert *client_ca, server_fn fn)
{
    s->tls = cert_server(own, client_ca);
    server_start(s, AF_INET, 0, fn);
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u?tls=yes", (unsigned)s->port);
}

static void stop(server *s)
{
    server_stop(s);
    SSL_CTX_free(s->tls);
}

static const char *trusting(const cert *ca, const char *more)
{
    (void)snprintf(g_options, sizeof(g_options), "tls_ca=%s %s", ca->file, more);
    return g_options;
}

static void exchange(wire *w)
{
    wire_ready(w);
    assert_int_equal(wire_write(w, "secret", 6), 6);
    WIRE_AWAIT(w, w->received == 6 || w->closes > 0);
    assert_string_equal(w->head, "secret");
}

static void echo_with(const cert *own, const cert *client_ca, const char *options)
{
    server s = {0};
    wire w = {0};
    serve(&s, own, client_ca, serve_tls_echo);
    wire_open(&w, g_url, options);
    exchange(&w);
    wire_free(&w);
    stop(&s);
}

/* Connecting ends with ETLS and says this. */
static void refused_with(const cert *own, const cert *client_ca, const char *options,
                         const char *says, const char *says_too)
{
    server s = {0};
    wire w = {0};
    serve(&s, own, client_ca, serve_tls_echo);
    wire_open(&w, g_url, options);
    wire_await_closed(&w);
    if (w.error.code != PUBSUB_ETLS) {
        fail_msg("%s: %s", pubsub_err_name(w.error.code), w.error.text);
    }
    KIT_SAYS(w.error.text, says);
    KIT_SAYS(w.error.text, says_too);
    KIT_SAYS(w.error.text, "127.0.0.1:");
    wire_free(&w);
    stop(&s);
}

/* ---- certificates of the broker ---- */

static void test_tls_checks_and_carries_bytes(void **state)
{
    (void)state;
    echo_with(&g.good, NULL, trusting(&g.ca, ""));
}

static void test_tls_works_inline(void **state)
{
    (void)state;
    echo_with(&g.good, NULL, trusting(&g.ca, "io=inline"));
}

static void test_tls_checks_host_names(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    serve(&s, &g.good, NULL, serve_tls_echo);
    (void)snprintf(g_url, sizeof(g_url), "wire://localhost:%u?tls=yes", (unsigned)s.port);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    exchange(&w);
    wire_free(&w);
    stop(&s);
}

static void test_tls_takes_a_directory_of_certificates(void **state)
{
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX + 32];
    char options[KIT_PATH_MAX + 16];
    (void)state;
    kit_dir_new(dir);
    (void)snprintf(path, sizeof(path), "%s/%08lx.0", dir,
                   X509_NAME_hash(X509_get_subject_name(g.ca.x509)));
    assert_int_equal(symlink(g.ca.file, path), 0);
    (void)snprintf(options, sizeof(options), "tls_ca=%s", dir);
    echo_with(&g.good, NULL, options);
    kit_dir_remove(dir);
}

static void test_tls_unknown_ca_is_refused(void **state)
{
    (void)state;
    refused_with(&g.good, NULL, trusting(&g.other_ca, ""), "nobody trusted has signed it",
                 "tls_ca does not have its CA");
}

static void test_tls_system_cas_do_not_trust_it(void **state)
{
    (void)state;
    refused_with(&g.good, NULL, "", "nobody trusted has signed it", "give its CA with tls_ca");
}

static void test_tls_self_signed_is_refused_unless_trusted(void **state)
{
    (void)state;
    refused_with(&g.lonely, NULL, "", "self-signed", "tls_ca");
    echo_with(&g.lonely, NULL, trusting(&g.lonely, ""));
}

static void test_tls_expired_is_refused(void **state)
{
    (void)state;
    refused_with(&g.expired, NULL, trusting(&g.ca, ""), "it expired on 20", "renew it");
}

static void test_tls_not_yet_valid_is_refused(void **state)
{
    (void)state;
    refused_with(&g.early, NULL, trusting(&g.ca, ""), "not valid before 20", "clock");
}

static void test_tls_other_host_is_refused(void **state)
{
    (void)state;
    refused_with(&g.elsewhere, NULL, trusting(&g.ca, ""), "broker.example, *.other.example",
                 "not for 127.0.0.1; connect by that name or set tls_server_name");
}

static void test_tls_server_name_replaces_the_host(void **state)
{
    (void)state;
    echo_with(&g.elsewhere, NULL, trusting(&g.ca, "tls_server_name=broker.example"));
    echo_with(&g.elsewhere, NULL, trusting(&g.ca, "tls_server_name=a.other.example"));
    refused_with(&g.elsewhere, NULL, trusting(&g.ca, "tls_server_name=a.b.other.example"),
                 "not for a.b.other.example", "");
}

static void test_tls_verify_no_takes_everything(void **state)
{
    (void)state;
    echo_with(&g.expired, NULL, "tls_verify=no");
    echo_with(&g.elsewhere, NULL, "tls_verify=no");
    echo_with(&g.lonely, NULL, "tls_verify=no");
}

/* ---- our certificate ---- */

static const char *presenting(const cert *own)
{
    static char more[2 * KIT_PATH_MAX + 32];
    (void)snprintf(more, sizeof(more), "tls_cert=%s tls_key=%s", own->file, own->key_file);
    return trusting(&g.ca, more);
}

static void test_tls_client_certificate_is_presented(void **state)
{
    (void)state;
    echo_with(&g.good, &g.ca, presenting(&g.client));
}

static void test_tls_missing_client_certificate_says_so(void **state)
{
    (void)state;
    refused_with(&g.good, &g.ca, trusting(&g.ca, ""), "wants a client certificate",
                 "set tls_cert and tls_key");
}

static void test_tls_foreign_client_certificate_says_so(void **state)
{
    (void)state;
    refused_with(&g.good, &g.ca, presenting(&g.foreign_client),
                 "does not trust the CA of the certificate of tls_cert", "");
}

static void test_tls_1_2_missing_client_certificate_says_so(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    serve(&s, &g.good, &g.ca, serve_tls_echo);
    SSL_CTX_set_max_proto_version(s.tls, TLS1_2_VERSION);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ETLS);
    KIT_SAYS(w.error.text, "client certificate");
    wire_free(&w);
    stop(&s);
}

/* ---- own files ---- */

static void bad_options(const char *options, const char *says)
{
    wire w = {0};
    pubsub_error err = PUBSUB_ERROR_INIT;
    wire_open(&w, "wire://127.0.0.1:1?tls=yes", options);
    assert_int_not_equal(pubsub_client_ready(w.client, 10000, &err), PUBSUB_OK);
    /* It may have failed, and closed the client, before the wait began. */
    assert_true(err.code == PUBSUB_EOPTION || err.code == PUBSUB_ESTATE);
    KIT_SAYS(err.text, says);
    wire_free(&w);
}

static void test_tls_bad_files_are_errors_of_their_options(void **state)
{
    char options[1024];
    (void)state;
    bad_options("tls_ca=/no/such/file", "option 'tls_ca': cannot read '/no/such/file'");
    (void)snprintf(options, sizeof(options), "tls_ca=%s", g.ca.key_file);
    bad_options(options, "has no certificates in PEM");
    (void)snprintf(options, sizeof(options), "tls_cert=%s", g.client.file);
    bad_options(options, "set tls_key");
    (void)snprintf(options, sizeof(options), "tls_cert=%s tls_key=%s", g.client.file,
                   g.good.key_file);
    bad_options(options, "does not belong to the certificate");
    (void)snprintf(options, sizeof(options), "tls_key=%s", g.client.key_file);
    bad_options(options, "tls_key is given without tls_cert");
}

static void test_tls_key_with_passphrase_does_not_ask(void **state)
{
    char path[KIT_PATH_MAX + 16];
    char options[1024];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/locked.key", g.dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, g.client.key, EVP_aes_128_cbc(),
                                          (unsigned char *)(uintptr_t) "pass", 4, NULL, NULL),
                     1);
    (void)fclose(out);
    (void)snprintf(options, sizeof(options), "tls_cert=%s tls_key=%s", g.client.file, path);
    bad_options(options, "without a passphrase");
}

static void copy_file(const char *from, const char *to)
{
    char bytes[8192];
    FILE *in = fopen(from, "r");
    FILE *out = fopen(to, "w");
    assert_true(in != NULL && out != NULL);
    size_t n = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    (void)fclose(in);
    (void)fclose(out);
}

static void test_tls_files_that_change_are_read_again(void **state)
{
    server s = {0};
    wire w = {0};
    char path[KIT_PATH_MAX + 16];
    char options[KIT_PATH_MAX + 64];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/changing.pem", g.dir);
    copy_file(g.other_ca.file, path);
    (void)snprintf(options, sizeof(options), "tls_ca=%s", path);
    serve(&s, &g.good, NULL, serve_tls_echo);
    wire_open(&w, g_url, options);
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ETLS);
    copy_file(g.ca.file, path);
    pthread_mutex_lock(&w.lock);
    w.closes = 0;
    pthread_mutex_unlock(&w.lock);
    pubsub_error err = PUBSUB_ERROR_INIT;
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (pubsub_client_connect(w.client, &err) != PUBSUB_OK) { /* closed a moment later */
        wire_turn(&w);
        assert_false(kit_over(until));
    }
    exchange(&w);
    wire_free(&w);
    stop(&s);
}

/* ---- peers that are no TLS servers ---- */

static void lost_while_greeting(server_fn fn, pubsub_err code, const char *says,
                                pubsub_duration_ms timeout)
{
    server s = {.size = 1};
    wire w = {.request = {.timeout = timeout}};
    server_start(&s, AF_INET, 0, fn);
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u?tls=yes", (unsigned)s.port);
    wire_open(&w, g_url, "");
    wire_await_closed(&w);
    if (w.error.code != code) {
        fail_msg("%s: %s", pubsub_err_name(w.error.code), w.error.text);
    }
    KIT_SAYS(w.error.text, says);
    assert_int_equal(w.opens, 0);
    wire_free(&w);
    server_stop(&s);
}

static void serve_plain(server *s, int fd)
{
    (void)server_send(fd, "-ERR unknown command\r\n", 22);
    (void)server_read_all(s, fd);
}

static void test_tls_with_a_peer_that_is_silent(void **state)
{
    (void)state;
    lost_while_greeting(serve_mute, PUBSUB_ECONNECT, "no answer to the TLS handshake", 300);
}

static void test_tls_with_a_peer_that_leaves(void **state)
{
    (void)state;
    lost_while_greeting(serve_nothing, PUBSUB_ECONNECT, "cannot connect to 127.0.0.1", 0);
    lost_while_greeting(serve_reset, PUBSUB_ECONNECT, "cannot connect to 127.0.0.1", 0);
}

static void test_tls_with_a_peer_that_speaks_plainly(void **state)
{
    (void)state;
    lost_while_greeting(serve_plain, PUBSUB_ETLS, "does not speak TLS", 0);
}

static void test_tls_below_1_2_is_refused(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    serve(&s, &g.good, NULL, serve_tls_echo);
    SSL_CTX_set_min_proto_version(s.tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(s.tls, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(s.tls, "ALL:@SECLEVEL=0");
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ETLS);
    KIT_SAYS(w.error.text, "no version of TLS from 1.2 on");
    wire_free(&w);
    stop(&s);
}

/* ---- bytes ---- */

static void test_tls_reads_to_the_goodbye(void **state)
{
    server s = {.size = 3000000};
    wire w = {.pause_first = true};
    (void)state;
    serve(&s, &g.good, NULL, serve_tls_source);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_ready(&w);
    assert_int_equal(WIRE_GET(&w, received), 0);
    wire_resume(&w);
    wire_await_closed(&w);
    assert_int_equal(w.received, s.size);
    assert_int_equal(w.sum, (uint32_t)(s.size * 'x'));
    assert_in_range(w.most, 16385, 65536); /* several records in one call */
    assert_int_equal(w.error.code, PUBSUB_ELOST);
    wire_free(&w);
    stop(&s);
}

typedef struct stream_out {
    const char *bytes;
    size_t size, at;
} stream_out;

static void write_more(wire *w, void *ctx)
{
    stream_out *out = ctx;
    for (size_t n = 1; n > 0 && out->at < out->size; out->at += n) {
        pubsub_bytes slice = {out->bytes + out->at, out->size - out->at};
        n = pubsub_transport_write(w->transport, &slice, 1);
    }
}

static void test_tls_big_writes_both_ways(void **state)
{
    server s = {0};
    stream_out out = {.size = 5u << 20};
    wire w = {.on_open = write_more, .on_writable = write_more, .ctx = &out};
    char *bytes = malloc(out.size);
    uint32_t sum = 0;
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < out.size; i++) {
        bytes[i] = (char)(i * 7u);
        sum += (unsigned char)bytes[i];
    }
    out.bytes = bytes;
    serve(&s, &g.good, NULL, serve_tls_echo);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    WIRE_AWAIT(&w, w.received == out.size || w.closes > 0);
    assert_int_equal(w.sum, sum);
    wire_free(&w);
    stop(&s);
    free(bytes);
}

static void io_many_small(wire *w, void *arg)
{
    pubsub_bytes slice = {"0123456789", 10};
    (void)arg;
    for (int i = 0; i < 5000; i++) {
        (void)pubsub_transport_write(w->transport, &slice, 1);
    }
    pubsub_transport_flush(w->transport);
}

static void test_tls_small_writes_share_records_and_calls(void **state)
{
    server s = {.go = true};
    wire w = {0};
    (void)state;
    serve(&s, &g.good, NULL, serve_tls_sink);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_ready(&w);
    wire_sends_reset();
    wire_do(&w, io_many_small, NULL);
    WIRE_AWAIT(&w, atomic_load(&s.received) == 50000);
    assert_in_range(wire_sends(), 1, 4);
    wire_free(&w);
    stop(&s);
}

static void test_tls_slow_reader_is_bounded_and_resumes(void **state)
{
    server s = {0};
    wire w = {.request = {.write_max = 200000}};
    size_t size = 64u << 20;
    char *bytes = calloc(1, size);
    size_t taken = 0;
    size_t last = 1;
    (void)state;
    assert_non_null(bytes);
    serve(&s, &g.good, NULL, serve_tls_sink);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_ready(&w);
    while (last > 0) {
        last = wire_write(&w, bytes, size);
        taken += last;
        assert_true(taken < size);
    }
    assert_int_equal(wire_queued(&w), 200000);
    atomic_store(&s.go, true);
    WIRE_AWAIT(&w, atomic_load(&s.received) == taken);
    WIRE_AWAIT(&w, w.writables > 0);
    wire_close(&w, 10000);
    wire_await_closed(&w);
    assert_true(w.orderly);
    wire_free(&w);
    stop(&s);
    assert_true(atomic_load(&s.ended)); /* with a close_notify */
    free(bytes);
}

static void test_tls_reset_while_writing_is_a_loss_and_no_signal(void **state)
{
    server s = {0};
    wire w = {0};
    char *bytes = calloc(1, 100000);
    (void)state;
    assert_non_null(bytes);
    wire_sends_reset();
    serve(&s, &g.good, NULL, serve_tls_sink);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    wire_ready(&w);
    (void)wire_write(&w, bytes, 100000);
    atomic_store(&s.stop, true); /* leaves without reading: a reset */
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (WIRE_GET(&w, closes) == 0 && !kit_over(until)) {
        (void)wire_write(&w, bytes, 100000);
    }
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ELOST);
    assert_int_equal(wire_loud_sends(), 0);
    wire_free(&w);
    stop(&s);
    free(bytes);
}

static void test_tls_child_of_fork_disturbs_nothing(void **state)
{
    server s = {0};
    wire w = {0};
    int status = -1;
    (void)state;
    serve(&s, &g.good, NULL, serve_tls_echo);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    exchange(&w);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pubsub_client_free(w.client);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(wire_write(&w, "again", 5), 5);
    WIRE_AWAIT(&w, w.received == 11 || w.closes > 0);
    assert_int_equal(w.closes, 0);
    wire_free(&w);
    stop(&s);
}

/* ---- above other transports ---- */

static void test_tls_over_a_unix_socket(void **state)
{
    server s = {0};
    wire w = {0};
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)state;
    (void)snprintf(s.path, sizeof(s.path), "/tmp/pubsub-tls-%ld.sock", (long)getpid());
    s.tls = cert_server(&g.good, NULL);
    server_start(&s, AF_UNIX, 0, serve_tls_echo);
    (void)snprintf(g_url, sizeof(g_url), "wire:?tls=yes&socket=%s", s.path);
    wire_open(&w, g_url, trusting(&g.ca, ""));
    /* The attempt may be over before the wait begins; the reason is told all the same. */
    pubsub_err rc = pubsub_client_ready(w.client, 10000, &err);
    assert_true(rc == PUBSUB_EOPTION || rc == PUBSUB_ESTATE);
    KIT_SAYS(err.text, "tls_server_name");
    wire_free(&w);
    memset(&w, 0, sizeof(w));
    wire_open(&w, g_url, trusting(&g.ca, "tls_server_name=localhost"));
    exchange(&w);
    wire_free(&w);
    stop(&s);
}

typedef struct tunnel {
    uint16_t port;
    int server;
    bool asked_for_tls;
} tunnel;

static pubsub_err tunnel_open(void *ctx, const pubsub_transport_target *target,
                              pubsub_transport_port *port, pubsub_transport_stream *stream,
                              pubsub_error *err)
{
    tunnel *t = ctx;
    int fds[2];
    (void)port;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "no pair");
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    stream->fd = fds[0];
    t->server = fds[1];
    t->asked_for_tls = target->tls;
    return PUBSUB_OK;
}

static void *tunnel_main(void *arg)
{
    server *s = arg;
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    serve_tls_echo(s, atomic_load(&s->current));
    return NULL;
}

static void test_tls_over_the_applications_transport(void **state)
{
    static const pubsub_transport_provider provider = {
        .size = sizeof(provider), .name = "tunnel", .open = tunnel_open};
    server s = {0};
    wire w = {0};
    tunnel t = {0};
    pthread_t thread;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)state;
    s.tls = cert_server(&g.good, NULL);
    wire_new(&w, "wire://localhost?tls=yes", trusting(&g.ca, ""));
    KIT_OK(pubsub_client_set_transport(w.client, &provider, &t, &err), &err);
    wire_connect(&w);
    wire_begun(&w);
    int fd = 0;
    while (fd == 0) {
        (void)wire_queued(&w); /* a turn of the loop */
        pthread_mutex_lock(&w.lock);
        fd = t.server;
        pthread_mutex_unlock(&w.lock);
    }
    atomic_store(&s.current, fd);
    assert_int_equal(pthread_create(&thread, NULL, tunnel_main, &s), 0);
    exchange(&w);
    assert_true(t.asked_for_tls);
    wire_free(&w);
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    SSL_CTX_free(s.tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_checks_and_carries_bytes),
        cmocka_unit_test(test_tls_works_inline),
        cmocka_unit_test(test_tls_checks_host_names),
        cmocka_unit_test(test_tls_takes_a_directory_of_certificates),
        cmocka_unit_test(test_tls_unknown_ca_is_refused),
        cmocka_unit_test(test_tls_system_cas_do_not_trust_it),
        cmocka_unit_test(test_tls_self_signed_is_refused_unless_trusted),
        cmocka_unit_test(test_tls_expired_is_refused),
        cmocka_unit_test(test_tls_not_yet_valid_is_refused),
        cmocka_unit_test(test_tls_other_host_is_refused),
        cmocka_unit_test(test_tls_server_name_replaces_the_host),
        cmocka_unit_test(test_tls_verify_no_takes_everything),
        cmocka_unit_test(test_tls_client_certificate_is_presented),
        cmocka_unit_test(test_tls_missing_client_certificate_says_so),
        cmocka_unit_test(test_tls_foreign_client_certificate_says_so),
        cmocka_unit_test(test_tls_1_2_missing_client_certificate_says_so),
        cmocka_unit_test(test_tls_bad_files_are_errors_of_their_options),
        cmocka_unit_test(test_tls_key_with_passphrase_does_not_ask),
        cmocka_unit_test(test_tls_files_that_change_are_read_again),
        cmocka_unit_test(test_tls_with_a_peer_that_is_silent),
        cmocka_unit_test(test_tls_with_a_peer_that_leaves),
        cmocka_unit_test(test_tls_with_a_peer_that_speaks_plainly),
        cmocka_unit_test(test_tls_below_1_2_is_refused),
        cmocka_unit_test(test_tls_reads_to_the_goodbye),
        cmocka_unit_test(test_tls_big_writes_both_ways),
        cmocka_unit_test(test_tls_small_writes_share_records_and_calls),
        cmocka_unit_test(test_tls_slow_reader_is_bounded_and_resumes),
        cmocka_unit_test(test_tls_reset_while_writing_is_a_loss_and_no_signal),
        cmocka_unit_test(test_tls_child_of_fork_disturbs_nothing),
        cmocka_unit_test(test_tls_over_a_unix_socket),
        cmocka_unit_test(test_tls_over_the_applications_transport),
    };
    kit_watchdog("test_tls", 110000);
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
