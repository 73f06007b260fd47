/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_COUCHDB_COUCH_H
#define PUBSUB_COUCHDB_COUCH_H

/* What the files of this connector share. One instance follows many databases of one server; each has
 * a feed of its own, credentials are the instance's. */

#include "base/buf.h"
#include "connectors/couchdb/rows.h"
#include "http/client.h"

#include <pubsub/connector.h>

/* Longest small answer (GET /db, an error) and the longest list of databases. */
#define COUCH_ANSWER_MAX 262144u
#define COUCH_LIST_MAX ((size_t)16 << 20)
/* Longest sequence (JSON): with the database's instance it has to fit into a position. */
#define COUCH_INSTANCE_MAX 256u
#define COUCH_SEQ_MAX (PUBSUB_POSITION_BYTES_MAX - COUCH_INSTANCE_MAX - 64u)
/* What a row holds beside its document: sequence, id, revisions. */
#define COUCH_ROW_EXTRA 131072u

typedef enum couch_auth {
    COUCH_AUTH_BASIC = 0,
    COUCH_AUTH_SESSION,
    COUCH_AUTH_BEARER,
    COUCH_AUTH_IAM,
} couch_auth;

typedef struct couch couch;
typedef struct couch_feed couch_feed;

typedef struct couch_settings {
    char *url; /* without slashes at the end */
    char *user;
    char *password;
    char *token;
    char *iam_key;
    char *iam_url;
    char *iam_ca_file;
    char *since;
    char *selector; /* body of the request, {"selector":...}; NULL = none */
    char *ca_file;
    char *cert_file;
    char *key_file;
    couch_auth auth;
    bool continuous;
    bool include_docs;
    bool insecure;
    int64_t heartbeat; /* ms, 0 = not asked for */
    int64_t timeout;
    int64_t limit;
    int64_t retry_max;
    int64_t discover;
    size_t max_document;
} couch_settings;

/* A session cookie or a token that runs out. */
typedef struct couch_login {
    bridge_http_call *call;
    pubsub__buf secret; /* "Cookie: AuthSession=..." or an IAM token; empty = none */
    pubsub__buf form;   /* what is posted */
    pubsub__buf answer;
    uint64_t until_ns; /* 0 = until the server says no */
    unsigned generation;
} couch_login;

/* The list of databases, for models that are patterns. */
typedef struct couch_discovery {
    bridge_http_call *call;
    pubsub_host_timer *timer;
    pubsub__buf answer;
    unsigned failures;
    unsigned denied;
    unsigned generation; /* of the credentials that were used */
    bool waiting;        /* for credentials */
    bool complete;       /* the list was read once: what is new from now on is new */
    pubsub_source_state state;
} couch_discovery;

struct couch {
    pubsub_host *host;
    bridge_http *http;
    pubsub_emitter *emitter; /* NULL = not started */
    couch_settings set;
    char **models;
    size_t model_count;
    couch_feed *feeds;
    couch_login login;
    couch_discovery discovery;
    pubsub_host_timer *stopper;
    void (*done)(void *ctx);
    void *done_ctx;
    void *check; /* the check that runs */
};

typedef enum couch_step {
    COUCH_STEP_LOGIN = 0, /* waits for credentials */
    COUCH_STEP_DESCRIBE,  /* GET /db */
    COUCH_STEP_CHANGES,
    COUCH_STEP_HELD, /* the answer is over, its last row has not been taken yet */
    COUCH_STEP_WAIT, /* until it tries again */
    COUCH_STEP_OVER,
} couch_step;

struct couch_feed {
    couch *couch;
    couch_feed *next;
    char *model;
    couch_step step;
    pubsub_source_state state;
    bool by_pattern;
    bool from_start; /* a database that appeared while we looked: all of it is new */
    bool describe;   /* ask for the database before the next changes */
    bool proved;     /* a page was read since: the feed that waits may be used */
    bool was_live;
    bool has_held;
    bool asked_live; /* the call at hand waits for changes */
    int status;
    unsigned rows_in_call;
    unsigned failures; /* in a row */
    unsigned denied;
    unsigned malformed;
    unsigned empties;
    unsigned generation;
    uint64_t asked_ns;
    uint64_t described_ns;
    bridge_http_call *call;
    pubsub_host_timer *timer;
    couch_rows rows;
    pubsub__buf seq;      /* JSON of the sequence to go on behind; empty = not known yet */
    pubsub__buf instance; /* which database of this name it is; empty = the server cannot tell */
    pubsub__buf held;     /* a row that was not taken */
    pubsub__buf position; /* of the row at hand */
    pubsub__buf id;
    pubsub__buf key;
    pubsub__buf answer; /* of what is no feed */
    pubsub__buf url;
};

static inline pubsub_bytes couch_bytes(const pubsub__buf *buf)
{
    return (pubsub_bytes){buf->data, buf->len};
}

/* settings.c */
#define COUCH_SETTING_COUNT 22
extern const pubsub_setting couch_setting_table[COUCH_SETTING_COUNT];
pubsub_err couch_settings_read(couch_settings *set, const pubsub_connector_init *init,
                               pubsub_error *err);
void couch_settings_fini(couch_settings *set);

/* request.c */
/* What all requests of an instance have in common; *headers has room for 4 and is filled. */
void couch_request(couch *self, bridge_http_request *request, const char *url,
                   const char **headers);
/* What a status other than 200 means, with the server's reason out of the answer. */
typedef enum couch_verdict {
    COUCH_RETRY = 0,
    COUCH_DENIED, /* 401: other credentials may help */
    COUCH_STOP,
} couch_verdict;
couch_verdict couch_status(int status, pubsub_bytes answer, const char *model, bool was_live,
                           pubsub_error *err);
/* Milliseconds until the next attempt: full jitter, at least what the server asked for. */
int64_t couch_backoff(unsigned failures, int64_t retry_after_ms, int64_t longest_ms);
/* Whether a connector's model is a pattern, and whether it matches. */
bool couch_is_pattern(const char *model);
bool couch_matches(const char *pattern, pubsub_bytes name);

/* login.c */
bool couch_login_ready(couch *self);
/* Get credentials; whoever waits is told by couch_feed_login() and couch_discovery_login(). */
void couch_login_start(couch *self);
/* They were refused. Nothing happens when newer ones are there already. */
void couch_login_expire(couch *self, unsigned generation);
/* Look at a header of any answer: servers renew the cookie now and then. */
void couch_login_header(couch *self, pubsub_bytes name, pubsub_bytes value);
void couch_login_reset(couch *self);

/* feed.c */
couch_feed *couch_feed_new(couch *self, const char *model, size_t len);
void couch_feed_free(couch_feed *feed);
/* Begin, or go on after whatever there was to wait for. */
void couch_feed_go(couch_feed *feed);
void couch_feed_resume(couch_feed *feed);
void couch_feed_close(couch_feed *feed);
/* Credentials are there (err NULL), or could not be had. */
void couch_feed_login(couch_feed *feed, const pubsub_error *err, bool for_good,
                      int64_t retry_after_ms);
/* changes.c: the request for changes and what comes of it. */
void couch_changes_start(couch_feed *feed);
/* The held row again; false when it is still not taken. */
bool couch_changes_held(couch_feed *feed);

/* feed.c, for changes.c */
void couch_feed_state(couch_feed *feed, pubsub_source_state state);
void couch_feed_error(couch_feed *feed, const pubsub_error *err);
/* Try again later. */
void couch_feed_fail(couch_feed *feed, const pubsub_error *err, int64_t retry_after_ms);
/* Never again. */
void couch_feed_over(couch_feed *feed, const pubsub_error *err);
/* An answer that is not 200. */
void couch_feed_refused(couch_feed *feed, int status, pubsub_bytes answer, int64_t retry_after_ms);
/* False: no position could be stored for it, and the feed is over. */
bool couch_feed_seq_fits(couch_feed *feed, pubsub_bytes seq);
/* False when it does not fit or memory is short; then the buffer is as it was. */
bool couch_keep(pubsub__buf *buf, pubsub_bytes bytes);

/* discover.c */
void couch_discovery_start(couch *self);
void couch_discovery_login(couch *self, const pubsub_error *err, bool for_good,
                           int64_t retry_after_ms);
void couch_discovery_close(couch *self);

/* check.c */
void couch_check(void *instance, void (*tell)(void *ctx, const pubsub_error *finding),
                 void (*done)(void *ctx), void *ctx);
/* Credentials are there (err NULL), or could not be had. */
void couch_check_login(couch *self, const pubsub_error *err);
void couch_check_close(couch *self);

#endif
