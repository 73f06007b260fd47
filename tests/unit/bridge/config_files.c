/* SPDX-License-Identifier: MIT */
#include "unit/bridge/config_files.h"

#include "support/tempdir.h"

#include <stdlib.h>

int config_set_up(void **state)
{
    static char directory[KIT_PATH_MAX];
    kit_dir_new(directory);
    *state = directory;
    (void)setenv("STATE_DIRECTORY", "/var/lib/pubsub-bridge:/other", 1);
    (void)setenv("FAKE_CONNECTOR", FAKE_CONNECTOR, 1);
    return 0;
}

int config_tear_down(void **state)
{
    kit_dir_remove(*state);
    return 0;
}
