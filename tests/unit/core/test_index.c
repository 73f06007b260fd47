/* SPDX-License-Identifier: MIT */
#include "topic/index.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <pubsub/topic.h>

#include "support/cmocka.h"
#include "support/topic_cases.h"

#include <stdio.h>

static pubsub__topic_index *new_index(size_t max)
{
    pubsub__topic_index *index = NULL;
    assert_int_equal(pubsub__topic_index_new(&index, max), PUBSUB_OK);
    return index;
}

static pubsub_err add(pubsub__topic_index *index, const char *pattern, void *value)
{
    return pubsub__topic_index_add(index, pattern, strlen(pattern), value);
}

static bool take(pubsub__topic_index *index, const char *pattern, void *value)
{
    return pubsub__topic_index_remove(index, pattern, strlen(pattern), value);
}

static size_t count_matches(pubsub__topic_index *index, const char *topic)
{
    return pubsub__topic_index_match(index, topic, strlen(topic), NULL, NULL);
}

static void test_index_matches_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOPIC_CASES; i++) {
        const topic_case *c = &topic_cases[i];
        pubsub__topic_index *index = new_index(10);
        assert_int_equal(add(index, c->pattern, index), PUBSUB_OK);
        if (count_matches(index, c->topic) != (c->matches ? 1 : 0)) {
            fail_msg("'%s' and '%s'", c->pattern, c->topic);
        }
        pubsub__topic_index_free(index);
    }
}

static void mark(void *ctx, void *value)
{
    (void)ctx;
    ++*(int *)value;
}

/* All patterns of the table at once: each topic finds exactly those that the matcher says. */
static void test_index_finds_all_and_only_matching(void **state)
{
    (void)state;
    pubsub__topic_index *index = new_index(TOPIC_CASES);
    int hits[TOPIC_CASES];
    for (size_t i = 0; i < TOPIC_CASES; i++) {
        assert_int_equal(add(index, topic_cases[i].pattern, &hits[i]), PUBSUB_OK);
    }
    for (size_t t = 0; t < TOPIC_CASES; t++) {
        const char *topic = topic_cases[t].topic;
        memset(hits, 0, sizeof(hits));
        size_t count = pubsub__topic_index_match(index, topic, strlen(topic), mark, NULL);
        size_t expected = 0;
        for (size_t i = 0; i < TOPIC_CASES; i++) {
            const char *pattern = topic_cases[i].pattern;
            int want = pubsub_topic_matches(pattern, strlen(pattern), topic, strlen(topic)) ? 1 : 0;
            assert_int_equal(hits[i], want);
            expected += (size_t)want;
        }
        assert_int_equal(count, expected);
    }
    pubsub__topic_index_free(index);
}

static void random_levels(char *out, const char *letters, size_t max_levels)
{
    size_t levels = 1 + pubsub__rand_below(max_levels);
    size_t len = 0;
    for (size_t i = 0; i < levels; i++) {
        out[len++] = letters[pubsub__rand_below(strlen(letters))];
        out[len++] = '/';
    }
    out[len - 1] = '\0';
}

/* Adding and removing at random, compared with a plain list. */
static void test_index_agrees_with_a_list(void **state)
{
    (void)state;
    enum { N = 60 };
    char patterns[N][20];
    bool in[N] = {false};
    int hits[N];
    pubsub__topic_index *index = new_index(N);
    for (int round = 0; round < 4000; round++) {
        size_t i = pubsub__rand_below(N);
        if (in[i]) {
            assert_true(take(index, patterns[i], &hits[i]));
        } else {
            random_levels(patterns[i], "abc+#*", 6);
            assert_int_equal(add(index, patterns[i], &hits[i]), PUBSUB_OK);
        }
        in[i] = !in[i];
        char topic[20];
        random_levels(topic, "abc$", 7);
        memset(hits, 0, sizeof(hits));
        pubsub__topic_index_match(index, topic, strlen(topic), mark, NULL);
        for (size_t k = 0; k < N; k++) {
            bool want = in[k] && pubsub_topic_matches(patterns[k], strlen(patterns[k]), topic,
                                                      strlen(topic));
            if (hits[k] != (want ? 1 : 0)) {
                fail_msg("'%s' and '%s': %d", patterns[k], topic, hits[k]);
            }
        }
    }
    pubsub__topic_index_free(index);
}

static void test_index_counts_pairs(void **state)
{
    (void)state;
    int one = 0;
    int two = 0;
    pubsub__topic_index *index = new_index(3);
    assert_int_equal(add(index, "a/#", &one), PUBSUB_OK);
    assert_int_equal(add(index, "a/#", &one), PUBSUB_OK);
    assert_int_equal(add(index, "a/*", &two),
                     PUBSUB_OK); /* the same pattern, spelled differently */
    assert_int_equal(add(index, "b", &two), PUBSUB_EAGAIN);
    assert_int_equal(pubsub__topic_index_count(index), 3);
    assert_int_equal(pubsub__topic_index_match(index, "a/b", 3, mark, NULL), 3);
    assert_int_equal(one, 2);
    assert_int_equal(two, 1);
    assert_true(take(index, "a/#", &one));
    assert_int_equal(count_matches(index, "a/b"), 2);
    assert_true(take(index, "a/#", &one));
    assert_false(take(index, "a/#", &one));
    assert_false(take(index, "a/b", &two));
    assert_false(take(index, "a", &two));
    assert_true(take(index, "a/#", &two));
    assert_int_equal(pubsub__topic_index_count(index), 0);
    assert_int_equal(count_matches(index, "a/b"), 0);
    pubsub__topic_index_free(index);
}

static void test_index_gives_memory_back(void **state)
{
    (void)state;
    int64_t before = pubsub__alloc_live();
    pubsub__topic_index *index = new_index(100);
    assert_int_equal(add(index, "keep", index), PUBSUB_OK);
    int64_t with_one = pubsub__alloc_live();
    assert_int_equal(add(index, "a/b/c/#/d/+", index), PUBSUB_OK);
    assert_int_equal(add(index, "a/b/x", index), PUBSUB_OK);
    assert_true(take(index, "a/b/c/#/d/+", index));
    assert_true(take(index, "a/b/x", index));
    assert_int_equal(pubsub__alloc_live(), with_one);
    pubsub__topic_index_free(index);
    assert_int_equal(pubsub__alloc_live(), before);
    pubsub__topic_index_free(NULL);
}

static void test_index_survives_each_failed_allocation(void **state)
{
    (void)state;
    pubsub__topic_index *index = new_index(100);
    assert_int_equal(add(index, "a/b", index), PUBSUB_OK);
    int64_t before = pubsub__alloc_live();
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = add(index, "a/x/+/#/y", index);
        pubsub__alloc_fail_at(0);
        done = rc == PUBSUB_OK;
        assert_true(done || rc == PUBSUB_ENOMEM);
        assert_int_equal(count_matches(index, "a/x/1/y"), done ? 1 : 0);
        assert_int_equal(count_matches(index, "a/b"), 1);
    }
    assert_true(take(index, "a/x/+/#/y", index));
    assert_true(pubsub__alloc_live() <=
                before + 1); /* the root's list of children may have grown */
    pubsub__topic_index_free(index);
}

/* Thousands of ways to walk, but no allocation and no repeated report. */
static void test_index_match_is_bounded(void **state)
{
    (void)state;
    char pattern[PUBSUB_TOPIC_MAX];
    char topic[PUBSUB_TOPIC_MAX];
    size_t plen = 0;
    size_t tlen = 0;
    while (plen + 4 < sizeof(pattern)) {
        memcpy(pattern + plen, "#/a/", 4);
        plen += 4;
    }
    while (tlen + 2 < sizeof(topic)) {
        memcpy(topic + tlen, "a/", 2);
        tlen += 2;
    }
    pubsub__topic_index *index = new_index(10);
    assert_int_equal(pubsub__topic_index_add(index, pattern, plen - 1, index), PUBSUB_OK);
    uint64_t before = pubsub__alloc_count();
    assert_int_equal(pubsub__topic_index_match(index, topic, tlen - 1, NULL, NULL), 1);
    assert_int_equal(pubsub__alloc_count(), before);
    pubsub__topic_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_matches_the_table),
        cmocka_unit_test(test_index_finds_all_and_only_matching),
        cmocka_unit_test(test_index_agrees_with_a_list),
        cmocka_unit_test(test_index_counts_pairs),
        cmocka_unit_test(test_index_gives_memory_back),
        cmocka_unit_test(test_index_survives_each_failed_allocation),
        cmocka_unit_test(test_index_match_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
