/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include "base/alloc.h"

struct local_cursor {
    local_walk walk;
    local_filter filter;
    local_ret_scan retained;
    bool in_retained;
    bool has_gap; /* to be told first */
    local_gap gap;
    uint64_t expired;
};

pubsub_err pubsub__local_cursor_open(local_cursor **out, local_store *store, const local_from *from,
                                     const local_filter *filter, pubsub_error *err)
{
    *out = NULL;
    pubsub_err rc = pubsub__local_usable(store, false, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    local_cursor *cursor = pubsub__calloc(1, sizeof(*cursor));
    if (cursor == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a reader");
    }
    uint64_t pos = 0, last_seq = 0;
    /* The tail is noted before the retained values are looked at, and what is newer comes from the log: none is
     * lost, and none goes back to an older value. */
    rc = pubsub__local_start(store, from, &pos, &last_seq, &cursor->gap, &cursor->has_gap, err);
    pubsub__local_walk_init(&cursor->walk, store, pos, last_seq);
    cursor->filter = *filter;
    if (rc == PUBSUB_OK && from->kind == LOCAL_FROM_LAST) {
        rc = pubsub__local_retain_open(&cursor->retained, store, filter, pos, err);
        cursor->in_retained = rc == PUBSUB_OK;
    }
    if (rc != PUBSUB_OK) {
        pubsub__free(cursor);
        return rc;
    }
    *out = cursor;
    return PUBSUB_OK;
}

void pubsub__local_cursor_close(local_cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    pubsub__local_retain_close(&cursor->retained);
    pubsub__local_walk_fini(&cursor->walk);
    pubsub__free(cursor);
}

static bool next_retained(local_cursor *cursor, local_view *view)
{
    local_raw raw;
    while (pubsub__local_retain_next(&cursor->retained, &raw)) {
        if (pubsub__local_expired(&raw)) {
            cursor->expired++;
            continue;
        }
        uint64_t size = local_record_size(raw.body_len - 8u); /* the original has no origin field */
        pubsub__local_view_fill(view, &raw, raw.origin, raw.origin + size);
        view->flags |= LOCAL_FLAG_STORED;
        return true;
    }
    pubsub__local_retain_close(&cursor->retained);
    cursor->in_retained = false;
    return false;
}

int pubsub__local_cursor_next(local_cursor *cursor, local_view *view, local_gap *gap,
                              pubsub_error *err)
{
    local_raw raw;
    if (atomic_load_explicit(&cursor->walk.store->dead, memory_order_relaxed)) {
        return pubsub__local_usable(cursor->walk.store, false, err);
    }
    if (cursor->has_gap) {
        cursor->has_gap = false;
        *gap = cursor->gap;
        return LOCAL_NEXT_GAP;
    }
    if (cursor->in_retained && next_retained(cursor, view)) {
        return LOCAL_NEXT_RECORD;
    }
    for (;;) {
        int rc = pubsub__local_walk_next(&cursor->walk, &cursor->filter, &raw, gap, err);
        if (rc != LOCAL_NEXT_RECORD) {
            return rc;
        }
        if (!pubsub__local_expired(&raw)) {
            uint64_t end = cursor->walk.pos;
            pubsub__local_view_fill(view, &raw, end - raw.size, end);
            return LOCAL_NEXT_RECORD;
        }
        cursor->expired++;
    }
}

local_position pubsub__local_cursor_position(const local_cursor *cursor)
{
    return (local_position){cursor->walk.store->ctl->epoch, cursor->walk.pos};
}

uint64_t pubsub__local_cursor_behind(const local_cursor *cursor)
{
    const local_walk *walk = &cursor->walk;
    uint64_t tail = atomic_load_explicit(&walk->store->ctl->tail, memory_order_relaxed);
    return tail > walk->pos ? tail - walk->pos : 0;
}

uint64_t pubsub__local_cursor_expired(const local_cursor *cursor)
{
    return cursor->expired;
}
