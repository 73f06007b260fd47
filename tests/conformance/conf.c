/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

#include "conformance/conf_place.h"
#include "conformance/conf_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CASE_LIMIT_MS = 60000, FAULT_LIMIT_MS = 120000, LONG_LIMIT_MS = 900000 };
enum { MODES = 3, NOT_RUN = 77 };

/* One line of cmocka's table: a case in a mode. */
typedef struct item {
    const conf_suite *suite;
    const conf_case *row;
    kit_mode mode;
    char name[128];
} item;

static const conf_adapter *adapter_under_test;
static pubsub_caps declared;
static unsigned proofs[PUBSUB_FEATURE_COUNT];
static unsigned refusals[PUBSUB_FEATURE_COUNT];
static bool mode_works[MODES];
static bool filtered;
static unsigned runs;
/* cmocka hands the test what set_up left; which case it is stands in the item before that. */
static const item *current;
static conf_result outcome;
static char reason[600];

static const char *label_of(const conf_adapter *adapter)
{
    return adapter->label != NULL ? adapter->label : adapter->name;
}

/* ---- what cases use ------------------------------------------------------------------------ */

bool conf_offers(const conf *t, uint64_t features)
{
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        if ((features >> i & 1) != 0 && t->caps.features[i].support == PUBSUB_REFUSED) {
            return false;
        }
    }
    return true;
}

void conf_skip(const conf *t, const char *why)
{
    print_message("             skipped: %s: %s\n", t->adapter->name, why);
    outcome = CONF_SKIPPED;
    (void)snprintf(reason, sizeof(reason), "%s", why);
    skip();
}

void conf_proves(conf *t, uint64_t features)
{
    t->proven |= features;
}

const char *conf_text(conf *t, const char *format, ...)
{
    char text[2048];
    char *copy = NULL;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    copy = strdup(text);
    assert_non_null(copy);
    kit_list_add(&t->texts, copy);
    return copy;
}

const char *conf_topic(conf *t, const char *rest)
{
    return conf_text(t, "c%s/%s", t->unique, rest);
}

const char *conf_name(conf *t, const char *name)
{
    return conf_text(t, "%s-%s", name, t->unique);
}

kit_peer *conf_peer_with(conf *t, const char *options)
{
    return kit_peer_new(t->net, t->url, options);
}

kit_peer *conf_peer(conf *t)
{
    return conf_peer_with(t, NULL);
}

kit_child *conf_child(conf *t, size_t i, const char *role, const char *const *arguments)
{
    kit_child_end(&t->children[i]);
    kit_child_start(&t->children[i], role, arguments);
    return &t->children[i];
}

/* ---- numbered messages --------------------------------------------------------------------- */

void conf_publish_many(kit_peer *peer, const char *topic, const char *prefix, size_t count)
{
    enum { BATCH = 100 };
    char payloads[BATCH][48];
    pubsub_publication batch[BATCH];
    for (size_t done = 0; done < count;) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        size_t n = count - done < BATCH ? count - done : BATCH;
        size_t queued = 0;
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(payloads[i], sizeof(payloads[i]), "%s%zu", prefix, done + i);
            batch[i] = kit_publication(topic, payloads[i]);
        }
        KIT_OK(pubsub_client_publish_batch(peer->client, batch, n, kit_ms(KIT_PATIENCE), &queued,
                                           &error),
               &error);
        assert_int_equal(queued, n);
        done += n;
    }
}

size_t conf_number(const kit_message *message, const char *prefix)
{
    size_t len = strlen(prefix);
    const char *text = message->payload.data;
    char *end = NULL;
    size_t number = 0;
    if (message->payload.len <= len || strncmp(text, prefix, len) != 0) {
        return SIZE_MAX;
    }
    number = strtoul(text + len, &end, 10);
    return end == text + message->payload.len ? number : SIZE_MAX;
}

size_t conf_union(kit_sub *const *subs, size_t sub_count, const char *prefix, size_t count,
                  size_t *total)
{
    size_t different = 0;
    size_t all = 0;
    bool *seen = test_calloc(count + 1, sizeof(*seen));
    for (size_t s = 0; s < sub_count; s++) {
        size_t have = kit_count(subs[s]);
        for (size_t i = 0; i < have; i++) {
            size_t number = conf_number(kit_at(subs[s], i), prefix);
            if (number < count) {
                all++;
                different += seen[number] ? 0 : 1;
                seen[number] = true;
            }
        }
    }
    test_free(seen);
    if (total != NULL) {
        *total = all;
    }
    return different;
}

static size_t count_prefix(kit_sub *sub, const char *prefix)
{
    size_t found = 0;
    size_t count = kit_count(sub);
    for (size_t i = 0; i < count; i++) {
        found += conf_number(kit_at(sub, i), prefix) != SIZE_MAX ? 1 : 0;
    }
    return found;
}

void conf_expect_exactly(conf *t, kit_sub *sub, const char *prefix, size_t count)
{
    size_t next = 0;
    KIT_AWAIT(t->net, kit_count(sub) >= count);
    KIT_AWAIT(t->net, count_prefix(sub, prefix) >= count);
    for (size_t i = 0; i < kit_count(sub); i++) {
        size_t number = conf_number(kit_at(sub, i), prefix);
        if (number != SIZE_MAX) {
            assert_int_equal(number, next);
            next++;
        }
    }
    assert_int_equal(next, count);
}

kit_sub *conf_subscribe_freed(conf *t, kit_peer *peer, const char *pattern, const char *options)
{
    kit_deadline until = kit_in(KIT_PATIENCE);
    for (;;) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        kit_sub *sub = kit_subscribe_later(peer, pattern, options, NULL, NULL);
        pubsub_err result =
            pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error);
        if (result != PUBSUB_EBUSY || kit_over(until)) {
            KIT_OK(result, &error);
            return sub;
        }
        kit_turn(t->net);
    }
}

void conf_fence(conf *t, kit_peer *publisher, const char *topic, kit_sub *sub)
{
    static unsigned fences;
    const char *text = conf_text(t, "fence-%u", fences++);
    (void)kit_store_text(publisher, topic, text);
    KIT_AWAIT(t->net, kit_find(sub, text) != NULL);
}

/* ---- running ------------------------------------------------------------------------------- */

/* What a case needs and is refused: told, and for the report. */
static void note_missing(const conf_case *row)
{
    size_t used = 0;
    outcome = CONF_REFUSED;
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        const pubsub_cap *cap = &declared.features[i];
        if ((row->needs >> i & 1) != 0 && cap->support == PUBSUB_REFUSED) {
            const char *name = pubsub_feature_name((pubsub_feature)i);
            int len =
                snprintf(reason + used, sizeof(reason) - used, "%s%s", used > 0 ? ", " : "", name);
            used += (size_t)len;
            print_message("             skipped: %s refuses %s (%s)\n", adapter_under_test->name,
                          name, cap->note);
        }
    }
}

/* Where subscriptions share, the caps have to say it. */
static void note_shared(void)
{
    const char *note = declared.features[PUBSUB_FEATURE_GROUP].note;
    KIT_SAYS(note, "share");
    outcome = CONF_REFUSED;
    (void)snprintf(reason, sizeof(reason), "%s", note);
    print_message("             skipped: %s: %s\n", adapter_under_test->name, note);
}

/* The caps have to say where the broker is. */
static void note_inside(void)
{
    KIT_SAYS(declared.confirm_note, "process");
    outcome = CONF_REFUSED;
    (void)snprintf(reason, sizeof(reason), "%s", declared.confirm_note);
    print_message("             skipped: %s: %s\n", adapter_under_test->name,
                  declared.confirm_note);
}

static int64_t limit_of(const conf_case *row)
{
    bool is_fault = (row->modes & CONF_FAULT) != 0;
    return !is_fault                            ? CASE_LIMIT_MS
           : getenv("PUBSUB_TEST_LONG") != NULL ? LONG_LIMIT_MS
                                                : FAULT_LIMIT_MS;
}

static int set_up(void **state)
{
    const item *mine = *state;
    conf *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -1;
    }
    t->adapter = adapter_under_test;
    t->net = &t->net_storage;
    t->caps = declared;
    kit_net_init(t->net, mine->mode);
    kit_list_init(&t->texts);
    (void)snprintf(t->unique, sizeof(t->unique), "%lx-%x-%x",
                   (unsigned long)(kit_wall() / 1000000000u), (unsigned)getpid() & 0xffffu, runs++);
    kit_watchdog(mine->name, limit_of(mine->row));
    current = mine;
    outcome = CONF_FAILED;
    reason[0] = '\0';
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    conf *t = *state;
    if (t->undo != NULL) {
        t->undo(t->undo_ctx);
    }
    for (size_t i = 0; i < sizeof(t->children) / sizeof(t->children[0]); i++) {
        kit_child_end(&t->children[i]);
    }
    conf_place_release(t);
    kit_net_fini(t->net);
    kit_list_fini(&t->texts, free);
    kit_watchdog("", 0);
    free(t);
    conf_report_case(current->suite->name, current->row->name, kit_mode_name(current->mode),
                     outcome, reason);
    return 0;
}

/* Cases are counted, not the modes they run in. */
static void note_proofs(const conf *t)
{
    static const conf_case *last[PUBSUB_FEATURE_COUNT];
    const conf_case *row = current->row;
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        bool offered = declared.features[i].support != PUBSUB_REFUSED;
        uint64_t features = t->proven | (offered ? row->proves : 0);
        if ((features >> i & 1) != 0 && last[i] != row) {
            last[i] = row;
            ++*(offered ? &proofs[i] : &refusals[i]);
        }
    }
}

static void run_item(void **state)
{
    conf *t = *state;
    if (!mode_works[current->mode]) {
        conf_skip(t, "this library cannot run in this mode");
    }
    if (!conf_offers(t, current->row->needs)) {
        note_missing(current->row);
        skip();
    }
    if (adapter_under_test->shared_topics && (current->row->modes & CONF_FANOUT) != 0) {
        note_shared();
        skip();
    }
    if (adapter_under_test->inside && (current->row->modes & CONF_OUTSIDE) != 0) {
        note_inside();
        skip();
    }
    conf_place_prepare(t, current->row->modes);
    current->row->run(t);
    note_proofs(t);
    outcome = CONF_PASSED;
}

/* ---- the table of features ----------------------------------------------------------------- */

/* What the API has no way to ask for yet. */
static bool is_askable(unsigned feature)
{
    return feature != PUBSUB_FEATURE_DELAY;
}

static const char *verdict(unsigned feature)
{
    bool offered = declared.features[feature].support != PUBSUB_REFUSED;
    if (!is_askable(feature)) {
        return "cannot be asked for yet";
    }
    if (offered) {
        return proofs[feature] > 0 ? "proven" : "NOT PROVEN";
    }
    return refusals[feature] > 0 ? "proven refused" : "REFUSAL NOT PROVEN";
}

static void test_conformance_every_cell_is_proven(void **state)
{
    unsigned open = 0;
    (void)state;
    print_message("\n%-18s %-10s %-24s %s\n", "feature", label_of(adapter_under_test), "proof",
                  "note");
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        const char *text = verdict(i);
        open += strstr(text, "NOT") != NULL ? 1 : 0;
        print_message("%-18s %-10s %-24s %s\n", pubsub_feature_name((pubsub_feature)i),
                      pubsub_support_name(declared.features[i].support), text,
                      declared.features[i].note);
        conf_report_feature((pubsub_feature)i, &declared.features[i], text,
                            proofs[i] + refusals[i]);
    }
    conf_report_close();
    print_message("\n");
    if (filtered) {
        skip();
    }
    assert_int_equal(open, 0);
}

/* ---- the list of tests --------------------------------------------------------------------- */

static void try_modes(void)
{
    for (int mode = 0; mode < MODES; mode++) {
        kit_net net;
        kit_peer *peer = NULL;
        char url[CONF_URL_MAX];
        kit_net_init(&net, (kit_mode)mode);
        conf_place_nominal(adapter_under_test, url, sizeof(url));
        mode_works[mode] = kit_peer_try(&net, url, NULL, &peer, NULL) == PUBSUB_OK;
        kit_net_fini(&net);
    }
}

static size_t count_items(void)
{
    size_t count = 0;
    for (const conf_suite *suite = conf_suites; suite->name != NULL; suite++) {
        for (const conf_case *row = suite->cases; row->name != NULL; row++) {
            count += MODES;
        }
    }
    return count;
}

static size_t fill_items(item *items)
{
    size_t n = 0;
    for (const conf_suite *suite = conf_suites; suite->name != NULL; suite++) {
        for (const conf_case *row = suite->cases; row->name != NULL; row++) {
            for (unsigned mode = 0; mode < MODES; mode++) {
                /* Where there is no broker it cannot fail. */
                bool applies =
                    (row->modes & CONF_FAULT) == 0 || adapter_under_test->network != NULL;
                if (applies && (row->modes >> mode & 1) != 0) {
                    items[n] = (item){suite, row, (kit_mode)mode, ""};
                    (void)snprintf(items[n].name, sizeof(items[n].name), "%s.%s [%s]", suite->name,
                                   row->name, kit_mode_name((kit_mode)mode));
                    n++;
                }
            }
        }
    }
    return n;
}

unsigned conf_runs(void)
{
    return runs;
}

void conf_each(void (*fn)(void *ctx, const char *suite, const conf_case *row), void *ctx)
{
    for (const conf_suite *suite = conf_suites; suite->name != NULL; suite++) {
        for (const conf_case *row = suite->cases; row->name != NULL; row++) {
            fn(ctx, suite->name, row);
        }
    }
}

int conf_main(const conf_adapter *adapter, int argc, char **argv)
{
    kit_roles(argc, argv, conf_roles);
    return conf_run(adapter, argc > 1 ? argv[1] : NULL);
}

int conf_run(const conf_adapter *adapter, const char *pattern)
{
    char url[CONF_URL_MAX];
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t room = count_items();
    item *items = calloc(room + 1, sizeof(*items));
    struct CMUnitTest *tests = calloc(room + 1, sizeof(*tests));
    size_t count = 0;
    int failed = 1;
    adapter_under_test = adapter;
    if (pattern != NULL) {
        filtered = true;
        cmocka_set_test_filter(pattern);
    }
    switch (conf_place_look(adapter)) {
    case CONF_ABSENT:
        failed = NOT_RUN;
        goto out;
    case CONF_MISSING:
        goto out;
    case CONF_PRESENT:
        break;
    }
    conf_place_nominal(adapter, url, sizeof(url));
    if (items == NULL || tests == NULL ||
        pubsub_caps_offline(url, NULL, &declared, &error) != PUBSUB_OK) {
        (void)fprintf(stderr, "%s: %s\n", url, error.text);
        goto out;
    }
    try_modes();
    if (!filtered) {
        conf_report_open(label_of(adapter));
        conf_report_caps(&declared);
    }
    count = fill_items(items);
    for (size_t i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){items[i].name, run_item, set_up, tear_down, &items[i]};
    }
    tests[count] = (struct CMUnitTest){"every_cell_is_proven",
                                       test_conformance_every_cell_is_proven, NULL, NULL, NULL};
    failed = _cmocka_run_group_tests(label_of(adapter), tests, count + 1, NULL, NULL);
out:
    conf_place_end();
    free(items);
    free(tests);
    return failed;
}
