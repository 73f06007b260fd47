/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_OPTIONS_H
#define PUBSUB_KAFKA_OPTIONS_H

#include <pubsub/spi/option.h>

extern const pubsub_option_row pubsub__kafka_option_rows[];

/* The check of librdkafka's own settings, conf.c. */
pubsub_err pubsub__kafka_check_setting(const pubsub_option_row *row, const char *name,
                                       const char *value, pubsub_error *err);

#endif
