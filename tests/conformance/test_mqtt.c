/* SPDX-License-Identifier: MIT */
#include "conformance/conf.h"

int main(int argc, char **argv)
{
    /* The one with stock limits shows what its Receive Maximum of 20 and its queue of 1,000 messages do;
     * what needs more room runs on the shared one. */
    static const conf_network mosquitto = {.kind = "mosquitto",
                                           .stock = "stock",
                                           .own = "generous,persistence,autosave",
                                           .attentive = "mqtt.keep_alive=1s"};
    static const conf_adapter mqtt = {.name = "mqtt", .network = &mosquitto, .expiry_step = 1000};
    return conf_main(&mqtt, argc, argv);
}
