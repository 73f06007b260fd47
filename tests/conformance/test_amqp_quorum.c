/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    static const conf_network rabbitmq = {.kind = "rabbitmq",
                                          .query = "queue_type=quorum",
                                          .own = "generous",
                                          .drains = true,
                                          .attentive = "amqp.heartbeat=1s"};
    static const conf_adapter amqp = {.name = "amqp", .label = "amqp+quorum", .network = &rabbitmq};
    return conf_main(&amqp, argc, argv);
}
