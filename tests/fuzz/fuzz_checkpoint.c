/* SPDX-License-Identifier: MIT */
/* Any bytes as a checkpoint's file: refused, or a position that gives the same bytes when written. */
#include "fuzz/fuzz.h"

#include "engine/checkpoint.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pubsub_bytes file = {data, size};
    pubsub_bytes model = pubsub_bytes_of("m");
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__buf position;
    pubsub__buf again;
    pubsub_err rc = bridge_checkpoint_parse("file", file, "r1", model, &position, &err);
    if (rc != PUBSUB_OK) {
        FUZZ_CHECK(rc == PUBSUB_ECORRUPT || rc == PUBSUB_EVERSION);
        FUZZ_CHECK(position.len == 0);
        FUZZ_CHECK(strstr(err.text, "file") != NULL);
    } else {
        FUZZ_CHECK(position.len > 0 && position.len <= PUBSUB_POSITION_BYTES_MAX);
        /* The same position, though maybe escaped in another way. */
        pubsub__buf_init(&again, SIZE_MAX / 4);
        FUZZ_CHECK(bridge_checkpoint_compose(&again, "r1", model,
                                             (pubsub_bytes){position.data, position.len}) == 0);
        pubsub__buf second;
        FUZZ_CHECK(bridge_checkpoint_parse("file", (pubsub_bytes){again.data, again.len}, "r1",
                                           model, &second, &err) == PUBSUB_OK);
        FUZZ_CHECK(second.len == position.len &&
                   memcmp(second.data, position.data, position.len) == 0);
        pubsub__buf_fini(&second);
        pubsub__buf_fini(&again);
    }
    pubsub__buf_fini(&position);
    return 0;
}
