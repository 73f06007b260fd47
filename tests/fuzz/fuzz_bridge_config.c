/* SPDX-License-Identifier: MIT */
/* Any bytes as the bridge's file: refused with findings that show no secret, or read into something that
 * is complete. A first line that begins with `#!` is a --set. */
#include "fuzz/fuzz.h"

#include "base/alloc.h"
#include "config/reader.h"

#include <string.h>

#define SECRET "hush-hush-hush"

/* The fuzzer finds the secret in the program and writes it into the file; then it is none. */
static bool is_secret(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + strlen(SECRET) <= size; i++) {
        if (memcmp(data + i, SECRET, strlen(SECRET)) == 0) {
            return false;
        }
    }
    return true;
}

static void look_at_findings(const bridge_findings *findings, bool secret)
{
    for (size_t i = 0; i < findings->count; i++) {
        FUZZ_CHECK(findings->items[i].text[0] != '\0');
        FUZZ_CHECK(strchr(findings->items[i].text, '\n') == NULL);
        FUZZ_CHECK(!secret || strstr(findings->items[i].text, SECRET) == NULL);
        FUZZ_CHECK(i == 0 || findings->items[i - 1].mark.line <= findings->items[i].mark.line);
    }
}

static void look_at_config(const bridge_config *config)
{
    FUZZ_CHECK(config->route_count > 0 && config->source_count > 0 && config->broker_count > 0);
    FUZZ_CHECK(config->state != NULL && config->state[0] != '\0');
    for (size_t i = 0; i < config->source_count; i++) {
        FUZZ_CHECK(config->sources[i].connector != NULL);
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const bridge_route *route = &config->routes[i];
        FUZZ_CHECK(route->source < config->source_count && route->broker < config->broker_count);
        FUZZ_CHECK(route->model_count > 0 && route->changes != 0 && route->in_flight > 0);
        FUZZ_CHECK(strlen(route->name) <= BRIDGE_ROUTE_NAME_MAX &&
                   strchr(route->name, '/') == NULL);
        FUZZ_CHECK(bridge_config_same_route(config, i, config, i));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char set[200] = "";
    const char *sets[] = {set};
    bridge_overrides overrides = {.sets = sets};
    bridge_findings findings = {0};
    int64_t live = pubsub__alloc_live();
    const uint8_t *line = size > 2 ? memchr(data, '\n', size) : NULL;
    (void)setenv("FAKE_CONNECTOR", FAKE_CONNECTOR, 1);
    (void)setenv("STATE_DIRECTORY", "/var/lib/pubsub-bridge", 1);
    (void)setenv("T_SECRET", SECRET, 1);
    if (line != NULL && data[0] == '#' && data[1] == '!' && line - data < (ptrdiff_t)sizeof(set)) {
        memcpy(set, data + 2, (size_t)(line - data) - 2);
        overrides.set_count = 1;
    }
    bridge_config *config =
        bridge_config_read("/etc/bridge.yaml", (const char *)data, size, &overrides, &findings);
    FUZZ_CHECK((config == NULL) == (findings.count > 0));
    look_at_findings(&findings, is_secret(data, size));
    if (config != NULL) {
        look_at_config(config);
    }
    bridge_config_free(config);
    bridge_findings_fini(&findings);
    FUZZ_CHECK(pubsub__alloc_live() == live);
    return 0;
}
