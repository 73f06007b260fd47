/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_OPTIONS_RESOLVE_H
#define PUBSUB_OPTIONS_RESOLVE_H

/* What a client really runs with: the URL and the options, merged. */

#include <pubsub/options.h>
#include <pubsub/url.h>

/* *out = options plus what the URL says: user, password, host and port (when it has one host), and
 * each query key, which is the name of a generic client option, of a row of `adapter` without its
 * prefix, or with it. `tls` is set when implied_tls (the scheme's, as in mqtts) is true. The same
 * thing given twice with different values is PUBSUB_EOPTION naming both places; a query key nobody
 * knows too, with the nearest name. Options that are out of place for a client are refused. opts
 * may be NULL. */
pubsub_err pubsub__options_resolve(pubsub_options **out, const pubsub_url *url, const char *adapter,
                                   bool implied_tls, const pubsub_options *opts, pubsub_error *err);

/* The value for a subscription or a publish: its own, else the client's, else the default. own and
 * client may be NULL. Results as pubsub_options_int / pubsub_options_get. */
pubsub_err pubsub__options_int2(const pubsub_options *own, const pubsub_options *client,
                                const char *name, int64_t *out);
const char *pubsub__options_get2(const pubsub_options *own, const pubsub_options *client,
                                 const char *name);

#endif
