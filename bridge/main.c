/* SPDX-License-Identifier: MIT */
/* pubsub-bridge: relays the events of connectors to any broker. */
#include "args.h"
#include "cmd.h"
#include "exit.h"
#include "report.h"
#include "say.h"

#include <pubsub/log.h>
#include <pubsub/version.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bridge_config *bridge_load(const bridge_args *args, const char *file)
{
    bridge_findings findings = {NULL, 0, 0};
    bridge_overrides overrides = {args->broker, args->sets, args->set_count};
    bridge_config *config = bridge_config_load(file, &overrides, &findings);
    if (config == NULL) {
        bridge_report_text(file, &findings);
    }
    bridge_findings_fini(&findings);
    return config;
}

static int version(void)
{
    printf("pubsub-bridge %s\nconnectors:", pubsub_version());
    const pubsub_connector *connector;
    for (size_t i = 0; (connector = pubsub_connector_at(i)) != NULL; i++) {
        printf(" %s", connector->name);
    }
    printf("\n");
    return BRIDGE_EXIT_OK;
}

static int run(const bridge_args *args)
{
    switch (args->command) {
    case BRIDGE_RUN:
        return bridge_cmd_run(args);
    case BRIDGE_CHECK:
        return bridge_cmd_check(args);
    case BRIDGE_STATUS:
        return bridge_cmd_status(args);
    case BRIDGE_SPOOL:
        return bridge_cmd_spool(args);
    case BRIDGE_CONNECTORS:
        return bridge_cmd_connectors(args);
    case BRIDGE_VERSION:
        return version();
    case BRIDGE_HELP:
        if (args->manual) {
            bridge_manual();
            return BRIDGE_EXIT_OK;
        }
        break;
    }
    return bridge_help(args->word_count > 0 ? args->words[0] : NULL) ? BRIDGE_EXIT_OK
                                                                     : BRIDGE_EXIT_USAGE;
}

static void on_log(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)ctx;
    bridge_say((int)level, component, "%s", text);
}

/* A descriptor that is not open at the start would be some file's or connection's later, and what is
 * printed would go there. */
static bool fill_standard_descriptors(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    return fd > STDERR_FILENO && close(fd) == 0;
}

int main(int argc, char **argv)
{
    bridge_args args;
    if (!fill_standard_descriptors()) {
        return BRIDGE_EXIT_FAILED;
    }
    if (!bridge_args_parse(&args, argc, argv)) {
        return BRIDGE_EXIT_USAGE;
    }
    pubsub_log_set(on_log, NULL);
    int code = run(&args);
    if (fflush(stdout) != 0 && errno != EPIPE) {
        bridge_error("cannot write to stdout: %s", strerror(errno));
        return BRIDGE_EXIT_FAILED;
    }
    return code;
}
