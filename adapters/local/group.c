/* SPDX-License-Identifier: MIT */
#include "local/internal.h"
struct local_group { int fd; local_group *link; };
int *pubsub__local_group_fd(local_group *group) { return &group->fd; }
local_group **pubsub__local_group_link(local_group *group) { return &group->link; }
uint64_t pubsub__local_groups_oldest(const local_store *store, bool *any) { (void)store; *any = false; return UINT64_MAX; }
pubsub_err pubsub__local_group_join(local_group **out, local_store *store, const local_group_options *options, bool *resumed, pubsub_error *err) { (void)out;(void)store;(void)options;(void)resumed; return pubsub__local_fail(err, PUBSUB_ENOTSUP, "groups of local: are not available yet"); }
void pubsub__local_group_leave(local_group *group) { (void)group; }
int pubsub__local_group_claim(local_group *group, local_claim *out, size_t max, size_t max_bytes, local_claim_info *info, pubsub_error *err) { (void)group;(void)out;(void)max;(void)max_bytes;(void)info;(void)err; return PUBSUB_ENOTSUP; }
pubsub_err pubsub__local_group_ack(local_group *group, const uint64_t *leases, size_t count, size_t *acked, pubsub_error *err) { (void)group;(void)leases;(void)count;(void)acked;(void)err; return PUBSUB_ENOTSUP; }
pubsub_err pubsub__local_group_nack(local_group *group, uint64_t lease, uint64_t delay_ms, bool count, pubsub_error *err) { (void)group;(void)lease;(void)delay_ms;(void)count;(void)err; return PUBSUB_ENOTSUP; }
pubsub_err pubsub__local_group_renew(local_group *group, pubsub_error *err) { (void)group;(void)err; return PUBSUB_ENOTSUP; }
uint32_t pubsub__local_group_bits(const local_group *group, uint32_t topic_bits) { (void)group; return topic_bits; }
pubsub_err pubsub__local_group_remove(local_store *store, const char *name, bool single, pubsub_error *err) { (void)store;(void)name;(void)single;(void)err; return PUBSUB_ENOTSUP; }
