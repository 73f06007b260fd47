/* SPDX-License-Identifier: MIT */
/* The couchdb connector against a server that speaks like CouchDB 3 and fails on demand. */
#include "support/broker.h"
#include "support/source.h"

#include <stdio.h>
#include <stdlib.h>

enum { REVS_MAX = 4096 };

/* A server, a connector, and the last revision of each document that was written. */
typedef struct scene {
    kit_broker *server;
    kit_source source;
    char url[128];
    char settings_text[16][256];
    const char *settings[17];
    struct {
        char id[32];
        char rev[64];
    } docs[REVS_MAX];
    size_t doc_count;
} scene;

static const char *const accounts[] = {"accounts", NULL};

static void set(scene *s, const char *setting)
{
    size_t at = 0;
    while (s->settings[at] != NULL) {
        at++;
    }
    assert_true(at < 16);
    (void)snprintf(s->settings_text[at], sizeof(s->settings_text[at]), "%s", setting);
    s->settings[at] = s->settings_text[at];
}

static int ask(scene *s, const char *method, const char *path, const char *body)
{
    char url[400];
    (void)snprintf(url, sizeof(url), "%s/%s", s->url, path);
    return kit_source_ask(&s->source, method, url, body);
}

static scene *open_scene(const char *kind, const char *variants)
{
    kit_broker *server = kit_broker_start(kind, variants);
    scene *s = calloc(1, sizeof(*s));
    char url[160];
    assert_non_null(s);
    s->server = server;
    kit_source_init(&s->source, "couchdb");
    (void)snprintf(s->url, sizeof(s->url), "%s", kit_broker_need(server, "url_plain"));
    (void)snprintf(url, sizeof(url), "url=%s", s->url);
    set(s, url);
    set(s, "retry_max=100ms");
    return s;
}

static void close_scene(scene *s)
{
    kit_source_fini(&s->source);
    kit_broker_stop(s->server);
    free(s);
}

static void remember(scene *s, const char *id)
{
    char *rev = strstr(s->source.answer, "\"rev\":\"");
    size_t at = 0;
    assert_non_null(rev);
    while (at < s->doc_count && strcmp(s->docs[at].id, id) != 0) {
        at++;
    }
    assert_true(at < REVS_MAX);
    s->doc_count += at == s->doc_count;
    (void)snprintf(s->docs[at].id, sizeof(s->docs[at].id), "%s", id);
    (void)snprintf(s->docs[at].rev, sizeof(s->docs[at].rev), "%.*s", (int)strcspn(rev + 7, "\""),
                   rev + 7);
}

static const char *rev_of(const scene *s, const char *id)
{
    for (size_t i = 0; i < s->doc_count; i++) {
        if (strcmp(s->docs[i].id, id) == 0) {
            return s->docs[i].rev;
        }
    }
    return NULL;
}

/* Create it, or write its next revision. */
static void put(scene *s, const char *id, const char *fields)
{
    char path[96];
    char body[512];
    const char *rev = rev_of(s, id);
    (void)snprintf(path, sizeof(path), "accounts/%s", id);
    if (rev != NULL) {
        (void)snprintf(body, sizeof(body), "{\"_rev\":\"%s\",%s}", rev, fields);
    } else {
        (void)snprintf(body, sizeof(body), "{%s}", fields);
    }
    assert_int_equal(ask(s, "PUT", path, body), 201);
    remember(s, id);
}

static void drop(scene *s, const char *id)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "accounts/%s?rev=%s", id, rev_of(s, id));
    assert_int_equal(ask(s, "DELETE", path, NULL), 200);
    remember(s, id);
}

static void put_many(scene *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "doc%zu", i);
        put(s, id, "\"name\":\"James Bond\"");
    }
}

static void fault(scene *s, const char *wish)
{
    assert_int_equal(ask(s, "POST", "_fault", wish), 200);
}

/* The last thing told of each document is its last revision. */
static bool all_told(scene *s)
{
    for (size_t i = 0; i < s->doc_count; i++) {
        const kit_event_copy *last = kit_source_last(&s->source, s->docs[i].id);
        const char *slash = last != NULL ? strrchr(last->id, '/') : NULL;
        if (slash == NULL || strcmp(slash + 1, s->docs[i].rev) != 0) {
            return false;
        }
    }
    return true;
}

static bool is(scene *s, pubsub_source_state state)
{
    return kit_source_state(&s->source, "accounts") == state;
}

static void start(scene *s)
{
    kit_source_start(&s->source, s->settings, accounts);
}

/* An empty database, nothing told, nothing stored, nothing that goes wrong. */
static void anew(scene *s)
{
    (void)ask(s, "DELETE", "_fault", NULL);
    (void)ask(s, "DELETE", "accounts", NULL);
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    s->doc_count = 0;
    kit_source_forget(&s->source);
    kit_source_store(&s->source, "accounts", NULL);
}

/* Create, update, delete: told once each, as what they are. */
static void tell_three(scene *s, bool exact)
{
    const kit_event_copy *event = NULL;
    char want[256];
    put(s, "before", "\"n\":1");
    start(s);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    put(s, "bond", "\"name\":\"James Bond\",\"type\":\"Demo\"");
    KIT_SOURCE_AWAIT(&s->source, s->source.count >= 1);
    event = &s->source.events[0];
    assert_int_equal(event->change, PUBSUB_CHANGE_CREATE);
    assert_string_equal(event->model, "accounts");
    assert_string_equal(event->key, "bond");
    (void)snprintf(want, sizeof(want), "accounts/bond/%s", rev_of(s, "bond"));
    assert_string_equal(event->id, want);
    if (exact) {
        (void)snprintf(want, sizeof(want),
                       "{\"_id\":\"bond\",\"_rev\":\"%s\",\"name\":\"James "
                       "Bond\",\"type\":\"Demo\"}",
                       rev_of(s, "bond"));
        assert_string_equal(event->document, want);
    }
    put(s, "bond", "\"name\":\"007\"");
    KIT_SOURCE_AWAIT(&s->source, s->source.count >= 2);
    assert_int_equal(s->source.events[1].change, PUBSUB_CHANGE_UPDATE);
    drop(s, "bond");
    KIT_SOURCE_AWAIT(&s->source, s->source.count >= 3);
    assert_int_equal(s->source.events[2].change, PUBSUB_CHANGE_DELETE);
    assert_non_null(strstr(s->source.events[2].document, "\"_deleted\":true"));
    assert_int_equal(s->source.count, 3); /* what was there before is not told */
    assert_int_equal(s->source.error_count, 0);
    assert_int_equal(s->source.seen_count, 1);
    kit_source_stop(&s->source);
}

static void tells(const char *kind)
{
    scene *s = open_scene(kind, NULL);
    s->settings[2] = "feed=longpoll";
    anew(s);
    tell_three(s, strcmp(kind, "couchdb3") == 0);
    s->settings[2] = "feed=continuous";
    anew(s);
    tell_three(s, strcmp(kind, "couchdb3") == 0);
    close_scene(s);
}

static void test_couchdb_tells_what_happens(void **state)
{
    (void)state;
    tells("couchdb3");
}

static void test_pouchdb_tells_what_happens(void **state)
{
    (void)state;
    tells("pouchdb");
}

static void resumes(const char *kind, bool restart)
{
    scene *s = open_scene(kind, NULL);
    set(s, "since=0");
    anew(s);
    put_many(s, 0, 10);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.count, 10);
    kit_source_stop(&s->source);
    put_many(s, 10, 15);
    put(s, "doc3", "\"n\":2");
    if (restart) {
        kit_broker_restart(s->server);
    }
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.count, 16); /* none twice */
    assert_int_equal(s->source.error_count, 0);
    close_scene(s);
}

static void test_couchdb_resumes_from_what_was_stored(void **state)
{
    (void)state;
    resumes("couchdb3", false); /* our own server keeps nothing over a restart */
}

static void test_pouchdb_resumes_from_what_was_stored(void **state)
{
    (void)state;
    resumes("pouchdb", true);
}

/* Whatever goes wrong: each change is told at least once, the last one of a document last. */
static void each_fault(const char *feed)
{
    static const struct {
        const char *wish;
        bool error; /* must be told */
    } faults[] = {
        {"{\"fault\":\"status\",\"status\":500,\"times\":3}", true},
        {"{\"fault\":\"status\",\"status\":503,\"retry_after\":0,\"times\":2}", true},
        {"{\"fault\":\"status\",\"status\":429,\"retry_after\":1}", true},
        {"{\"fault\":\"status\",\"status\":502,\"path\":\"accounts\",\"method\":\"GET\",\"times\":"
         "3}",
         true},
        {"{\"fault\":\"status\",\"status\":401}", false},
        {"{\"fault\":\"half_row\",\"row\":3,\"times\":4}", true},
        {"{\"fault\":\"half_row\",\"row\":0,\"times\":2}", true},
        {"{\"fault\":\"malformed\",\"row\":2,\"times\":2}", true},
        {"{\"fault\":\"error_row\",\"row\":1,\"times\":2}", true},
        {"{\"fault\":\"null_seqs\",\"times\":2}", false},
        {"{\"fault\":\"rewind\",\"times\":2}", false},
        {"{\"fault\":\"slow\",\"bytes\":3,\"pause\":0.0001}", false},
        {"{\"fault\":\"early_end\",\"times\":2}", false},
        {"{\"fault\":\"silence\",\"seconds\":30,\"path\":\"heartbeat=\"}", true},
    };
    scene *s = open_scene("couchdb3", NULL);
    set(s, feed);
    set(s, "since=0");
    set(s, "heartbeat=200ms");
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool silence = strstr(faults[i].wish, "silence") != NULL;
        anew(s);
        put_many(s, 0, 8);
        if (silence) { /* noticed by the missing heartbeat, so in the feed that waits */
            start(s);
            KIT_SOURCE_AWAIT(&s->source, all_told(s));
            fault(s, faults[i].wish);
            fault(s, "{\"fault\":\"disconnect\"}");
            KIT_SOURCE_AWAIT(&s->source, s->source.error_count > 0);
        } else {
            fault(s, faults[i].wish);
            start(s);
        }
        put(s, "doc3", "\"n\":2");
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
        put(s, "doc3", "\"n\":3");
        drop(s, "doc4");
        put_many(s, 8, 12);
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        if (faults[i].error != (s->source.error_count > 0)) {
            fail_msg("%s: %s", faults[i].wish, s->source.errors);
        }
        print_message("%s %s: %zu events, %zu errors\n", feed, faults[i].wish, s->source.count,
                      s->source.error_count);
        kit_source_stop(&s->source);
    }
    close_scene(s);
}

static void test_couchdb_loses_nothing_longpoll(void **state)
{
    (void)state;
    each_fault("feed=longpoll");
}

static void test_couchdb_loses_nothing_continuous(void **state)
{
    (void)state;
    each_fault("feed=continuous");
}

static void test_couchdb_survives_a_cut_at_any_byte(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    size_t duplicates = 0;
    set(s, "since=0");
    s->settings[1] = "retry_max=1ms";
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    put_many(s, 0, 3);
    for (int at = 0; at < 700; at += at < 60 ? 1 : 13) {
        char wish[64];
        (void)snprintf(wish, sizeof(wish), "{\"fault\":\"cut\",\"at\":%d}", at);
        fault(s, wish);
        kit_source_forget(&s->source);
        kit_source_store(&s->source, "accounts", "{\"instance\":\"0\",\"seq\":0}");
        start(s);
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        duplicates += s->source.count - 3;
        kit_source_stop(&s->source);
        assert_int_equal(ask(s, "DELETE", "_fault", NULL), 200);
    }
    assert_int_equal(duplicates, 0); /* resumed behind the last whole row */
    close_scene(s);
}

static void test_couchdb_follows_a_database_created_anew(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "since=0");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    put_many(s, 0, 5);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    kit_source_stop(&s->source);
    assert_int_equal(ask(s, "DELETE", "accounts", NULL), 200);
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    s->doc_count = 0;
    put(s, "new", "\"n\":1");
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.error_count, 1);
    assert_non_null(strstr(s->source.errors, "created anew"));
    kit_source_stop(&s->source);
    start(s); /* said once */
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    put(s, "new", "\"n\":2");
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.error_count, 1);
    /* While it is being followed: deleted is for good. */
    assert_int_equal(ask(s, "DELETE", "accounts", NULL), 200);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED));
    assert_non_null(strstr(s->source.errors, "deleted"));
    close_scene(s);
}

/* Before 3.3 the server does not tell when a database was created. */
static void test_couchdb_notices_that_its_count_went_back(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "since=0");
    fault(s, "{\"fault\":\"timeless\"}");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    put_many(s, 0, 5);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    kit_source_stop(&s->source);
    put(s, "more", "\"n\":1");
    start(s); /* nothing has happened */
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.error_count, 0);
    kit_source_stop(&s->source);
    assert_int_equal(ask(s, "DELETE", "accounts", NULL), 200);
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    s->doc_count = 0;
    put(s, "new", "\"n\":1");
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.error_count, 1);
    assert_int_equal(s->source.last_error.code, PUBSUB_ELOST);
    assert_non_null(strstr(s->source.errors, "created anew"));
    kit_source_stop(&s->source);
    start(s); /* said once */
    put(s, "new", "\"n\":2");
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.error_count, 1);
    close_scene(s);
}

/* A sequence of very many shards is stored and gone on from; one that cannot be stored stops the feed,
 * because it would begin at the same place for ever. */
static void test_couchdb_goes_on_from_long_sequences(void **state)
{
    static const char *const too_long[] = {"since=0", "since=now", "feed=continuous"};
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "since=0");
    fault(s, "{\"fault\":\"long_seqs\",\"bytes\":40000}");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    put_many(s, 0, 5);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_true(strlen(kit_source_stored(&s->source, "accounts")) > 40000);
    kit_source_stop(&s->source);
    put(s, "more", "\"n\":1");
    start(s);
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.count, 6); /* none twice */
    assert_int_equal(s->source.error_count, 0);
    kit_source_stop(&s->source);
    fault(s, "{\"fault\":\"long_seqs\",\"bytes\":70000}");
    for (size_t i = 0; i < 3; i++) {
        kit_source_forget(&s->source);
        kit_source_store(&s->source, "accounts", NULL);
        s->settings[2] = too_long[i];
        start(s);
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED));
        assert_int_equal(s->source.last_error.code, PUBSUB_ETOOBIG);
        assert_non_null(strstr(s->source.last_error.text, "70002 bytes"));
        assert_int_equal(s->source.count, 0);
        kit_source_stop(&s->source);
    }
    close_scene(s);
}

static void test_couchdb_stops_where_a_person_has_to_look(void **state)
{
    static const struct {
        const char *wish; /* NULL = none */
        const char *setting;
        const char *text;
        pubsub_err code;
    } cases[] = {
        {"{\"fault\":\"status\",\"status\":403,\"times\":9}", "limit=5", "may not read",
         PUBSUB_EDENIED},
        {"{\"fault\":\"status\",\"status\":401,\"times\":9}", "limit=5", "credentials",
         PUBSUB_EAUTH},
        {"{\"fault\":\"status\",\"status\":404,\"times\":9,\"path\":\"accounts\"}", "limit=5",
         "no such database", PUBSUB_ENOTFOUND},
        {"{\"fault\":\"status\",\"status\":301,\"times\":9}", "limit=5", "set url",
         PUBSUB_EREJECTED},
        {"{\"fault\":\"malformed\",\"times\":99}", "limit=5", "cannot be passed on", PUBSUB_EPROTO},
        /* what came before it and has no sequence is read again, which is no progress */
        {"{\"fault\":\"malformed\",\"row\":1,\"null_seqs\":true,\"times\":99}", "limit=5",
         "cannot be passed on", PUBSUB_EPROTO},
        {"{\"fault\":\"bad_utf8\",\"times\":99}", "limit=5", "UTF-8", PUBSUB_EPROTO},
        {NULL, "since=no-such-seq", "since", PUBSUB_EREJECTED},
        {NULL, "max_document=1k", "max_document", PUBSUB_ETOOBIG},
    };
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    char *big = malloc(200001);
    assert_non_null(big);
    set(s, "since=0");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    put(s, "small", "\"n\":1");
    (void)snprintf(big, 200001, "{\"x\":\"%0150000d\"}", 1);
    assert_int_equal(ask(s, "PUT", "accounts/big", big), 201);
    free(big);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit_source_forget(&s->source);
        kit_source_store(&s->source, "accounts", NULL);
        set(s, cases[i].setting);
        if (cases[i].wish != NULL) {
            fault(s, cases[i].wish);
        }
        /* the last of equal settings must be the only one */
        if (strncmp(cases[i].setting, "since", 5) == 0) {
            s->settings[2] = s->settings_text[3];
            s->settings[3] = NULL;
        }
        start(s);
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED));
        assert_int_equal(s->source.last_error.code, cases[i].code);
        if (strstr(s->source.last_error.text, cases[i].text) == NULL) {
            fail_msg("%s is not in: %s", cases[i].text, s->source.last_error.text);
        }
        kit_source_stop(&s->source);
        assert_int_equal(ask(s, "DELETE", "_fault", NULL), 200);
        s->settings[2] = s->settings_text[2];
        s->settings[3] = NULL;
    }
    close_scene(s);
}

static void test_couchdb_passes_16_megabytes(void **state)
{
    (void)state;
    enum { SIZE = 16000000 };
    scene *s = open_scene("couchdb3", NULL);
    char *big = malloc(SIZE + 64);
    assert_non_null(big);
    set(s, "since=0");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    (void)snprintf(big, SIZE + 64, "{\"x\":\"%0*d\"}", SIZE, 1);
    assert_int_equal(ask(s, "PUT", "accounts/big", big), 201);
    free(big);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, s->source.count == 1);
    assert_true(strlen(s->source.events[0].document) > SIZE);
    close_scene(s);
}

static void test_couchdb_waits_for_room(void **state)
{
    static const char *const feeds[] = {"feed=longpoll", "feed=continuous"};
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "since=0");
    for (size_t f = 0; f < 2; f++) {
        s->settings[3] = feeds[f];
        anew(s);
        put_many(s, 0, 50);
        s->source.room = 0;
        start(s);
        for (size_t taken = 0; taken < 50; taken += 7) {
            KIT_SOURCE_AWAIT(&s->source, s->source.refused > taken / 7);
            assert_int_equal(s->source.count, taken);
            s->source.room = 7;
            s->source.connector->resume(s->source.instance);
            KIT_SOURCE_AWAIT(&s->source, s->source.count == (taken + 7 < 50 ? taken + 7 : 50));
        }
        assert_true(all_told(s));
        put(s, "doc1", "\"n\":2"); /* goes on live */
        s->source.room = SIZE_MAX;
        s->source.connector->resume(s->source.instance);
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        assert_int_equal(s->source.count, 51);
        assert_int_equal(s->source.error_count, 0);
        s->source.room = 0;
        put(s, "doc1", "\"n\":3");
        KIT_SOURCE_AWAIT(&s->source, s->source.refused > 0);
        kit_source_stop(&s->source); /* while a row is held */
    }
    close_scene(s);
}

/* One way to log in, with the right or a wrong secret. */
static void log_in(scene *s, const char *auth, const char *const *settings, bool good)
{
    size_t at = 2;
    s->settings[at++] = auth;
    for (size_t i = 0; settings[i] != NULL; i++) {
        s->settings[at++] = settings[i];
    }
    s->settings[at] = NULL;
    kit_source_forget(&s->source);
    kit_source_store(&s->source, "accounts", NULL);
    start(s);
    /* Nobody made the database, so who is let in is told that. */
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED));
    assert_int_equal(s->source.last_error.code, good ? PUBSUB_ENOTFOUND : PUBSUB_EAUTH);
    assert_null(strstr(s->source.errors, kit_broker_password(s->server, false)));
    kit_source_stop(&s->source);
}

static void test_couchdb_logs_in(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", "auth");
    char password[160];
    char key[160];
    char iam[192];
    const char *word = kit_broker_password(s->server, false);
    (void)snprintf(password, sizeof(password), "password=%s", word);
    (void)snprintf(key, sizeof(key), "iam_key=%s", word);
    (void)snprintf(iam, sizeof(iam), "iam_url=%s/identity/token", s->url);
    log_in(s, "auth=basic", (const char *[]){"user=pubsub", password, NULL}, true);
    log_in(s, "auth=basic", (const char *[]){"user=pubsub", "password=wrong", NULL}, false);
    log_in(s, "auth=session", (const char *[]){"user=pubsub", password, NULL}, true);
    log_in(s, "auth=session", (const char *[]){"user=pubsub", "password=wrong", NULL}, false);
    log_in(s, "auth=bearer", (const char *[]){"token=the-bearer-token", NULL}, true);
    log_in(s, "auth=bearer", (const char *[]){"token=wrong", NULL}, false);
    log_in(s, "auth=iam", (const char *[]){iam, key, NULL}, true);
    log_in(s, "auth=iam", (const char *[]){iam, "iam_key=wrong", NULL}, false);
    /* a token that is over before it can be used must not make us ask without an end */
    fault(s, "{\"fault\":\"expires_in\",\"seconds\":0}");
    log_in(s, "auth=iam", (const char *[]){iam, key, NULL}, true);
    close_scene(s);
}

/* Sessions end in the middle: new ones are got without a word. */
static void test_couchdb_renews_its_session(void **state)
{
    static const char *const auths[] = {"auth=session", "auth=iam"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        static const char *const settings[] = {"database=accounts", NULL};
        scene *s = calloc(1, sizeof(*s));
        char text[160];
        unsigned long before = 0;
        assert_non_null(s);
        s->server = kit_broker_start_with("couchdb3", "auth", settings);
        kit_source_init(&s->source, "couchdb");
        (void)snprintf(s->url, sizeof(s->url), "%s", kit_broker_need(s->server, "url_plain"));
        (void)snprintf(text, sizeof(text), "url=%s", s->url);
        set(s, text);
        set(s, auths[i]);
        set(s, "timeout=150ms");
        set(s, "user=pubsub");
        (void)snprintf(text, sizeof(text), "%s=%s", i == 0 ? "password" : "iam_key",
                       kit_broker_password(s->server, false));
        set(s, text);
        if (i == 1) {
            (void)snprintf(text, sizeof(text), "iam_url=%s/identity/token", s->url);
            set(s, text);
            s->settings[3] = "limit=10"; /* no user */
        }
        start(s);
        for (int round = 0; round < 3; round++) {
            KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
            before = s->source.alives;
            KIT_SOURCE_AWAIT(&s->source, s->source.alives > before + 2);
            fault(s, "{\"fault\":\"expire\"}");
            before = s->source.alives;
            KIT_SOURCE_AWAIT(&s->source, s->source.alives > before + 4);
        }
        assert_int_equal(s->source.error_count, 0);
        assert_int_equal(s->source.seen_count, 1);
        close_scene(s);
    }
}

static void test_couchdb_finds_databases_by_pattern(void **state)
{
    static const char *const models[] = {"acc*", "other", NULL};
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "discover=100ms");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    assert_int_equal(ask(s, "PUT", "other", NULL), 201);
    assert_int_equal(ask(s, "PUT", "more", NULL), 201);
    put(s, "before", "\"n\":1");
    kit_source_start(&s->source, s->settings, models);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    KIT_SOURCE_AWAIT(&s->source, kit_source_state(&s->source, "other") == PUBSUB_SOURCE_ACTIVE);
    assert_int_equal(ask(s, "PUT", "acc2", NULL), 201);
    assert_int_equal(ask(s, "PUT", "acc2/first", "{\"n\":1}"), 201);
    assert_int_equal(ask(s, "PUT", "more/x", "{\"n\":1}"), 201);
    KIT_SOURCE_AWAIT(&s->source, s->source.count == 1);
    assert_string_equal(s->source.events[0].model, "acc2");
    assert_string_equal(s->source.events[0].key, "first");
    /* It goes and comes again. */
    assert_int_equal(ask(s, "DELETE", "acc2", NULL), 200);
    KIT_SOURCE_AWAIT(&s->source, kit_source_state(&s->source, "acc2") == PUBSUB_SOURCE_ENDED);
    assert_int_equal(ask(s, "PUT", "acc2", NULL), 201);
    assert_int_equal(ask(s, "PUT", "acc2/second", "{\"n\":1}"), 201);
    KIT_SOURCE_AWAIT(&s->source, s->source.count == 2);
    assert_string_equal(s->source.events[1].key, "second");
    close_scene(s);
}

static void test_couchdb_selects(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    unsigned positions = 0;
    set(s, "selector={\"type\":\"a\"}");
    set(s, "include_docs=no");
    set(s, "timeout=100ms");
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    positions = (unsigned)s->source.positions;
    assert_int_equal(ask(s, "PUT", "accounts/no", "{\"type\":\"b\"}"), 201);
    /* Pages without a row move the position on. */
    KIT_SOURCE_AWAIT(&s->source, s->source.positions > positions);
    assert_int_equal(ask(s, "PUT", "accounts/yes", "{\"type\":\"a\"}"), 201);
    KIT_SOURCE_AWAIT(&s->source, s->source.count == 1);
    assert_string_equal(s->source.events[0].key, "yes");
    assert_non_null(strstr(s->source.events[0].document, "\"changes\":[{\"rev\":"));
    close_scene(s);
}

static void test_couchdb_waits_while_the_server_is_away(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    kit_broker_kill(s->server);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_WAITING));
    assert_int_equal(s->source.last_error.code, PUBSUB_ECONNECT);
    KIT_SOURCE_AWAIT(&s->source, s->source.error_count > 3);
    kit_broker_restart(s->server);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED)); /* its memory is gone */
    assert_int_equal(s->source.last_error.code, PUBSUB_ENOTFOUND);
    close_scene(s);
}

static void test_couchdb_starts_again(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    anew(s);
    start(s);
    for (int round = 0; round < 3; round++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
        put(s, "bond", "\"n\":1");
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        assert_int_equal(s->source.connector->start(s->source.instance, &s->source.emitter, &err),
                         PUBSUB_ESTATE);
        kit_source_halt(&s->source);
        s->source.models[0].state = PUBSUB_SOURCE_STARTING;
        assert_int_equal(s->source.connector->start(s->source.instance, &s->source.emitter, &err),
                         PUBSUB_OK);
    }
    assert_int_equal(s->source.count, 3);
    close_scene(s);
}

/* SIGSTOP: it accepts connections and says nothing. */
static void test_couchdb_notices_a_server_that_hangs(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    set(s, "feed=continuous");
    set(s, "heartbeat=200ms");
    anew(s);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    put(s, "bond", "\"n\":1");
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    kit_broker_pause(s->server);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_WAITING));
    assert_int_equal(s->source.last_error.code, PUBSUB_ETIMEDOUT);
    kit_broker_resume(s->server);
    put(s, "bond", "\"n\":2");
    KIT_SOURCE_AWAIT(&s->source, all_told(s));
    assert_int_equal(s->source.count, 2);
    close_scene(s);
}

/* kill -9, again and again, while documents are written. */
static void test_pouchdb_killed_loses_nothing(void **state)
{
    (void)state;
    scene *s = open_scene("pouchdb", NULL);
    set(s, "since=0");
    anew(s);
    start(s);
    for (size_t round = 0; round < 2; round++) {
        put_many(s, round * 10, round * 10 + 10);
        put(s, "doc0", "\"n\":2");
        kit_broker_kill(s->server);
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_WAITING));
        kit_broker_restart(s->server);
        put(s, "doc1", "\"n\":3");
        KIT_SOURCE_AWAIT(&s->source, all_told(s));
        KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
    }
    print_message("%zu events of %zu documents, 24 revisions\n", s->source.count, s->doc_count);
    close_scene(s);
}

static void test_couchdb_speaks_tls(void **state)
{
    static const char *const settings[] = {"database=accounts", NULL};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        scene *s = calloc(1, sizeof(*s));
        char text[200];
        assert_non_null(s);
        s->server = kit_broker_start_with("couchdb3", "tls", settings);
        kit_source_init(&s->source, "couchdb");
        (void)snprintf(text, sizeof(text), "url=%s", kit_broker_need(s->server, "url_tls"));
        set(s, text);
        set(s, "retry_max=100ms");
        if (i < 2) {
            (void)snprintf(text, sizeof(text), "tls_ca=%.150s",
                           kit_broker_need(s->server, i == 0 ? "ca" : "wrong_ca"));
            set(s, text);
        }
        start(s);
        if (i == 0) {
            KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_ACTIVE));
        } else {
            KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_WAITING));
            assert_int_equal(s->source.last_error.code, PUBSUB_ETLS);
            assert_non_null(strstr(s->source.errors, "tls_ca"));
        }
        close_scene(s);
    }
}

/* The server of tokens has authorities of its own. */
static void test_couchdb_trusts_its_server_of_tokens(void **state)
{
    (void)state;
    scene *s = open_scene("couchdb3", "auth,tls");
    char ca[200];
    char key[160];
    char iam[192];
    (void)snprintf(ca, sizeof(ca), "iam_ca=%.150s", kit_broker_need(s->server, "ca"));
    (void)snprintf(key, sizeof(key), "iam_key=%s", kit_broker_password(s->server, false));
    (void)snprintf(iam, sizeof(iam), "iam_url=%.150s/identity/token",
                   kit_broker_need(s->server, "url_tls"));
    set(s, "auth=iam");
    set(s, iam);
    set(s, key);
    start(s);
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_WAITING));
    assert_int_equal(s->source.last_error.code, PUBSUB_ETLS);
    assert_non_null(
        strstr(s->source.errors, "logging in: the server's certificate is not trusted"));
    assert_non_null(strstr(s->source.errors, "iam_ca"));
    kit_source_stop(&s->source);
    set(s, ca);
    start(s); /* nobody made the database, so who is let in is told that */
    KIT_SOURCE_AWAIT(&s->source, is(s, PUBSUB_SOURCE_STOPPED));
    assert_int_equal(s->source.last_error.code, PUBSUB_ENOTFOUND);
    close_scene(s);
}

static void test_couchdb_check_says_what_is_there(void **state)
{
    static const char *const models[] = {"accounts", "nope", "acc*", NULL};
    (void)state;
    scene *s = open_scene("couchdb3", NULL);
    assert_int_equal(ask(s, "PUT", "accounts", NULL), 201);
    kit_source_check(&s->source, s->settings, models);
    assert_non_null(strstr(s->source.errors, "PUBSUB_OK accounts: the database is there"));
    assert_non_null(strstr(s->source.errors, "PUBSUB_ENOTFOUND nope: there is no such database"));
    assert_non_null(strstr(s->source.errors, "PUBSUB_OK acc*: 1 databases match now"));
    assert_non_null(strstr(s->source.errors, "purges"));
    kit_source_forget(&s->source);
    kit_broker_kill(s->server);
    kit_source_check(&s->source, s->settings, accounts);
    assert_non_null(strstr(s->source.errors, "PUBSUB_ECONNECT accounts"));
    close_scene(s);
}

static void test_couchdb_refuses_settings_that_contradict(void **state)
{
    static const char *const cases[][4] = {
        {"url=couch:5984", NULL},
        {"url=http://u:p@couch", NULL},
        {"url=http://couch", "password=x", NULL},
        {"url=http://couch", "user=x", NULL},
        {"url=http://couch", "auth=bearer", NULL},
        {"url=http://couch", "auth=iam", NULL},
        {"url=http://couch", "auth=session", NULL},
        {"url=http://couch", "tls_cert=/x", NULL},
        {"url=http://couch", "since=", NULL},
        {"user=x", NULL},
    };
    pubsub_error err = PUBSUB_ERROR_INIT;
    kit_source source;
    (void)state;
    kit_source_init(&source, "couchdb");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (kit_source_try(&source, cases[i], &err) != PUBSUB_EOPTION) {
            fail_msg("accepted: %s %s", cases[i][0], cases[i][1] != NULL ? cases[i][1] : "");
        }
    }
    kit_source_fini(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_couchdb_refuses_settings_that_contradict),
        cmocka_unit_test(test_couchdb_tells_what_happens),
        cmocka_unit_test(test_pouchdb_tells_what_happens),
        cmocka_unit_test(test_couchdb_resumes_from_what_was_stored),
        cmocka_unit_test(test_pouchdb_resumes_from_what_was_stored),
        cmocka_unit_test(test_couchdb_loses_nothing_longpoll),
        cmocka_unit_test(test_couchdb_loses_nothing_continuous),
        cmocka_unit_test(test_couchdb_survives_a_cut_at_any_byte),
        cmocka_unit_test(test_couchdb_follows_a_database_created_anew),
        cmocka_unit_test(test_couchdb_notices_that_its_count_went_back),
        cmocka_unit_test(test_couchdb_goes_on_from_long_sequences),
        cmocka_unit_test(test_couchdb_stops_where_a_person_has_to_look),
        cmocka_unit_test(test_couchdb_passes_16_megabytes),
        cmocka_unit_test(test_couchdb_waits_for_room),
        cmocka_unit_test(test_couchdb_logs_in),
        cmocka_unit_test(test_couchdb_renews_its_session),
        cmocka_unit_test(test_couchdb_finds_databases_by_pattern),
        cmocka_unit_test(test_couchdb_selects),
        cmocka_unit_test(test_couchdb_waits_while_the_server_is_away),
        cmocka_unit_test(test_couchdb_starts_again),
        cmocka_unit_test(test_couchdb_notices_a_server_that_hangs),
        cmocka_unit_test(test_pouchdb_killed_loses_nothing),
        cmocka_unit_test(test_couchdb_speaks_tls),
        cmocka_unit_test(test_couchdb_trusts_its_server_of_tokens),
        cmocka_unit_test(test_couchdb_check_says_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
