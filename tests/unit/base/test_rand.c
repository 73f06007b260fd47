/* SPDX-License-Identifier: MIT */
#include "base/rand.h"

#include "support/cmocka.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_rand_below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    int seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t value = pubsub__rand_below(7);
        assert_true(value < 7);
        seen[value]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_true(seen[i] > 700); /* 1000 expected; this far off is a defect, not chance */
    }
    assert_int_equal(pubsub__rand_below(0), 0);
    assert_int_equal(pubsub__rand_below(1), 0);
}

static void test_rand_unit_is_in_0_1(void **state)
{
    (void)state;
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double x = pubsub__rand_unit();
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum > 4500 && sum < 5500);
}

static void test_rand_name_has_its_length(void **state)
{
    (void)state;
    char one[17];
    char two[17];
    pubsub__rand_name(one, 16);
    pubsub__rand_name(two, 16);
    assert_int_equal(strlen(one), 16);
    assert_int_equal(strspn(one, "abcdefghijklmnopqrstuvwxyz0123456789"), 16);
    assert_string_not_equal(one, two);
}

static void test_rand_differs_after_fork(void **state)
{
    (void)state;
    int fds[2];
    uint64_t child_value = 0;
    pubsub__rand_u64();
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint64_t value = pubsub__rand_u64();
        _exit(write(fds[1], &value, sizeof(value)) == sizeof(value) ? 0 : 1);
    }
    assert_int_equal(read(fds[0], &child_value, sizeof(child_value)), sizeof(child_value));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(child_value != pubsub__rand_u64());
    close(fds[0]);
    close(fds[1]);
}

static void *draw(void *arg)
{
    uint64_t *values = arg;
    for (int i = 0; i < 1000; i++) {
        values[i] = pubsub__rand_u64();
    }
    return NULL;
}

/* Each call is its own step of one counter, so no two threads can get the same number. */
static void test_rand_threads_share_without_repeats(void **state)
{
    (void)state;
    static uint64_t values[2][1000];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, draw, values[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 1000; j++) {
            assert_true(values[0][i] != values[1][j]);
        }
    }
}

static void test_rand_secure_fills(void **state)
{
    (void)state;
    unsigned char zero[32] = {0};
    unsigned char bytes[32] = {0};
    assert_true(pubsub__rand_secure(bytes, sizeof(bytes)));
    assert_memory_not_equal(bytes, zero, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rand_below_stays_below_and_reaches_all),
        cmocka_unit_test(test_rand_unit_is_in_0_1),
        cmocka_unit_test(test_rand_name_has_its_length),
        cmocka_unit_test(test_rand_differs_after_fork),
        cmocka_unit_test(test_rand_threads_share_without_repeats),
        cmocka_unit_test(test_rand_secure_fills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
