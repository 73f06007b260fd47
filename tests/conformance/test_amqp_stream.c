/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

/* RabbitMQ 3.10 writes down the name of what coordinates its streams three minutes after it made it, or when
 * it ends; killed before, it answers for ever that the node of every stream is down. */
int main(int argc, char **argv)
{
    static const conf_network rabbitmq = {.kind = "rabbitmq",
                                          .query = "exchange=e%&stream=s%",
                                          .own = "generous",
                                          .drains = true,
                                          .matures = true,
                                          .attentive = "amqp.heartbeat=1s"};
    static const conf_adapter amqp = {.name = "amqp",
                                      .label = "amqp+stream",
                                      .network = &rabbitmq,
                                      .from_block = true,
                                      .headers_by_name = true,
                                      .blind_receipts = true};
    return conf_main(&amqp, argc, argv);
}
