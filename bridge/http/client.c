/* SPDX-License-Identifier: MIT */
#include "http/client.h"

#include "base/alloc.h"
#include "http/client_internal.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* ---- calls --------------------------------------------------------------------------------- */

static void free_call(bridge_http_call *call)
{
    bridge_http *http = call->http;
    if (call->added) {
        (void)curl_multi_remove_handle(http->multi, call->easy);
    }
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else if (http->calls == call) {
        http->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    http->host->timer_free(call->timer);
    pubsub__free(call->url);
    pubsub__free(call->ca_file);
    pubsub__free(call->cert_file);
    pubsub__free(call);
}

static void enter(bridge_http *http)
{
    http->inside++;
}

/* Calls canceled while we were inside are released on the way out. */
static void leave(bridge_http *http)
{
    if (--http->inside > 0) {
        return;
    }
    for (bridge_http_call *call = http->calls; call != NULL;) {
        bridge_http_call *next = call->next;
        if (call->canceled) {
            free_call(call);
        }
        call = next;
    }
}

static void end_call(bridge_http_call *call, const bridge_http_end *end)
{
    if (!call->canceled) {
        call->canceled = true; /* released by leave(), after its user has looked at the end */
        call->request.on_end(call->request.ctx, end);
    }
}

static void fail_call(bridge_http_call *call, CURLcode code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const bridge_http_end end = {call->status, &err, call->retry_after_ms};
    http_map_error(call, code, &err);
    end_call(call, &end);
}

/* How long it may be quiet now; 0 = as long as it likes. */
static pubsub_duration_ms limit_of(const bridge_http_call *call)
{
    bool head = call->status == 0 && call->request.head_ms > 0;
    return head ? call->request.head_ms : call->request.silence_ms;
}

static void add_call(bridge_http_call *call)
{
    CURLMcode code = CURLM_OK;
    call->heard_ns = call->http->host->now_ns(call->http->host);
    call->status = 0;
    call->head_done = false;
    call->head_told = false;
    call->retry_after_ms = -1;
    call->follow = false;
    call->detail[0] = '\0';
    code = curl_multi_add_handle(call->http->multi, call->easy);
    if (code != CURLM_OK) {
        fail_call(call, CURLE_OUT_OF_MEMORY);
        return;
    }
    call->added = true;
    if (call->timer != NULL) {
        call->http->host->timer_start(call->timer, limit_of(call));
    }
}

/* A redirect to the same origin is followed here: libcurl would take the credentials anywhere. */
static bool follow(bridge_http_call *call)
{
    char *to = NULL;
    char *url = NULL;
    if (!call->follow || curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK ||
        to == NULL || !http_url_same_origin(call->url, to)) {
        return false;
    }
    url = pubsub__strdup(to);
    if (url == NULL || curl_easy_setopt(call->easy, CURLOPT_URL, url) != CURLE_OK) {
        pubsub__free(url);
        return false;
    }
    pubsub__free(call->url);
    call->url = url;
    call->redirects++;
    (void)curl_multi_remove_handle(call->http->multi, call->easy);
    call->added = false;
    add_call(call);
    return true;
}

static void complete_call(bridge_http_call *call, CURLcode code)
{
    bridge_http_end end = {call->status, NULL, call->retry_after_ms};
    if (call->canceled) {
        return;
    }
    if (code == CURLE_OK && !call->head_done) {
        code = CURLE_PARTIAL_FILE; /* which libcurl takes for an answer without body */
    }
    if (code != CURLE_OK) {
        fail_call(call, code);
        return;
    }
    if (follow(call)) {
        return;
    }
    if (!call->head_told && call->request.on_head != NULL) {
        call->head_told = true;
        call->request.on_head(call->request.ctx, call->status);
    }
    end_call(call, &end);
}

static void look_for_ends(bridge_http *http)
{
    CURLMsg *message = NULL;
    int left = 0;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        bridge_http_call *call = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK &&
            call != NULL) {
            complete_call(call, code);
        }
    }
}

/* ---- what libcurl watches ------------------------------------------------------------------- */

void http_act(bridge_http *http, curl_socket_t fd, int bits)
{
    int running = 0;
    enter(http);
    (void)curl_multi_socket_action(http->multi, fd, bits, &running);
    look_for_ends(http);
    leave(http);
}

static void on_timeout(void *ctx)
{
    http_act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    bridge_http *http = ctx;
    (void)multi;
    if (timeout_ms < 0) {
        http->host->timer_stop(http->timeout);
    } else {
        http->host->timer_start(http->timeout, timeout_ms);
    }
    return 0;
}

/* ---- marks and limits ----------------------------------------------------------------------- */

static void mark(bridge_http *http)
{
    http->host->timer_start(http->marks, 0);
}

static void on_marks(void *ctx)
{
    bridge_http *http = ctx;
    enter(http);
    for (bridge_http_call *call = http->calls; call != NULL; call = call->next) {
        if (call->canceled) {
            continue;
        }
        if (!call->added) {
            add_call(call);
        } else if (call->resume && call->paused) {
            CURLcode code = CURLE_OK;
            call->paused = false;
            call->resume = false;
            call->heard_ns = http->host->now_ns(http->host);
            code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
            if (code != CURLE_OK) {
                fail_call(call, code);
            }
        }
    }
    look_for_ends(http);
    leave(http);
}

/* The silence of a call, looked at no more often than it could have become too long. */
static void on_limit(void *ctx)
{
    bridge_http_call *call = ctx;
    bridge_http *http = call->http;
    pubsub_duration_ms limit = limit_of(call);
    int64_t quiet = (int64_t)((http->host->now_ns(http->host) - call->heard_ns) / 1000000u);
    pubsub_error err = PUBSUB_ERROR_INIT;
    const bridge_http_end end = {call->status, &err, call->retry_after_ms};
    if (call->canceled) {
        return;
    }
    if (limit <= 0 || call->paused || quiet < limit) {
        pubsub_duration_ms next = limit <= 0 || call->paused ? limit : limit - quiet;
        if (next > 0) {
            http->host->timer_start(call->timer, next);
        }
        return;
    }
    (void)pubsub_error_set(&err, PUBSUB_ETIMEDOUT,
                           call->status == 0
                               ? "no answer within %lld ms"
                               : "the server was silent for %lld ms in the middle of its answer",
                           (long long)limit);
    enter(http);
    end_call(call, &end);
    leave(http);
}

/* ---- the interface -------------------------------------------------------------------------- */

static void init_once(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

bridge_http *bridge_http_new(pubsub_host *host)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bridge_http *http = pubsub__calloc(1, sizeof(*http));
    (void)pthread_once(&once, init_once);
    if (http == NULL) {
        return NULL;
    }
    http->host = host;
    http->timeout = host->timer_new(host, on_timeout, http);
    http->marks = host->timer_new(host, on_marks, http);
    http->multi = curl_multi_init();
    if (http->timeout == NULL || http->marks == NULL || http->multi == NULL ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, (void *)http) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, (void *)http) != CURLM_OK) {
        bridge_http_free(http);
        return NULL;
    }
    return http;
}

void bridge_http_free(bridge_http *http)
{
    if (http == NULL) {
        return;
    }
    while (http->calls != NULL) {
        free_call(http->calls);
    }
    if (http->multi != NULL) {
        (void)curl_multi_cleanup(http->multi);
    }
    http_sockets_free(http);
    http->host->timer_free(http->timeout);
    http->host->timer_free(http->marks);
    pubsub__free(http);
}

/* A file that cannot be read fails here, with its setting's name, and not as a failed handshake. */
static bool files_there(const bridge_http_request *request, pubsub_error *err)
{
    const struct {
        const char *path;
        const char *setting;
    } files[] = {{request->ca_file, request->ca_name != NULL ? request->ca_name : "tls_ca"},
                 {request->cert_file, "tls_cert"},
                 {request->key_file, "tls_key"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (files[i].path != NULL && access(files[i].path, R_OK) != 0) {
            (void)pubsub_error_set(err, PUBSUB_ETLS, "cannot read %s, the file of %s",
                                   files[i].path, files[i].setting);
            return false;
        }
    }
    return true;
}

bridge_http_call *bridge_http_start(bridge_http *http, const bridge_http_request *request,
                                    pubsub_error *err)
{
    bridge_http_call *call = NULL;
    pubsub_host *host = http->host;
    if (!http_url_check(request->url, err) || !files_there(request, err)) {
        return NULL;
    }
    call = pubsub__calloc(1, sizeof(*call));
    if (call == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    call->http = http;
    call->request = *request;
    call->url = pubsub__strdup(request->url);
    call->ca_name = request->ca_name != NULL ? request->ca_name : "tls_ca";
    call->ca_file = pubsub__strdup(request->ca_file);
    call->cert_file = pubsub__strdup(request->cert_file);
    if (request->head_ms > 0 || request->silence_ms > 0) {
        call->timer = host->timer_new(host, on_limit, call);
    }
    if (call->url == NULL || ((request->head_ms > 0 || request->silence_ms > 0) && !call->timer) ||
        !http_easy_prepare(call, request)) {
        free_call(call);
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    call->next = http->calls;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    http->calls = call;
    mark(http);
    return call;
}

void bridge_http_resume(bridge_http_call *call)
{
    call->resume = true;
    mark(call->http);
}

void bridge_http_cancel(bridge_http_call *call)
{
    bridge_http *http = call->http;
    enter(http);
    call->canceled = true;
    leave(http);
}
