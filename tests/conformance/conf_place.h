/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CONF_PLACE_H
#define PUBSUB_TESTS_CONF_PLACE_H

/* Where the cases of a program run: the adapter's own places, or the brokers behind it. For conf.c. The program for adapters of somebody else
 * has its own, program/place.c. */

#include "conformance/conf.h"

/* Whether there is a broker to test with; says why not. */
typedef enum conf_presence { CONF_PRESENT, CONF_ABSENT, CONF_MISSING } conf_presence;
/* CONF_ABSENT = the program is skipped; CONF_MISSING = it fails, because brokers are required. */
conf_presence conf_place_look(const conf_adapter *adapter);
/* Write a URL of the right scheme at which nothing is, for what does no I/O. */
void conf_place_nominal(const conf_adapter *adapter, char *url, size_t size);
/* The place of a case that is about to run: fills t->url and, for fault cases, broker and proxy. Inside
 * the test; skips it where there is nothing to break. */
void conf_place_prepare(conf *t, unsigned modes);
/* The case is over: nothing that is held up on the way may hold up the end. */
void conf_place_release(conf *t);
/* End brokers and proxy. */
void conf_place_end(void);

#endif
