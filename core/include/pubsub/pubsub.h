/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_PUBSUB_H
#define PUBSUB_PUBSUB_H

/** @file pubsub.h
 *  Everything a program needs; start reading in client.h. */

#include <pubsub/caps.h>
#include <pubsub/client.h>
#include <pubsub/error.h>
#include <pubsub/log.h>
#include <pubsub/message.h>
#include <pubsub/options.h>
#include <pubsub/request.h>
#include <pubsub/stats.h>
#include <pubsub/topic.h>
#include <pubsub/transport.h>
#include <pubsub/types.h>
#include <pubsub/url.h>
#include <pubsub/version.h>

#endif
