/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CMOCKA_H
#define PUBSUB_TESTS_CMOCKA_H

/* cmocka with the headers it needs before it. Its assertions leave the test by longjmp: only on the
 * thread that runs the test, and never inside a handler. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
