/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    static const conf_network rabbitmq = {.kind = "rabbitmq",
                                          .own = "generous",
                                          .drains = true,
                                          .writes_down = 2000,
                                          .attentive = "amqp.heartbeat=1s"};
    static const conf_adapter amqp = {.name = "amqp", .network = &rabbitmq};
    return conf_main(&amqp, argc, argv);
}
