/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_CRC32C_H
#define PUBSUB_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720 B.4) of data, continuing from crc; begin with 0. By the processor's
 * instruction where it has one. crc32c(crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t pubsub__crc32c(uint32_t crc, const void *data, size_t len);
/* The same by table, for tests and processors without the instruction. */
uint32_t pubsub__crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
