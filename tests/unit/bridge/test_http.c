/* SPDX-License-Identifier: MIT */
#include "http/client.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "http_script.h"

#include "support/cmocka.h"
#include "support/wait.h"

#include <stdio.h>
#include <time.h>

/* One call and what came of it. */
typedef struct visit {
    pubsub_host *host;
    bridge_http *http;
    bridge_http_call *call;
    pubsub_host_timer *timer;
    http_scripts *server;
    bridge_http_request request;
    char url[64];
    pubsub__buf body;
    size_t take; /* bytes taken of each piece; 0 = all */
    unsigned heads;
    unsigned pauses;
    unsigned ends;
    int head_status;
    int status;
    int64_t retry_after_ms;
    char cookie[32];
    pubsub_error error;
    bool failed;
    bool cancel_in_body;
} visit;

static void on_head(void *ctx, int status)
{
    visit *v = ctx;
    v->heads++;
    v->head_status = status;
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    visit *v = ctx;
    if (name.len == 10 && memcmp(name.data, "Set-Cookie", 10) == 0) {
        (void)snprintf(v->cookie, sizeof(v->cookie), "%.*s", (int)value.len,
                       (const char *)value.data);
    }
}

static void go_on(void *ctx)
{
    visit *v = ctx;
    bridge_http_resume(v->call);
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    visit *v = ctx;
    size_t take = v->take > 0 && v->take < bytes.len ? v->take : bytes.len;
    (void)pubsub__buf_add(&v->body, bytes.data, take);
    if (v->cancel_in_body) {
        bridge_http_cancel(v->call);
        pubsub_host_stop(v->host);
        return bytes.len;
    }
    if (take < bytes.len) {
        v->pauses++;
        v->host->timer_start(v->timer, v->pauses % 2);
    }
    return take;
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    visit *v = ctx;
    v->ends++;
    v->status = end->status;
    v->retry_after_ms = end->retry_after_ms;
    v->failed = end->error != NULL;
    if (end->error != NULL) {
        v->error = *end->error;
    }
    pubsub_host_stop(v->host);
}

static void open_visit(visit *v, const http_script *scripts)
{
    int port = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    *v = (visit){.failed = false};
    v->server = http_scripts_start(scripts, &port);
    (void)snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%d/start", port);
    pubsub__buf_init(&v->body, (size_t)1 << 24);
    assert_int_equal(pubsub_host_new(&v->host, &err), PUBSUB_OK);
    v->http = bridge_http_new(v->host);
    assert_non_null(v->http);
    v->timer = v->host->timer_new(v->host, go_on, v);
    v->request = (bridge_http_request){.url = v->url,
                                       .on_head = on_head,
                                       .on_header = on_header,
                                       .on_body = on_body,
                                       .on_end = on_end,
                                       .ctx = v};
}

static void run_visit(visit *v)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    v->call = bridge_http_start(v->http, &v->request, &err);
    assert_non_null(v->call);
    assert_int_equal(pubsub_host_run(v->host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
}

/* The request of a visit stays readable until free_visit(). */
static void close_visit(visit *v)
{
    v->host->timer_free(v->timer);
    bridge_http_free(v->http);
    pubsub_host_free(v->host);
    pubsub__buf_fini(&v->body);
    http_scripts_end(v->server);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void free_visit(visit *v)
{
    http_scripts_free(v->server);
}

static void visit_once(visit *v, const char *answer)
{
    const http_script scripts[] = {{.answer = answer}, {.answer = NULL}};
    open_visit(v, scripts);
    run_visit(v);
    close_visit(v);
    free_visit(v);
}

static void test_http_gives_head_headers_and_body(void **state)
{
    (void)state;
    const http_script scripts[] = {{.answer = "HTTP/1.1 201 Created\r\nSet-Cookie:  a=b \r\n"
                                              "Transfer-Encoding: chunked\r\n\r\n"
                                              "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
                                    .piece = 3},
                                   {.answer = NULL}};
    static const char *const headers[] = {"X-Test: yes", NULL};
    visit v;
    open_visit(&v, scripts);
    v.request.headers = headers;
    v.request.user = "me";
    v.request.password = "secret";
    run_visit(&v);
    assert_int_equal(v.heads, 1);
    assert_int_equal(v.head_status, 201);
    assert_int_equal(v.ends, 1);
    assert_int_equal(v.status, 201);
    assert_false(v.failed);
    assert_int_equal(v.retry_after_ms, -1);
    assert_string_equal(v.cookie, "a=b");
    assert_string_equal(pubsub__buf_text(&v.body), "hello!");
    close_visit(&v);
    assert_non_null(strstr(http_scripts_asked(v.server, 0), "GET /start HTTP/1.1\r\n"));
    assert_non_null(strstr(http_scripts_asked(v.server, 0), "X-Test: yes\r\n"));
    assert_non_null(
        strstr(http_scripts_asked(v.server, 0), "Authorization: Basic bWU6c2VjcmV0\r\n"));
    free_visit(&v);
}

static void test_http_posts_a_body_with_a_token(void **state)
{
    (void)state;
    const http_script scripts[] = {{.answer = "HTTP/1.1 204 No Content\r\n\r\n"}, {.answer = NULL}};
    visit v;
    open_visit(&v, scripts);
    v.request.body = pubsub_bytes_of("{}");
    v.request.bearer = "t0ken";
    run_visit(&v);
    assert_int_equal(v.status, 204);
    close_visit(&v);
    assert_non_null(strstr(http_scripts_asked(v.server, 0), "POST /start HTTP/1.1\r\n"));
    assert_non_null(strstr(http_scripts_asked(v.server, 0), "Authorization: Bearer t0ken\r\n"));
    assert_non_null(strstr(http_scripts_asked(v.server, 0), "Content-Length: 2\r\n"));
    free_visit(&v);
}

/* Each byte once and in order, however little is taken at a time. */
static void test_http_pauses_and_brings_the_rest_again(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    static char answer[SIZE + 128];
    static const size_t takes[] = {1000, 16383, 16385, 7};
    int head =
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        answer[(size_t)head + i] = (char)('a' + i % 23);
    }
    for (size_t t = 0; t < sizeof(takes) / sizeof(takes[0]); t++) {
        size_t size = takes[t] < 100 ? 2000 : SIZE;
        const http_script scripts[] = {
            {.answer = answer, .len = (size_t)head + SIZE, .piece = 30000}, {.answer = NULL}};
        visit v;
        open_visit(&v, scripts);
        v.take = takes[t];
        v.call = NULL;
        if (size < SIZE) { /* few bytes at a time: only the beginning */
            v.call = bridge_http_start(v.http, &v.request, NULL);
            while (v.body.len < size) {
                (void)pubsub_host_run(v.host, 1);
            }
            bridge_http_cancel(v.call);
            assert_int_equal(v.ends, 0);
        } else {
            run_visit(&v);
            assert_false(v.failed);
            assert_int_equal(v.body.len, SIZE);
        }
        assert_memory_equal(v.body.data, answer + head, v.body.len);
        assert_true(v.pauses > 0 || takes[t] > 16384);
        close_visit(&v);
        free_visit(&v);
    }
}

static void test_http_tells_a_cut_answer_from_a_whole_one(void **state)
{
    (void)state;
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", "HTTP/1.1 200 OK\r\nConte", ""};
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        visit v;
        visit_once(&v, cut[i]);
        assert_int_equal(v.ends, 1);
        assert_true(v.failed);
        assert_int_equal(v.error.code, PUBSUB_ELOST);
    }
}

static void test_http_says_what_is_no_http(void **state)
{
    (void)state;
    visit v;
    visit_once(&v, "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n");
    assert_true(v.failed);
    visit_once(&v, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_true(v.failed);
    visit_once(&v, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope");
    assert_true(v.failed);
    assert_int_equal(v.error.code, PUBSUB_EPROTO);
}

static void test_http_understands_retry_after(void **state)
{
    (void)state;
    char answer[256];
    char date[64];
    time_t at = time(NULL) + 60;
    struct tm parts;
    visit v;
    visit_once(&v, "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(v.status, 429);
    assert_int_equal(v.retry_after_ms, 7000);
    assert_non_null(gmtime_r(&at, &parts));
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    (void)snprintf(answer, sizeof(answer),
                   "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
    visit_once(&v, answer);
    assert_true(v.retry_after_ms > 30000 && v.retry_after_ms <= 60000);
    visit_once(&v, "HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
                   "Content-Length: 0\r\n\r\n");
    assert_int_equal(v.retry_after_ms, 0);
    visit_once(&v,
               "HTTP/1.1 503 Busy\r\nRetry-After: 99999999999999999\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(v.retry_after_ms, 86400000);
    visit_once(&v, "HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(v.retry_after_ms, -1);
}

static void test_http_follows_redirects_to_the_same_origin_only(void **state)
{
    (void)state;
    const http_script scripts[] = {
        {.answer = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 3\r\n\r\nbye"},
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
        {.answer =
             "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 3\r\n\r\nbye"},
        {.answer = NULL}};
    visit v;
    open_visit(&v, scripts);
    v.request.user = "me";
    run_visit(&v);
    assert_int_equal(v.status, 200);
    assert_int_equal(v.heads, 1);
    assert_string_equal(pubsub__buf_text(&v.body), "hi");
    run_visit(&v); /* elsewhere: told, not followed */
    assert_int_equal(v.status, 301);
    assert_int_equal(v.head_status, 301);
    assert_false(v.failed);
    close_visit(&v);
    assert_non_null(strstr(http_scripts_asked(v.server, 1), "GET /there HTTP/1.1\r\n"));
    assert_non_null(strstr(http_scripts_asked(v.server, 1), "Authorization: Basic"));
    free_visit(&v);
}

static void test_http_gives_up_on_silence(void **state)
{
    (void)state;
    const http_script scripts[] = {
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", .hold = true},
        {.answer = "", .hold = true},
        {.answer = NULL}};
    visit v;
    open_visit(&v, scripts);
    v.request.head_ms = 60000;
    v.request.silence_ms = 100;
    run_visit(&v);
    assert_true(v.failed);
    assert_int_equal(v.error.code, PUBSUB_ETIMEDOUT);
    assert_int_equal(v.status, 200);
    v.request.head_ms = 100;
    v.request.silence_ms = 0;
    run_visit(&v);
    assert_int_equal(v.error.code, PUBSUB_ETIMEDOUT);
    assert_int_equal(v.status, 0);
    close_visit(&v);
    free_visit(&v);
}

static void test_http_cancel_in_the_middle_of_a_body(void **state)
{
    (void)state;
    const http_script scripts[] = {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhel"},
                                   {.answer = NULL}};
    visit v;
    open_visit(&v, scripts);
    v.cancel_in_body = true;
    run_visit(&v);
    (void)pubsub_host_run(v.host, 10);
    assert_int_equal(v.ends, 0);
    assert_string_equal(pubsub__buf_text(&v.body), "hel");
    close_visit(&v);
    free_visit(&v);
}

static void test_http_refuses_what_cannot_work(void **state)
{
    (void)state;
    const http_script scripts[] = {{.answer = NULL}};
    static const char *const urls[] = {"ftp://127.0.0.1/", "http://u:p@127.0.0.1/",
                                       "file:///etc/passwd", "not a url", ""};
    pubsub_error err = PUBSUB_ERROR_INIT;
    visit v;
    open_visit(&v, scripts);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        v.request.url = urls[i];
        assert_null(bridge_http_start(v.http, &v.request, &err));
        assert_int_equal(err.code, PUBSUB_EINVAL);
    }
    v.request.url = "http://127.0.0.1:1/";
    run_visit(&v);
    assert_int_equal(v.error.code, PUBSUB_ECONNECT);
    v.request.url = "https://127.0.0.1:1/";
    v.request.ca_file = "/nonexistent/ca.pem";
    assert_null(bridge_http_start(v.http, &v.request, &err));
    assert_int_equal(err.code, PUBSUB_ETLS);
    assert_non_null(strstr(err.text, "tls_ca"));
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    close_visit(&v);
    free_visit(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_gives_head_headers_and_body),
        cmocka_unit_test(test_http_posts_a_body_with_a_token),
        cmocka_unit_test(test_http_pauses_and_brings_the_rest_again),
        cmocka_unit_test(test_http_tells_a_cut_answer_from_a_whole_one),
        cmocka_unit_test(test_http_says_what_is_no_http),
        cmocka_unit_test(test_http_understands_retry_after),
        cmocka_unit_test(test_http_follows_redirects_to_the_same_origin_only),
        cmocka_unit_test(test_http_gives_up_on_silence),
        cmocka_unit_test(test_http_cancel_in_the_middle_of_a_body),
        cmocka_unit_test(test_http_refuses_what_cannot_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
