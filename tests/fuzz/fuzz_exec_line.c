/* SPDX-License-Identifier: MIT */
#include "connectors/exec/line.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    exec_line line;
    const pubsub_bytes bytes = {data, size};
    exec_line_init(&line);
    for (int twice = 0; twice < 2; twice++) {
        exec_line_parse(&line, bytes);
        FUZZ_CHECK((line.kind == EXEC_LINE_BAD) == (line.why != NULL));
        if (line.kind == EXEC_LINE_EVENT) {
            FUZZ_CHECK(line.document.len > 0 && line.document.len <= size);
        }
        FUZZ_CHECK(line.kind != EXEC_LINE_POSITION || line.position.len > 0);
    }
    exec_line_fini(&line);
    return 0;
}
