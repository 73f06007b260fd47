/* SPDX-License-Identifier: MIT */
#include "unit/client/fixture.h"

#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state, kit_mode mode)
{
    fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    kit_net_init(&f->net, mode);
    f->broker = scripted_new(&f->net);
    kit_watchdog("a test of the client", 30000);
    *state = f;
    return 0;
}

int fixture_set_up(void **state)
{
    return set_up(state, KIT_THREAD);
}

int fixture_set_up_inline(void **state)
{
    return set_up(state, KIT_INLINE);
}

int fixture_set_up_dispatch(void **state)
{
    return set_up(state, KIT_DISPATCH);
}

int fixture_tear_down(void **state)
{
    fixture *f = *state;
    kit_net_fini(&f->net);
    scripted_free(f->broker);
    kit_watchdog("", 0);
    free(f);
    return 0;
}

kit_peer *fixture_peer(fixture *f, const char *options)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "reconnect_min=1ms reconnect_max=5ms %s",
                   options != NULL ? options : "");
    return kit_peer_new(&f->net, scripted_url(f->broker), text);
}

kit_peer *fixture_connected(fixture *f, const char *options)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, options);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    return peer;
}

void fixture_cut(fixture *f, kit_peer *peer, size_t unknown)
{
    uint64_t connects = kit_stats(peer).connects;
    scripted_drop(f->broker, 0, unknown, PUBSUB_ELOST);
    AWAIT(f, kit_stats(peer).connects > connects);
}

void fixture_publish(kit_peer *peer, const char *prefix, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char payload[64];
        (void)snprintf(payload, sizeof(payload), "%s%zu", prefix, i);
        kit_publish(peer, "t", payload);
    }
}
