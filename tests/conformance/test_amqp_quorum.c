/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

/* docs/amqp.md, Queues that RabbitMQ forgets: every quorum queue is one. */
int main(int argc, char **argv)
{
    static const conf_network rabbitmq = {.kind = "rabbitmq",
                                          .query = "queue_type=quorum",
                                          .own = "generous",
                                          .drains = true,
                                          .writes_down = 2000,
                                          .attentive = "amqp.heartbeat=1s"};
    static const conf_adapter amqp = {
        .name = "amqp", .label = "amqp+quorum", .network = &rabbitmq, .returns_late = true};
    return conf_main(&amqp, argc, argv);
}
