/* SPDX-License-Identifier: MIT */
/* Any bytes as a JSON line: refused with a text, or read so that writing it and reading that again gives
 * the same message. */
#include "fuzz/fuzz.h"

#include "jsonl.h"

#include <string.h>

static void same(pubsub_bytes a, pubsub_bytes b)
{
    FUZZ_CHECK(a.len == b.len);
    FUZZ_CHECK(a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void again(const pubsub_publication *read)
{
    cli_jsonl_reader *reader = cli_jsonl_reader_new();
    cli_view view = {.n = 1,
                     .broker = "fuzz",
                     .position = "",
                     .topic = read->topic,
                     .payload = read->payload,
                     .key = read->key,
                     .has_key = read->key.data != NULL,
                     .content_type = read->content_type,
                     .reply_to = read->reply_to,
                     .correlation = read->correlation,
                     .headers = read->headers,
                     .header_count = read->header_count,
                     .retained = (read->flags & PUBSUB_PUBLISH_RETAIN) != 0,
                     .tombstone = (read->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0};
    pubsub_publication back;
    cli_jsonl_error err;
    pubsub__buf line;

    pubsub__buf_init(&line, SIZE_MAX / 4);
    FUZZ_CHECK(reader != NULL && cli_jsonl_add(&line, &view));
    FUZZ_CHECK(cli_jsonl_read(reader, (pubsub_bytes){line.data, line.len - 1}, 0, &back, &err));
    same(back.topic, read->topic);
    same(back.payload, read->payload);
    same(back.key, read->key);
    same(back.content_type, read->content_type);
    same(back.reply_to, read->reply_to);
    same(back.correlation, read->correlation);
    FUZZ_CHECK(back.header_count == read->header_count && back.flags == read->flags);
    for (size_t i = 0; i < back.header_count; i++) {
        same(back.headers[i].name, read->headers[i].name);
        same(back.headers[i].value, read->headers[i].value);
    }
    pubsub__buf_fini(&line);
    cli_jsonl_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cli_jsonl_reader *reader = cli_jsonl_reader_new();
    pubsub_publication read;
    cli_jsonl_error err;

    FUZZ_CHECK(reader != NULL);
    if (cli_jsonl_read(reader, (pubsub_bytes){data, size}, 1, &read, &err)) {
        again(&read);
    } else {
        FUZZ_CHECK(err.text[0] != '\0');
    }
    cli_jsonl_reader_free(reader);
    return 0;
}
