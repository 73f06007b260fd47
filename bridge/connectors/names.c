/* SPDX-License-Identifier: MIT */
#include <pubsub/connector.h>

#include <string.h>

const char *pubsub_change_name(pubsub_change change)
{
    static const char *const names[] = {"unknown", "create", "update", "delete"};
    return (unsigned)change < sizeof(names) / sizeof(names[0]) ? names[change] : names[0];
}

const char *pubsub_source_state_name(pubsub_source_state state)
{
    static const char *const names[] = {"starting", "active", "waiting", "stopped", "ended"};
    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

const pubsub_setting_value *pubsub_setting_find(const pubsub_setting_value *values, size_t count,
                                                const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(values[i].name, name) == 0) {
            return &values[i];
        }
    }
    return NULL;
}
