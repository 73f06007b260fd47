/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    static const conf_network server = {.kind = "redis",
                                        .stock = "stock",
                                        .own = "generous,aof-always",
                                        .attentive = "redis.keep_alive=1s"};
    static const conf_adapter redis = {.name = "redis", .network = &server};
    return conf_main(&redis, argc, argv);
}
