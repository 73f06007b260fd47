/* SPDX-License-Identifier: MIT */
#include "connectors/table.h"

#include <string.h>

/* In the order in which they are listed to people; NULL ends it. */
static const pubsub_connector *const built_in[] = {
    &bridge_connector_broker,
    &bridge_connector_couchdb,
    &bridge_connector_webhook,
    &bridge_connector_exec,
    NULL,
};

const pubsub_connector *pubsub_connector_at(size_t index)
{
    return index < sizeof(built_in) / sizeof(built_in[0]) ? built_in[index] : NULL;
}

const pubsub_connector *pubsub_connector_find(const char *name)
{
    for (size_t i = 0; built_in[i] != NULL; i++) {
        if (strcmp(built_in[i]->name, name) == 0) {
            return built_in[i];
        }
    }
    return NULL;
}
