/* SPDX-License-Identifier: MIT */
/* The first byte chooses: a request as a stream of pieces, head and body, or a query. */
#include "http/head.h"

#include "fuzz/fuzz.h"

#include <string.h>

static void read_body(const bridge_head *head, pubsub_bytes data)
{
    bridge_chunks chunks;
    pubsub_bytes piece = {NULL, 0};
    size_t before = data.len;
    size_t content = 0;
    memset(&chunks, 0, sizeof(chunks));
    while (head->chunked) {
        bridge_chunk_result result = bridge_chunks_take(&chunks, &data, &piece);
        if (result != BRIDGE_CHUNK_PIECE) {
            break;
        }
        FUZZ_CHECK(piece.len > 0);
        content += piece.len;
    }
    FUZZ_CHECK(content + data.len <= before);
}

static void read_request(const char *data, size_t len)
{
    static bridge_head head;
    const char *why = NULL;
    size_t seen = 0;
    size_t end = 0;
    size_t again = 0;
    pubsub_bytes bytes = {data, 0};
    /* Found at the same place, however the bytes come in. */
    for (size_t have = 0; have <= len && end == 0; have += 1 + have / 8) {
        end = bridge_head_end(data, have, &seen);
    }
    again = 0;
    seen = 0;
    again = bridge_head_end(data, len, &seen);
    FUZZ_CHECK(end == 0 || end == again);
    if (again == 0) {
        return;
    }
    bytes.len = again;
    if (bridge_head_parse(&head, bytes, &why) != 0) {
        FUZZ_CHECK(why != NULL && why[0] != '\0');
        return;
    }
    FUZZ_CHECK(head.path.len > 0 && head.length >= -1);
    (void)bridge_head_find(&head, "content-length", NULL);
    bytes.data = data + again;
    bytes.len = len - again;
    read_body(&head, bytes);
}

static void read_query(const char *data, size_t len)
{
    pubsub__buf out;
    const pubsub_bytes bytes = {data, len};
    pubsub__buf_init(&out, 256);
    (void)bridge_query_find(bytes, "a", &out);
    pubsub__buf_reset(&out);
    if (bridge_percent_decode(bytes, false, &out)) {
        FUZZ_CHECK(out.len <= len);
    }
    pubsub__buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] == 'q') {
        read_query((const char *)data + 1, size - 1);
    } else {
        read_request((const char *)data + 1, size - 1);
    }
    return 0;
}
