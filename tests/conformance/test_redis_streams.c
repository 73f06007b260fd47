/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    static const conf_network server = {.kind = "redis",
                                        .scheme = "redis+streams",
                                        .stock = "stock",
                                        .own = "generous,aof-always",
                                        .attentive = "redis.keep_alive=1s"};
    static const conf_adapter redis = {
        .name = "redis", .label = "redis+streams", .network = &server, .topics_apart = true};
    return conf_main(&redis, argc, argv);
}
