/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

static local_group *join_with(local_store *store, const local_group_options *options, bool *resumed)
{
    local_group *group = NULL;
    BUS_OK(pubsub__local_group_join(&group, store, options, resumed, &bus_error));
    return group;
}

static local_group *join(local_store *store, const char *name, uint32_t flags)
{
    local_group_options options = {.name = name, .flags = flags, .patterns = bus_bytes("#\n")};
    return join_with(store, &options, NULL);
}

static pubsub_err try_join(local_store *store, const local_group_options *options)
{
    local_group *group = NULL;
    pubsub_err rc = pubsub__local_group_join(&group, store, options, NULL, &bus_error);
    assert_true((rc == PUBSUB_OK) == (group != NULL));
    pubsub__local_group_leave(group);
    return rc;
}

/* Claim once; returns how many. */
static size_t claim(local_group *group, local_claim *out, size_t max, local_claim_info *info)
{
    local_claim_info ignored;
    int n = pubsub__local_group_claim(group, out, max, SIZE_MAX, info != NULL ? info : &ignored,
                                      &bus_error);
    if (n < 0) {
        print_error("claim: %s\n", bus_error.text);
    }
    assert_true(n >= 0);
    return (size_t)n;
}

/* Claim exactly this one message. */
static uint64_t expect(local_group *group, const char *text, uint32_t attempt)
{
    local_claim got;
    assert_int_equal(claim(group, &got, 1, NULL), 1);
    if (!bus_is(got.view.payload, text)) {
        print_error("got '%.*s', not '%s'\n", (int)got.view.payload.len,
                    (const char *)got.view.payload.data, text);
    }
    assert_true(bus_is(got.view.payload, text));
    assert_int_equal(got.attempt, attempt);
    assert_true(got.lease != 0);
    return got.lease;
}

static void expect_none(local_group *group)
{
    local_claim got;
    assert_int_equal(claim(group, &got, 1, NULL), 0);
}

static void ack(local_group *group, uint64_t lease)
{
    size_t acked = 0;
    BUS_OK(pubsub__local_group_ack(group, &lease, 1, &acked, &bus_error));
    assert_int_equal(acked, 1);
}

static void nack(local_group *group, uint64_t lease, uint64_t delay_ms)
{
    BUS_OK(pubsub__local_group_nack(group, lease, delay_ms, true, &bus_error));
}

static void test_group_members_share(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_store *other = bus_again(&b);
    local_group *one = join(b.store, "g", 0), *two = join(other, "g", 0);
    bus_put_many(b.store, "t", "m", 0, 10);
    local_claim first[4], rest[10];
    assert_int_equal(claim(one, first, 4, NULL), 4);
    assert_int_equal(claim(two, rest, 10, NULL), 6);
    for (int i = 0; i < 10; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "m%d", i);
        assert_true(bus_is(i < 4 ? first[i].view.payload : rest[i - 4].view.payload, text));
    }
    expect_none(one);
    pubsub__local_group_leave(one);
    pubsub__local_group_leave(two);
    pubsub__local_close(other);
    bus_free(&b);
}

static void test_group_position_moves_over_the_finished_prefix(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", LOCAL_GROUP_DURABLE);
    bus_put_many(b.store, "t", "m", 0, 3);
    local_claim got[3];
    assert_int_equal(claim(group, got, 3, NULL), 3);
    uint64_t start = got[0].view.position.offset;
    assert_int_equal(pubsub__local_group_position(group).offset, start);
    ack(group, got[1].lease);
    ack(group, got[2].lease);
    assert_int_equal(pubsub__local_group_position(group).offset, start);
    ack(group, got[0].lease);
    assert_int_equal(pubsub__local_group_position(group).offset, got[2].view.next.offset);
    size_t acked;
    BUS_OK(pubsub__local_group_ack(group, &got[0].lease, 1, &acked, &bus_error));
    assert_int_equal(acked, 0); /* twice does nothing */
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_group_nack_comes_again_after_the_delay(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", 0), *second = join(b.store, "g", 0);
    (void)bus_put(b.store, "t", "m");
    uint64_t lease = expect(group, "m", 1);
    nack(group, lease, 5000);
    assert_int_equal(pubsub__local_group_nack(group, lease, 0, true, &bus_error), PUBSUB_ENOTFOUND);
    local_claim got;
    local_claim_info info;
    uint64_t now = kit_now();
    assert_int_equal(claim(second, &got, 1, &info), 0);
    assert_true(info.wake_at_ns > now + 4 * SECOND && info.wake_at_ns < now + 6 * SECOND);
    pubsub__local_hooks.mono_offset_ns = 5 * SECOND;
    lease = expect(second, "m", 2); /* by any member */
    nack(second, lease, 0);
    lease = expect(group, "m", 3);
    ack(group, lease);
    expect_none(second);
    pubsub__local_group_leave(group);
    pubsub__local_group_leave(second);
    bus_free(&b);
}

static void test_group_given_back_uncounted(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", 0);
    (void)bus_put(b.store, "t", "m");
    uint64_t lease = expect(group, "m", 1);
    BUS_OK(pubsub__local_group_nack(group, lease, 0, false, &bus_error));
    lease = expect(group, "m", 1);
    ack(group, lease);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_group_lease_runs_out_unless_renewed(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *slow = join(b.store, "g", 0), *other = join(b.store, "g", 0);
    (void)bus_put(b.store, "t", "m");
    uint64_t lease = expect(slow, "m", 1);
    pubsub__local_hooks.mono_offset_ns = 20 * SECOND;
    BUS_OK(pubsub__local_group_renew(slow, &bus_error));
    pubsub__local_hooks.mono_offset_ns = 40 * SECOND;
    expect_none(other);
    pubsub__local_hooks.mono_offset_ns = 60 * SECOND;
    uint64_t taken = expect(other, "m", 2);
    size_t acked;
    BUS_OK(pubsub__local_group_ack(slow, &lease, 1, &acked, &bus_error));
    assert_int_equal(acked, 0); /* it is another's now */
    ack(other, taken);
    expect_none(slow);
    pubsub__local_group_leave(slow);
    pubsub__local_group_leave(other);
    bus_free(&b);
}

/* Late, but nobody has taken it: the work counts. */
static void test_group_late_ack_of_an_untaken_lease(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *slow = join(b.store, "g", 0), *other = join(b.store, "g", 0);
    (void)bus_put(b.store, "t", "m");
    uint64_t lease = expect(slow, "m", 1);
    pubsub__local_hooks.mono_offset_ns = 60 * SECOND;
    local_claim none;
    assert_int_equal(claim(other, &none, 0, NULL), 0); /* notices, but takes nothing */
    ack(slow, lease);
    expect_none(other);
    pubsub__local_group_leave(slow);
    pubsub__local_group_leave(other);
    bus_free(&b);
}

static void test_group_leaving_gives_everything_back(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *one = join(b.store, "g", 0), *two = join(b.store, "g", 0);
    bus_put_many(b.store, "t", "m", 0, 3);
    local_claim got[3];
    assert_int_equal(claim(one, got, 3, NULL), 3);
    ack(one, got[1].lease);
    expect_none(two);
    pubsub__local_group_leave(one);
    (void)expect(two, "m0", 2);
    (void)expect(two, "m2", 2);
    expect_none(two);
    pubsub__local_group_leave(two);
    bus_free(&b);
}

/* What is before its first message was never stored for it. */
static void test_group_counts_what_waits_for_it(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static const struct {
        int kind;
        uint64_t waiting;
    } cases[] = {{LOCAL_FROM_EARLIEST, 5}, {LOCAL_FROM_NEW, 0}, {LOCAL_FROM_POSITION, 2}};
    local_position third = {0, 0};
    for (int i = 0; i < 5; i++) {
        local_position end = bus_put(b.store, "t", "stored");
        third = i == 2 ? end : third;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        local_group_options options = {.name = "g", .patterns = bus_bytes("#\n")};
        options.from.kind = cases[i].kind;
        options.from.position = third;
        local_group *group = join_with(b.store, &options, NULL);
        assert_int_equal(pubsub__local_group_waiting(group), cases[i].waiting);
        pubsub__local_group_leave(group);
    }
    bus_free(&b);
}

static void test_group_durable_resumes(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group_options options = {.name = "g",
                                   .flags = LOCAL_GROUP_DURABLE,
                                   .patterns = bus_bytes("#\n"),
                                   .from = {.kind = LOCAL_FROM_EARLIEST}};
    bool resumed = true;
    (void)bus_put(b.store, "t", "before");
    local_group *group = join_with(b.store, &options, &resumed);
    assert_false(resumed);
    ack(group, expect(group, "before", 1));
    pubsub__local_group_leave(group);
    (void)bus_put(b.store, "t", "meanwhile");
    group = join_with(b.store, &options, &resumed); /* `from` no longer counts */
    assert_true(resumed);
    (void)expect(group, "meanwhile", 1);
    pubsub__local_group_leave(group);
    bus_close(&b);
    bus_open(&b);
    group = join_with(b.store, &options, &resumed);
    assert_true(resumed);
    (void)expect(group, "meanwhile", 2); /* attempts are kept too */
    pubsub__local_group_leave(group);
    options.reset = true;
    group = join_with(b.store, &options, &resumed);
    assert_false(resumed);
    (void)expect(group, "before", 1);
    options.reset = true;
    assert_int_equal(try_join(b.store, &options), PUBSUB_EBUSY);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_group_after_a_restart_all_unfinished_comes_again(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", LOCAL_GROUP_DURABLE);
    bus_put_many(b.store, "t", "m", 0, 4);
    local_claim got[3];
    assert_int_equal(claim(group, got, 3, NULL), 3);
    ack(group, got[0].lease);
    ack(group, got[2].lease); /* not of the finished prefix: may come again */
    pubsub__local_group_leave(group);
    bus_reboot(&b);
    group = join(b.store, "g", LOCAL_GROUP_DURABLE);
    assert_int_equal(claim(group, got, 3, NULL), 3);
    static const char *const again[] = {"m1", "m2", "m3"};
    for (int i = 0; i < 3; i++) {
        assert_true(bus_is(got[i].view.payload, again[i]));
        assert_int_equal(got[i].attempt, 1);
        assert_int_equal(got[i].redelivered, i < 2); /* the last one is really new */
    }
    expect_none(group);
    (void)bus_put(b.store, "t", "new");
    (void)expect(group, "new", 1);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static int count_groups(void *ctx, const local_group_info *info)
{
    local_group_info *last = ctx;
    unsigned n = last->members + 1; /* counts in the field it does not need */
    *last = *info;
    last->members = n;
    return 0;
}

static unsigned groups(local_store *store)
{
    local_group_info info = {.members = 0};
    BUS_OK(pubsub__local_groups(store, count_groups, &info, &bus_error));
    return info.members;
}

static void test_group_not_durable_vanishes_with_its_last_member(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *one = join(b.store, "g", 0), *two = join(b.store, "g", 0);
    pubsub__local_group_leave(one);
    assert_int_equal(groups(b.store), 1);
    pubsub__local_group_leave(two);
    assert_int_equal(groups(b.store), 0);
    (void)bus_put(b.store, "t", "missed");
    one = join(b.store, "g", 0);
    expect_none(one);
    pubsub__local_group_leave(one);
    bus_free(&b);
}

static void test_group_members_must_agree(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group_options options = {
        .name = "g", .flags = LOCAL_GROUP_DURABLE, .patterns = bus_bytes("a\n")};
    local_group *group = join_with(b.store, &options, NULL);
    options.patterns = bus_bytes("b\n");
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    assert_non_null(strstr(bus_error.text, "patterns"));
    options.patterns = bus_bytes("a\n");
    options.flags = 0;
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.flags = LOCAL_GROUP_DURABLE | LOCAL_GROUP_KEYED;
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.flags = LOCAL_GROUP_DURABLE;
    assert_int_equal(try_join(b.store, &options), PUBSUB_OK);
    pubsub__local_group_leave(group);
    options.patterns = bus_bytes("b\n"); /* nobody is there: still another subscription */
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.reset = true;
    assert_int_equal(try_join(b.store, &options), PUBSUB_OK);
    bus_free(&b);
}

static void test_group_bad_names_and_patterns(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char name[LOCAL_GROUP_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[LOCAL_GROUP_NAME_MAX + 1] = '\0';
    local_group_options options = {.name = name};
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.name = "";
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.name = "g";
    options.patterns = (pubsub_bytes){"", LOCAL_PATTERNS_MAX + 1};
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    options.patterns.len = 0;
    options.flags = 0x100;
    assert_int_equal(try_join(b.store, &options), PUBSUB_EINVAL);
    /* Any bytes do, also long ones that differ only at their end. */
    static const char *const odd[] = {"../../x", ".", "a/b", "\xc3\xa9 x", "%2e", "\n"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        local_group *group = join(b.store, odd[i], LOCAL_GROUP_DURABLE);
        pubsub__local_group_leave(group);
    }
    name[LOCAL_GROUP_NAME_MAX] = '\0';
    for (size_t i = 0; i < 3; i++) {
        name[LOCAL_GROUP_NAME_MAX - 1] = "abc"[i];
        local_group *group = join(b.store, name, LOCAL_GROUP_DURABLE);
        pubsub__local_group_leave(group);
    }
    assert_int_equal(groups(b.store), 9);
    bus_free(&b);
}

static void test_group_single_holder(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    uint32_t flags = LOCAL_GROUP_SINGLE | LOCAL_GROUP_DURABLE;
    local_group *holder = join(b.store, "name", flags);
    local_group_options options = {.name = "name", .flags = flags, .patterns = bus_bytes("#\n")};
    assert_int_equal(try_join(b.store, &options), PUBSUB_EBUSY);
    local_group *group = join(b.store, "name", LOCAL_GROUP_DURABLE); /* another kind of name */
    pubsub__local_group_leave(group);
    pubsub__local_group_leave(holder);
    assert_int_equal(try_join(b.store, &options), PUBSUB_OK);
    bus_free(&b);
}

static void test_group_remove(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", LOCAL_GROUP_DURABLE);
    assert_int_equal(pubsub__local_group_remove(b.store, "g", false, &bus_error), PUBSUB_EBUSY);
    assert_int_equal(pubsub__local_group_remove(b.store, "g", true, &bus_error), PUBSUB_ENOTFOUND);
    pubsub__local_group_leave(group);
    BUS_OK(pubsub__local_group_remove(b.store, "g", false, &bus_error));
    assert_int_equal(groups(b.store), 0);
    assert_int_equal(pubsub__local_group_remove(b.store, "g", false, &bus_error), PUBSUB_ENOTFOUND);
    bus_free(&b);
}

static bool is_a(void *ctx, const char *topic, size_t len)
{
    (void)ctx;
    return len == 1 && topic[0] == 'a';
}

static void test_group_filter_and_expiry(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group_options options = {.name = "g",
                                   .flags = LOCAL_GROUP_DURABLE,
                                   .patterns = bus_bytes("a\n"),
                                   .filter = {.match = is_a}};
    local_group *group = join_with(b.store, &options, NULL);
    (void)bus_put(b.store, "b", "no");
    local_record old = {.topic = bus_bytes("a"), .payload = bus_bytes("old"), .expiry_ns = 1};
    BUS_OK(pubsub__local_append(b.store, &old, 1, NULL, NULL, &bus_error));
    (void)bus_put(b.store, "a", "yes");
    local_position end = bus_put(b.store, "b", "no");
    uint64_t lease = expect(group, "yes", 1);
    ack(group, lease);
    expect_none(group);
    /* What nobody wants is finished too. */
    assert_int_equal(pubsub__local_group_position(group).offset, end.offset);
    /* Expires while it waits to come again. */
    local_record soon = {.topic = bus_bytes("a"),
                         .payload = bus_bytes("soon"),
                         .expiry_ns = kit_wall() + 60 * SECOND};
    BUS_OK(pubsub__local_append(b.store, &soon, 1, NULL, NULL, &bus_error));
    nack(group, expect(group, "soon", 1), 0);
    pubsub__local_hooks.wall_offset_ns = 120 * SECOND;
    expect_none(group);
    assert_int_equal(pubsub__local_group_position(group).offset, soon.end);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void put_key(local_store *store, const char *key, const char *text)
{
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes(text)};
    if (key != NULL) {
        record.key = bus_bytes(key);
    }
    BUS_OK(pubsub__local_append(store, &record, 1, NULL, NULL, &bus_error));
}

static void test_group_keyed(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *one = join(b.store, "g", LOCAL_GROUP_KEYED);
    local_group *two = join(b.store, "g", LOCAL_GROUP_KEYED);
    put_key(b.store, "x", "x1");
    put_key(b.store, "x", "x2");
    put_key(b.store, "y", "y1");
    put_key(b.store, NULL, "n1");
    put_key(b.store, NULL, "n2");
    put_key(b.store, "x", "x3");
    uint64_t x1 = expect(one, "x1", 1);
    uint64_t y1 = expect(two, "y1", 1);
    (void)expect(two, "n1", 1); /* no key, no order */
    (void)expect(two, "n2", 1);
    expect_none(one);
    expect_none(two);
    nack(one, x1, 1000); /* x waits for its first message */
    expect_none(two);
    pubsub__local_hooks.mono_offset_ns = 2 * SECOND;
    uint32_t generation = pubsub__local_generation(b.store);
    x1 = expect(two, "x1", 2);
    ack(two, x1);
    assert_true(pubsub__local_generation(b.store) != generation); /* wakes who waits for the key */
    uint64_t x2 = expect(one, "x2", 1);
    ack(two, y1);
    expect_none(two);
    ack(one, x2);
    (void)expect(two, "x3", 1);
    pubsub__local_group_leave(one);
    pubsub__local_group_leave(two);
    bus_free(&b);
}

/* Many keys under two members that take turns: each key's messages come in order. */
static void test_group_keyed_keeps_order(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    enum { KEYS = 13, COUNT = 3000 };
    local_group *members[2] = {join(b.store, "g", LOCAL_GROUP_KEYED),
                               join(b.store, "g", LOCAL_GROUP_KEYED)};
    char text[16], key[16];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "%d", i);
        (void)snprintf(key, sizeof(key), "k%d", (i * 7) % KEYS);
        put_key(b.store, key, text);
    }
    int last[KEYS], done = 0;
    memset(last, -1, sizeof(last));
    for (int round = 0; done < COUNT && round < COUNT * 4; round++) {
        local_claim got[8];
        size_t n = claim(members[round % 2], got, 8, NULL);
        for (size_t i = 0; i < n; i++) {
            char number[16];
            (void)snprintf(number, sizeof(number), "%.*s", (int)got[i].view.payload.len,
                           (const char *)got[i].view.payload.data);
            int value = (int)strtol(number, NULL, 10);
            assert_true(value > last[(value * 7) % KEYS]);
            if (got[i].attempt == 1 && value % 5 == 0) {
                nack(members[round % 2], got[i].lease, 0);
                continue;
            }
            last[(value * 7) % KEYS] = value;
            ack(members[round % 2], got[i].lease);
            done++;
        }
    }
    assert_int_equal(done, COUNT);
    pubsub__local_group_leave(members[0]);
    pubsub__local_group_leave(members[1]);
    bus_free(&b);
}

/* Nobody acks: the group stops at its table's size, and goes on after an ack. */
static void test_group_full_table(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    enum { TABLE = 8192 };
    local_group *group = join(b.store, "g", 0);
    bus_put_many(b.store, "t", "m", 0, TABLE + 10);
    local_claim *got = calloc(TABLE + 10, sizeof(*got));
    assert_non_null(got);
    size_t n = 0, more;
    while ((more = claim(group, got + n, 500, NULL)) > 0) {
        n += more;
        assert_true(n <= TABLE);
    }
    assert_int_equal(n, TABLE);
    ack(group, got[5].lease); /* not the oldest: no room yet */
    expect_none(group);
    uint32_t generation = pubsub__local_generation(b.store);
    for (int i = 0; i < 5; i++) {
        ack(group, got[i].lease);
    }
    assert_true(pubsub__local_generation(b.store) != generation);
    assert_int_equal(claim(group, got, 500, NULL), 6);
    free(got);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_group_behind_retention_gets_a_gap(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", LOCAL_GROUP_DURABLE);
    (void)bus_put(b.store, "t", "first");
    nack(group, expect(group, "first", 1), 0);
    unsigned filled = bus_fill(b.store, 8000, 100);
    local_claim got[64];
    local_claim_info info;
    uint64_t seen = 0, missed = 0;
    for (size_t n = 1, gaps = 0; n > 0 || info.more;) {
        n = claim(group, got, 64, &info);
        if (info.has_gap) {
            assert_int_equal(info.gap.reason, LOCAL_GAP_RETENTION);
            assert_true(info.gap.to_seq >= info.gap.from_seq);
            missed += info.gap.to_seq - info.gap.from_seq + 1;
            assert_int_equal(++gaps, 1);
        }
        for (size_t i = 0; i < n; i++) {
            ack(group, got[i].lease);
        }
        seen += n;
    }
    assert_true(missed > 0);
    assert_int_equal(seen + missed, filled + 1);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

/* Claims that point into several segments stay valid together. */
static void test_group_claim_over_segments(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "g", 0);
    static char payload[30000];
    for (int i = 0; i < 40; i++) {
        memset(payload, 'a' + i % 26, sizeof(payload));
        local_record record = {.topic = bus_bytes("t"), .payload = {payload, sizeof(payload)}};
        BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    }
    local_claim got[40];
    int total = 0;
    for (size_t n; (n = claim(group, got, 40, NULL)) > 0;) {
        for (size_t i = 0; i < n; i++, total++) {
            const char *data = got[i].view.payload.data;
            assert_int_equal(got[i].view.payload.len, sizeof(payload));
            assert_int_equal(data[0], 'a' + total % 26);
            assert_int_equal(data[sizeof(payload) - 1], 'a' + total % 26);
        }
    }
    assert_int_equal(total, 40);
    /* A byte limit still lets one through. */
    pubsub__local_group_leave(group);
    group = join(b.store, "h", 0);
    (void)bus_put(b.store, "t", "one");
    (void)bus_put(b.store, "t", "two");
    local_claim_info info;
    assert_int_equal(pubsub__local_group_claim(group, got, 40, 1, &info, &bus_error), 1);
    assert_true(info.more);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_group_listed(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_group *group = join(b.store, "the group", LOCAL_GROUP_DURABLE);
    bus_put_many(b.store, "t", "m", 0, 5);
    local_claim got[3];
    assert_int_equal(claim(group, got, 3, NULL), 3);
    local_group_info info = {.members = 0};
    BUS_OK(pubsub__local_groups(b.store, count_groups, &info, &bus_error));
    assert_string_equal(info.name, "the group");
    assert_int_equal(info.flags, LOCAL_GROUP_DURABLE);
    assert_int_equal(info.open_messages, 3);
    assert_int_equal(info.position.offset, got[0].view.position.offset);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_members_share),
        cmocka_unit_test(test_group_position_moves_over_the_finished_prefix),
        cmocka_unit_test(test_group_nack_comes_again_after_the_delay),
        cmocka_unit_test(test_group_given_back_uncounted),
        cmocka_unit_test(test_group_lease_runs_out_unless_renewed),
        cmocka_unit_test(test_group_late_ack_of_an_untaken_lease),
        cmocka_unit_test(test_group_leaving_gives_everything_back),
        cmocka_unit_test(test_group_counts_what_waits_for_it),
        cmocka_unit_test(test_group_durable_resumes),
        cmocka_unit_test(test_group_after_a_restart_all_unfinished_comes_again),
        cmocka_unit_test(test_group_not_durable_vanishes_with_its_last_member),
        cmocka_unit_test(test_group_members_must_agree),
        cmocka_unit_test(test_group_bad_names_and_patterns),
        cmocka_unit_test(test_group_single_holder),
        cmocka_unit_test(test_group_remove),
        cmocka_unit_test(test_group_filter_and_expiry),
        cmocka_unit_test(test_group_keyed),
        cmocka_unit_test(test_group_keyed_keeps_order),
        cmocka_unit_test(test_group_full_table),
        cmocka_unit_test(test_group_behind_retention_gets_a_gap),
        cmocka_unit_test(test_group_claim_over_segments),
        cmocka_unit_test(test_group_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
