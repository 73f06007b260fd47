/* SPDX-License-Identifier: MIT */
/* Any text as a format: refused with a position, or run over a message with odd bytes. */
#include "fuzz/fuzz.h"

#include "format.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pubsub_header headers[] = {{{"a", 1}, {"\x00\xff", 2}}, {{"\xff", 1}, {"", 0}}};
    static const cli_view view = {.n = UINT64_MAX,
                                  .recv_ns = UINT64_MAX,
                                  .ts_ns = 1,
                                  .topic = {"t", 1},
                                  .payload = {"\x00\"\\\xc3\xa9\xff", 6},
                                  .headers = headers,
                                  .header_count = 2,
                                  .position = "p",
                                  .qos = -1};
    char *text = malloc(size + 1);
    char err[256] = "";
    cli_format *format;
    pubsub__buf out;

    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    pubsub__buf_init(&out, SIZE_MAX / 4);
    format = cli_format_compile(text, err, sizeof(err));
    if (format == NULL) {
        FUZZ_CHECK(strstr(err, "position") != NULL);
    } else {
        FUZZ_CHECK(cli_format_run(format, &out, &view));
    }
    cli_format_free(format);
    pubsub__buf_fini(&out);
    free(text);
    return 0;
}
