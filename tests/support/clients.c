/* SPDX-License-Identifier: MIT */
#include "support/clients.h"

#include <stdio.h>
#include <stdlib.h>

kit_net kit_clients;

int kit_clients_set_up(void **state)
{
    (void)state;
    kit_net_init(&kit_clients, KIT_THREAD);
    return 0;
}

int kit_clients_tear_down(void **state)
{
    (void)state;
    kit_net_fini(&kit_clients);
    return 0;
}

const char *kit_option(const char *name, const char *value)
{
    static char texts[4][400];
    static size_t at;
    char *out = texts[at++ % 4];
    assert_true(snprintf(out, sizeof(texts[0]), "%s=%s", name, value) < (int)sizeof(texts[0]));
    return out;
}

pubsub_err kit_publish_qos(kit_peer *peer, const char *topic, int qos, pubsub_receipt *receipt,
                           pubsub_error *error)
{
    pubsub_publication publication = kit_publication(topic, "x");
    publication.qos = (pubsub_qos)qos;
    return pubsub_client_publish_wait(peer->client, &publication, kit_ms(KIT_PATIENCE), receipt,
                                      error);
}

pubsub_err kit_publish_zeros(kit_peer *peer, const char *topic, size_t size,
                             pubsub_receipt *receipt, pubsub_error *error)
{
    char *payload = calloc(1, size);
    assert_non_null(payload);
    pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
    publication.topic = pubsub_bytes_of(topic);
    publication.payload = (pubsub_bytes){payload, size};
    pubsub_err rc =
        pubsub_client_publish_wait(peer->client, &publication, kit_ms(30000), receipt, error);
    free(payload);
    return rc;
}
