/* SPDX-License-Identifier: MIT */
#include "host/host.h"

#include "base/alloc.h"

#include "support/cmocka.h"
#include "support/wait.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static pubsub_host *new_host(void)
{
    pubsub_host *host = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_host_new(&host, &err), PUBSUB_OK);
    return host;
}

static void end_host(pubsub_host *host)
{
    pubsub_host_free(host);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* What happened, in order. */
typedef struct scene {
    pubsub_host *host;
    pubsub_host_timer *timers[4];
    pubsub_host_watch *watch;
    char said[64];
    unsigned count;
    unsigned limit;
    uint32_t bits;
    int fds[2];
} scene;

static void say(scene *s, char what)
{
    size_t len = strlen(s->said);
    if (len + 1 < sizeof(s->said)) {
        s->said[len] = what;
    }
}

static void say_a(void *ctx)
{
    say(ctx, 'a');
}

static void say_b(void *ctx)
{
    say(ctx, 'b');
}

static void say_stop(void *ctx)
{
    scene *s = ctx;
    say(s, 's');
    pubsub_host_stop(s->host);
}

static void test_host_run_ends_by_time_and_by_stop(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    uint64_t before = kit_now();
    assert_int_equal(pubsub_host_run(s.host, 0), PUBSUB_ETIMEDOUT);
    assert_int_equal(pubsub_host_run(s.host, 20), PUBSUB_ETIMEDOUT);
    assert_true(kit_now() - before >= 19000000u);
    pubsub_host_stop(s.host);
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_int_equal(pubsub_host_run(s.host, 1), PUBSUB_ETIMEDOUT);
    assert_int_equal(pubsub_host_run(s.host, -2), PUBSUB_EINVAL);
    assert_int_equal(s.host->post(s.host, say_stop, &s), PUBSUB_OK);
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_string_equal(s.said, "s");
    end_host(s.host);
}

static void nested(void *ctx)
{
    scene *s = ctx;
    s->count = pubsub_host_run(s->host, 0) == PUBSUB_EINVAL;
    pubsub_host_stop(s->host);
}

static void test_host_run_refuses_to_nest(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_int_equal(s.host->post(s.host, nested, &s), PUBSUB_OK);
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_int_equal(s.count, 1);
    end_host(s.host);
}

static void test_host_timers_run_in_order_of_time(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    uint64_t before = 0;
    s.timers[0] = s.host->timer_new(s.host, say_a, &s);
    s.timers[1] = s.host->timer_new(s.host, say_b, &s);
    s.timers[2] = s.host->timer_new(s.host, say_stop, &s);
    s.host->timer_start(s.timers[2], 30);
    s.host->timer_start(s.timers[1], 10);
    s.host->timer_start(s.timers[0], 0);
    before = s.host->now_ns(s.host);
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_string_equal(s.said, "abs");
    assert_true(s.host->now_ns(s.host) - before >= 28000000u);
    /* Set anew: only the last setting counts. Stopped: none does. */
    s.host->timer_start(s.timers[0], 1);
    s.host->timer_start(s.timers[0], 100000);
    s.host->timer_start(s.timers[1], 0);
    s.host->timer_stop(s.timers[1]);
    s.host->timer_start(s.timers[2], 20);
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_string_equal(s.said, "abss");
    for (int i = 0; i < 3; i++) {
        s.host->timer_free(s.timers[i]);
    }
    s.host->timer_free(NULL);
    end_host(s.host);
}

static void free_others(void *ctx)
{
    scene *s = ctx;
    say(s, 'f');
    for (int i = 0; i < 3; i++) {
        s->host->timer_free(s->timers[i]);
        s->timers[i] = NULL;
    }
}

static void test_host_timers_may_be_freed_by_one_that_runs(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    s.timers[0] = s.host->timer_new(s.host, free_others, &s);
    s.timers[1] = s.host->timer_new(s.host, say_a, &s);
    s.timers[2] = s.host->timer_new(s.host, say_a, &s);
    s.timers[3] = s.host->timer_new(s.host, say_stop, &s);
    for (int i = 0; i < 4; i++) {
        s.host->timer_start(s.timers[i], 0);
    }
    assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
    assert_string_equal(s.said, "fs");
    s.host->timer_start(s.timers[3], 0);
    s.host->timer_free(s.timers[3]);
    end_host(s.host);
}

static void again_at_once(void *ctx)
{
    scene *s = ctx;
    s->count++;
    s->host->timer_start(s->timers[0], 0);
}

static void on_bits(void *ctx, uint32_t bits)
{
    scene *s = ctx;
    s->bits |= bits;
    pubsub_host_stop(s->host);
}

static void test_host_timer_at_zero_starves_no_descriptor(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.fds), 0);
    s.timers[0] = s.host->timer_new(s.host, again_at_once, &s);
    s.host->timer_start(s.timers[0], 0);
    s.watch = s.host->watch_new(s.host, s.fds[0], on_bits, &s);
    s.host->watch_set(s.watch, PUBSUB_HOST_READ);
    assert_int_equal(write(s.fds[1], "x", 1), 1);
    assert_int_equal(pubsub_host_run(s.host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
    assert_int_equal(s.bits, PUBSUB_HOST_READ);
    assert_true(s.count >= 1);
    s.host->watch_free(s.watch);
    s.host->timer_free(s.timers[0]);
    (void)close(s.fds[0]);
    (void)close(s.fds[1]);
    end_host(s.host);
}

static void test_host_watch_is_level_triggered(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.fds), 0);
    s.watch = s.host->watch_new(s.host, s.fds[0], on_bits, &s);
    assert_non_null(s.watch);
    assert_int_equal(write(s.fds[1], "x", 1), 1);
    assert_int_equal(pubsub_host_run(s.host, 0), PUBSUB_ETIMEDOUT); /* nothing asked for */
    s.host->watch_set(s.watch, PUBSUB_HOST_READ | PUBSUB_HOST_WRITE);
    for (int i = 0; i < 2; i++) {
        s.bits = 0;
        assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
        assert_int_equal(s.bits, PUBSUB_HOST_READ | PUBSUB_HOST_WRITE);
    }
    s.host->watch_set(s.watch, PUBSUB_HOST_READ);
    (void)close(s.fds[1]); /* a hang-up is readable, each time */
    for (int i = 0; i < 2; i++) {
        s.bits = 0;
        assert_int_equal(pubsub_host_run(s.host, -1), PUBSUB_OK);
        assert_int_equal(s.bits, PUBSUB_HOST_READ);
    }
    s.host->watch_free(s.watch);
    (void)close(s.fds[0]);
    end_host(s.host);
}

static void test_host_watch_refuses_what_cannot_be_watched(void **state)
{
    (void)state;
    pubsub_host *host = new_host();
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_null(host->watch_new(host, fileno(file), on_bits, NULL));
    assert_null(host->watch_new(host, -1, on_bits, NULL));
    host->watch_free(NULL);
    (void)fclose(file);
    end_host(host);
}

/* ---- posting from many threads --------------------------------------------------------------- */

enum { THREADS = 8, POSTS = 2000 };

typedef struct crowd {
    pubsub_host *host;
    unsigned next[THREADS];
    unsigned done; /* the host's thread's */
    bool disorder;
} crowd;

typedef struct one_post {
    crowd *crowd;
    unsigned thread;
    unsigned number;
} one_post;

typedef struct member {
    crowd *crowd;
    one_post posts[POSTS];
} member;

static void arrived(void *ctx)
{
    one_post *post = ctx;
    crowd *all = post->crowd;
    if (all->next[post->thread]++ != post->number) {
        all->disorder = true;
    }
    if (++all->done == THREADS * POSTS) {
        pubsub_host_stop(all->host);
    }
}

static void *post_many(void *ctx)
{
    member *self = ctx;
    for (unsigned i = 0; i < POSTS; i++) {
        if (self->crowd->host->post(self->crowd->host, arrived, &self->posts[i]) != PUBSUB_OK) {
            return ctx;
        }
    }
    return NULL;
}

static void test_host_post_from_many_threads_keeps_order(void **state)
{
    (void)state;
    static member members[THREADS];
    crowd all = {.host = new_host()};
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        members[t].crowd = &all;
        for (unsigned i = 0; i < POSTS; i++) {
            members[t].posts[i] = (one_post){&all, t, i};
        }
        assert_int_equal(pthread_create(&threads[t], NULL, post_many, &members[t]), 0);
    }
    assert_int_equal(pubsub_host_run(all.host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
    for (unsigned t = 0; t < THREADS; t++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[t], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(all.done, THREADS * POSTS);
    assert_false(all.disorder);
    end_host(all.host);
}

static void post_late(void *ctx)
{
    scene *s = ctx;
    say(s, 'p');
    s->count = s->host->post(s->host, say_a, s) == PUBSUB_ECLOSED;
}

static void test_host_free_runs_what_was_posted(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_int_equal(s.host->post(s.host, post_late, &s), PUBSUB_OK);
    end_host(s.host);
    assert_string_equal(s.said, "p");
    assert_int_equal(s.count, 1);
}

/* ---- signals ---------------------------------------------------------------------------------- */

static pubsub_host *to_stop;

static void stop_by_handler(int number)
{
    (void)number;
    pubsub_host_stop(to_stop);
}

static void test_host_stop_from_a_signal_handler(void **state)
{
    (void)state;
    pubsub_host *host = new_host();
    struct sigaction action = {.sa_handler = stop_by_handler};
    struct sigaction before;
    to_stop = host;
    assert_int_equal(sigaction(SIGUSR2, &action, &before), 0);
    assert_int_equal(raise(SIGUSR2), 0);
    assert_int_equal(pubsub_host_run(host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
    assert_int_equal(sigaction(SIGUSR2, &before, NULL), 0);
    end_host(host);
}

static void on_signal(void *ctx, int number)
{
    scene *s = ctx;
    s->count = (unsigned)number;
    pubsub_host_stop(s->host);
}

static void test_host_calls_for_signals(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_true(bridge_host_on_signal(s.host, SIGUSR1, on_signal, &s));
    assert_true(bridge_host_on_signal(s.host, SIGUSR1, on_signal, &s));
    assert_false(bridge_host_on_signal(s.host, SIGKILL, on_signal, &s));
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(pubsub_host_run(s.host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
    assert_int_equal(s.count, SIGUSR1);
    assert_true(bridge_host_on_signal(s.host, SIGUSR1, NULL, NULL));
    assert_true(bridge_host_on_signal(s.host, SIGUSR1, on_signal, &s)); /* left for free */
    assert_non_null(bridge_host_loop(s.host));
    end_host(s.host);
}

static void break_pipe(void *ctx)
{
    scene *s = ctx;
    s->count = write(s->fds[1], "x", 1) < 0;
    pubsub_host_stop(s->host);
}

static void test_host_holds_sigpipe_back(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    struct sigaction plain = {.sa_handler = SIG_DFL};
    struct sigaction before;
    assert_int_equal(sigaction(SIGPIPE, &plain, &before), 0);
    assert_int_equal(pipe(s.fds), 0);
    (void)close(s.fds[0]);
    assert_int_equal(s.host->post(s.host, break_pipe, &s), PUBSUB_OK);
    assert_int_equal(pubsub_host_run(s.host, kit_ms(KIT_PATIENCE)), PUBSUB_OK);
    assert_int_equal(s.count, 1); /* and the program is still there */
    (void)close(s.fds[1]);
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
    end_host(s.host);
}

static void test_host_survives_no_memory(void **state)
{
    (void)state;
    pubsub_host *host = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__alloc_fail_at(1);
    assert_int_equal(pubsub_host_new(&host, &err), PUBSUB_ENOMEM);
    assert_null(host);
    host = new_host();
    pubsub__alloc_fail_at(1);
    assert_null(host->timer_new(host, say_a, NULL));
    pubsub__alloc_fail_at(1);
    assert_null(host->watch_new(host, 0, on_bits, NULL));
    pubsub__alloc_fail_at(1);
    assert_int_equal(host->post(host, say_a, NULL), PUBSUB_ENOMEM);
    pubsub__alloc_fail_at(1);
    assert_false(bridge_host_on_signal(host, SIGUSR1, on_signal, NULL));
    pubsub__alloc_fail_at(0);
    end_host(host);
    pubsub_host_free(NULL);
}

static void test_host_free_calls_the_ends_last_first(void **state)
{
    (void)state;
    scene s = {.host = new_host()};
    assert_true(bridge_host_at_end(s.host, say_a, &s));
    assert_true(bridge_host_at_end(s.host, say_b, &s));
    assert_int_equal(pubsub_host_run(s.host, 0), PUBSUB_ETIMEDOUT);
    assert_string_equal(s.said, "");
    end_host(s.host);
    assert_string_equal(s.said, "ba");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_run_ends_by_time_and_by_stop),
        cmocka_unit_test(test_host_run_refuses_to_nest),
        cmocka_unit_test(test_host_timers_run_in_order_of_time),
        cmocka_unit_test(test_host_timers_may_be_freed_by_one_that_runs),
        cmocka_unit_test(test_host_timer_at_zero_starves_no_descriptor),
        cmocka_unit_test(test_host_watch_is_level_triggered),
        cmocka_unit_test(test_host_watch_refuses_what_cannot_be_watched),
        cmocka_unit_test(test_host_post_from_many_threads_keeps_order),
        cmocka_unit_test(test_host_free_runs_what_was_posted),
        cmocka_unit_test(test_host_stop_from_a_signal_handler),
        cmocka_unit_test(test_host_calls_for_signals),
        cmocka_unit_test(test_host_holds_sigpipe_back),
        cmocka_unit_test(test_host_survives_no_memory),
        cmocka_unit_test(test_host_free_calls_the_ends_last_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
