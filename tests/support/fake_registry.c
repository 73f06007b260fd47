/* SPDX-License-Identifier: MIT */
/* In place of the registry of adapters, so that tests of the option table do not depend on which ones are
 * built: mqtt and amqp are here, kafka is known but not built. */
#include "options/known.h"

#include <string.h>

static pubsub_err check_acks(const pubsub_option_row *row, const char *name, const char *value,
                             pubsub_error *err)
{
    (void)row;
    if (strstr(name, ".x_") == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "unknown option '%.64s'", name);
    }
    return value[0] == '!' ? pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': no", name)
                           : PUBSUB_OK;
}

static const pubsub_option_row mqtt_rows[] = {
    {.name = "client_id",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .max = 23,
     .adapter = "mqtt",
     .help = "client identifier"},
    {.name = "keep_alive",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .min = 1000,
     .max = 65535000,
     .default_text = "30s",
     .adapter = "mqtt",
     .help = "seconds of silence before a ping"},
    {.name = "share_name",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_SUBSCRIBE,
     .adapter = "mqtt",
     .help = "name of the shared subscription"},
    {.name = NULL},
};

static const pubsub_option_row amqp_rows[] = {
    {.name = "exchange",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .default_text = "amq.topic",
     .adapter = "amqp",
     .help = "exchange to publish to"},
    {.name = "token",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .max = 4,
     .secret = true,
     .adapter = "amqp",
     .help = "a secret"},
    {.name = "*",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .adapter = "amqp",
     .check = check_acks,
     .help = "any name with x_ in front"},
    {.name = NULL},
};

static const struct {
    const char *name;
    const pubsub_option_row *rows;
} adapters[] = {{"mqtt", mqtt_rows}, {"kafka", NULL}, {"amqp", amqp_rows}};

#define COUNT (sizeof(adapters) / sizeof(adapters[0]))

const pubsub_option_row *pubsub__registry_option_rows(const char *adapter, bool *known)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(adapters[i].name, adapter) == 0) {
            *known = true;
            return adapters[i].rows;
        }
    }
    *known = false;
    return NULL;
}

const char *pubsub__registry_adapter_name(size_t index)
{
    return index < COUNT ? adapters[index].name : NULL;
}
