/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    /* A broker on a small machine has some thousand partitions at most, and each case makes topics. */
    static const conf_network broker = {
        .kind = "kafka",
        .query = "partitions=4&kafka.session.timeout.ms=6000",
        .spread = "partitions=4&keyless=spread&kafka.session.timeout.ms=6000",
        .own = "generous",
        .advertise = "advertised.listeners=PLAIN://127.0.0.1",
        .attentive = "kafka.keep_alive=1s",
        .reads_ahead = UINT64_C(32768) * 1024}; /* queued.max.messages.kbytes */
    static const conf_adapter kafka = {
        .name = "kafka",
        .network = &broker,
        .topics_apart = true,
        .topics_meet = true,
        .moves_open = true,
        .commits_prefix = true,
    };
    return conf_main(&kafka, argc, argv);
}
