/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

#include <stdio.h>

/* A new directory for each case. */
static void fresh_place(char *url, size_t size)
{
    static char path[KIT_PATH_MAX];
    if (path[0] != '\0') {
        kit_dir_remove(path); /* the case before has ended */
    }
    kit_dir_new(path);
    (void)snprintf(url, size, "local:%s/bus", path);
}

/* A directory cannot be made below a device. */
static void dead_place(char *url, size_t size)
{
    (void)snprintf(url, size, "local:/dev/null/bus");
}

int main(int argc, char **argv)
{
    static const conf_adapter local = {.name = "local", .url = fresh_place, .dead_url = dead_place};
    return conf_main(&local, argc, argv);
}
