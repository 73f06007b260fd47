/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

/* docs/amqp.md, Queues that RabbitMQ forgets: the first stream of a node is one. */
int main(int argc, char **argv)
{
    static const conf_network rabbitmq = {.kind = "rabbitmq",
                                          .query = "exchange=e%&stream=s%",
                                          .own = "generous",
                                          .drains = true,
                                          .writes_down = 2000,
                                          .attentive = "amqp.heartbeat=1s"};
    static const conf_adapter amqp = {.name = "amqp",
                                      .label = "amqp+stream",
                                      .network = &rabbitmq,
                                      .from_block = true,
                                      .headers_by_name = true,
                                      .blind_receipts = true};
    return conf_main(&amqp, argc, argv);
}
