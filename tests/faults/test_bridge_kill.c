/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "base/rand.h"
#include "connectors/table.h"
#include "support/child.h"
#include "support/cmocka.h"
#include "support/wait.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A bridge is killed at random moments and started again. Every event arrives, and each kill brings at
 * most as many again as were in flight. */

enum { LAST = 6000, LAST_BROKER = 40000, KILLS = 25, IN_FLIGHT = 50, QUIET = 1500 };

static void set_up(scripted_bridge *b, const char *dir, const char *kind)
{
    static char pattern[] = "in/#";
    static const char *const names[] = {"url", "from"};
    char source[KIT_PATH_MAX + 64];
    const char *texts[] = {source, "earliest"};
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool spool = strcmp(kind, "spool") == 0;
    scripted_bridge_at(b, dir, spool ? &scripted_settles : &scripted_replays);
    b->route[0].in_flight = IN_FLIGHT;
    b->source.spool = spool ? 1 : -1;
    if (strcmp(kind, "broker") == 0) {
        (void)snprintf(source, sizeof source, "local:%s/source", dir);
        b->source.connector = &bridge_connector_broker;
        b->models[0] = pattern;
        if (pubsub_settings_new(&bridge_connector_broker, names, texts, 2, &b->source.settings,
                                &b->source.setting_count, &err) != PUBSUB_OK) {
            kit_say("failed %s", err.text);
            exit(1);
        }
    }
}

/* dir, kind, where a source that keeps no position begins */
static int bridge_role(int argc, char **argv)
{
    scripted_bridge b;
    if (argc != 3) {
        return 2;
    }
    set_up(&b, argv[0], argv[1]);
    scripted.last = LAST;
    scripted.endless = true;
    scripted.done_before = strtoull(argv[2], NULL, 10);
    scripted_run(&b);
    for (;;) {
        bridge_route_view view = scripted_view(&b);
        kit_say("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, view.published, view.received,
                scripted.done_before + scripted.settled_ok, view.in_flight);
        if (view.state == BRIDGE_ROUTE_STOPPED) {
            kit_say("failed %s", view.error);
            return 1;
        }
        (void)pubsub_host_run(b.host, 2);
    }
}

typedef struct watch {
    uint64_t settled;
    kit_deadline quiet; /* over when there was no progress for long */
    uint64_t last_published;
    unsigned busy; /* kills while messages were in flight */
} watch;

/* published, received, settled, in flight */
static bool parse(const char *line, unsigned long long said[4])
{
    return sscanf(line, "%llu %llu %llu %llu", &said[0], &said[1], &said[2], &said[3]) == 4;
}

/* One life: until `lines` were said, or, with 0, until nothing happens any more. */
static void live(const char *dir, const char *kind, unsigned lines, watch *w)
{
    kit_child child;
    char begin[24];
    char line[400];
    unsigned long long said[4] = {0};
    (void)snprintf(begin, sizeof begin, "%" PRIu64, w->settled);
    const char *const arguments[] = {dir, kind, begin, NULL};
    kit_child_start(&child, "bridge", arguments);
    bool busy = false;
    w->quiet = kit_in(QUIET);
    w->last_published = 0;
    for (unsigned i = 0; lines == 0 ? !kit_over(w->quiet) : i < lines || (!busy && i < lines + 20);
         i++) {
        if (!kit_child_line(&child, line, sizeof line, KIT_PATIENCE) || !parse(line, said)) {
            fail_msg("the bridge ended: %s", line);
        }
        if (said[0] != w->last_published || said[3] != 0) {
            w->quiet = kit_in(QUIET);
        }
        w->last_published = said[0];
        busy = said[3] > 0;
    }
    w->busy += busy;
    kit_child_signal(&child, SIGKILL);
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 128 + SIGKILL);
    /* The source knows all receipts it got, also those that were said and not yet read here. */
    while (kit_child_line(&child, line, sizeof line, 1) && parse(line, said)) {
    }
    w->settled = said[2] > w->settled ? said[2] : w->settled;
    kit_child_end(&child);
}

static void count(const char *dir, unsigned last, uint64_t allowed)
{
    static scripted_bus bus;
    static unsigned seen[LAST_BROKER + 1];
    char url[KIT_PATH_MAX + 64];
    unsigned lost = 0;
    (void)snprintf(url, sizeof url, "local:%s/bus", dir);
    memset(seen, 0, sizeof seen);
    scripted_read(url, &bus);
    for (size_t i = 0; i < bus.count; i++) {
        uint64_t number = scripted_number(bus.messages[i]);
        assert_true(number >= 1 && number <= last);
        seen[number]++;
    }
    for (unsigned n = 1; n <= last; n++) {
        lost += seen[n] == 0;
    }
    uint64_t again = bus.count - (last - lost);
    scripted_forget(&bus);
    print_message("             %d kills: %u lost, %" PRIu64 " again (at most %" PRIu64 ")\n",
                  KILLS, lost, again, allowed);
    assert_int_equal(lost, 0);
    assert_true(again <= allowed);
}

static void kill_often(const char *dir, const char *kind, unsigned last, uint64_t allowed)
{
    watch w = {.settled = 0};
    for (unsigned i = 0; i < KILLS; i++) {
        live(dir, kind, 1 + (unsigned)pubsub__rand_below(12), &w);
    }
    live(dir, kind, 0, &w);
    print_message("             %u of %d kills with messages in flight\n", w.busy, KILLS);
    assert_true(w.busy > 0);
    count(dir, last, allowed);
}

static void test_kill_replayed_source(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    kit_dir_new(dir);
    kill_often(dir, "replays", LAST, (uint64_t)KILLS * IN_FLIGHT);
    kit_dir_remove(dir);
}

/* Twice: what was on its way into the spool, and what was on its way out of it. */
static void test_kill_spooled_source(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    kit_dir_new(dir);
    kill_often(dir, "spool", LAST, (uint64_t)KILLS * IN_FLIGHT * 2);
    kit_dir_remove(dir);
}

static void fill(const char *dir)
{
    char url[KIT_PATH_MAX + 64];
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)snprintf(url, sizeof url, "local:%s/source", dir);
    assert_int_equal(pubsub_client_new(&client, url, NULL, &err), PUBSUB_OK);
    for (unsigned i = 1; i <= LAST_BROKER; i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "{\"n\":%u}", i);
        assert_int_equal(pubsub_client_publish_text(client, "in/accounts", text, &err), PUBSUB_OK);
    }
    assert_int_equal(pubsub_client_end(client, kit_ms(KIT_PATIENCE), &err), PUBSUB_OK);
    pubsub_client_free(client);
}

static void test_kill_broker_source(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    kit_dir_new(dir);
    fill(dir);
    kill_often(dir, "broker", LAST_BROKER, (uint64_t)KILLS * IN_FLIGHT);
    kit_dir_remove(dir);
}

int main(int argc, char **argv)
{
    const kit_role roles[] = {{"bridge", bridge_role}, {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_replayed_source),
        cmocka_unit_test(test_kill_spooled_source),
        cmocka_unit_test(test_kill_broker_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
