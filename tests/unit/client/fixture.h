/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_UNIT_CLIENT_FIXTURE_H
#define PUBSUB_TESTS_UNIT_CLIENT_FIXTURE_H

/* A scripted broker and the clients of one test. */

#include "support/net.h"
#include "support/scripted_adapter.h"

typedef struct fixture {
    kit_net net;
    scripted *broker;
} fixture;

int fixture_set_up(void **state);          /* io=thread, the test polls */
int fixture_set_up_inline(void **state);   /* io=inline */
int fixture_set_up_dispatch(void **state); /* dispatch=thread */
int fixture_tear_down(void **state);

#define FIXTURE_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)
#define FIXTURE_INLINE_TEST(fn)                                                                    \
    cmocka_unit_test_setup_teardown(fn, fixture_set_up_inline, fixture_tear_down)
#define FIXTURE_DISPATCH_TEST(fn)                                                                  \
    cmocka_unit_test_setup_teardown(fn, fixture_set_up_dispatch, fixture_tear_down)

/* A client of the broker that reconnects within milliseconds. */
kit_peer *fixture_peer(fixture *f, const char *options);
/* The same, connected. */
kit_peer *fixture_connected(fixture *f, const char *options);
/* Lose link 0 and wait until it is there again. */
void fixture_cut(fixture *f, kit_peer *peer, size_t unknown);
/* Publish prefix0 .. prefix<n-1> to topic "t". */
void fixture_publish(kit_peer *peer, const char *prefix, size_t count);

#define AWAIT(f, cond) KIT_AWAIT(&(f)->net, cond)

#endif
