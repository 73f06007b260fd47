/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/crc32c.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define CRC32C_POLY 0x82f63b78u /* reflected */

typedef uint32_t (*crc_fn)(uint32_t crc, const uint8_t *data, size_t len);

static uint32_t g_table[4][256];
static atomic_int g_table_ready;

/* Threads that race here write the same values, so the table needs no lock; the release store makes
 * it visible. */
static void build_table(void)
{
    uint32_t table[4][256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? CRC32C_POLY : 0u);
        }
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int slice = 1; slice < 4; slice++) {
            uint32_t below = table[slice - 1][i];
            table[slice][i] = (below >> 8) ^ table[0][below & 0xffu];
        }
    }
    static atomic_flag building = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&building)) {
        memcpy(g_table, table, sizeof(g_table));
        atomic_store_explicit(&g_table_ready, 1, memory_order_release);
    }
    while (atomic_load_explicit(&g_table_ready, memory_order_acquire) == 0) {
    }
}

static uint32_t crc_table(uint32_t crc, const uint8_t *data, size_t len)
{
    if (atomic_load_explicit(&g_table_ready, memory_order_acquire) == 0) {
        build_table();
    }
    while (len >= 4) {
        crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
               (uint32_t)data[3] << 24;
        crc = g_table[3][crc & 0xffu] ^ g_table[2][(crc >> 8) & 0xffu] ^
              g_table[1][(crc >> 16) & 0xffu] ^ g_table[0][crc >> 24];
        data += 4;
        len -= 4;
    }
    for (; len > 0; len--) {
        crc = (crc >> 8) ^ g_table[0][(crc ^ *data++) & 0xffu];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *data,
                                                               size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--) {
        crc = __builtin_ia32_crc32qi(crc, *data++);
    }
    return crc;
}

static int have_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__linux__)
__attribute__((target("+crc"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *data,
                                                             size_t len)
{
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        crc = __builtin_aarch64_crc32cx(crc, word);
    }
    for (; len > 0; len--) {
        crc = __builtin_aarch64_crc32cb(crc, *data++);
    }
    return crc;
}

static int have_hardware(void)
{
    return (getauxval(AT_HWCAP) & (1ul << 7)) != 0; /* HWCAP_CRC32 */
}
#else
#define crc_hardware crc_table
static int have_hardware(void)
{
    return 0;
}
#endif

uint32_t pubsub__crc32c(uint32_t crc, const void *data, size_t len)
{
    static _Atomic(crc_fn) chosen;
    crc_fn fn = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (fn == NULL) {
        fn = have_hardware() ? crc_hardware : crc_table;
        atomic_store_explicit(&chosen, fn, memory_order_relaxed);
    }
    return len == 0 ? crc : ~fn(~crc, data, len);
}

uint32_t pubsub__crc32c_table(uint32_t crc, const void *data, size_t len)
{
    return len == 0 ? crc : ~crc_table(~crc, data, len);
}
