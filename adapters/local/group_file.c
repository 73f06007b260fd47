/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "local/group.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/rand.h"

#define NAME_KEEP 150u /* of a long name; the rest is told apart by a hash */

/* ---- names -------------------------------------------------------------------------------------- */

pubsub_err pubsub__group_file_name(char buf[256], const char *name, bool single, pubsub_error *err)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0 || len > LOCAL_GROUP_NAME_MAX) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "a group or durable name has 1 to %u bytes",
                                  LOCAL_GROUP_NAME_MAX);
    }
    char text[LOCAL_GROUP_NAME_MAX * 3 + 1];
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (strchr(plain, c) != NULL) {
            text[used++] = (char)c;
        } else {
            text[used++] = '%';
            text[used++] = hex[c >> 4];
            text[used++] = hex[c & 15u];
        }
    }
    text[used] = '\0';
    if (used > NAME_KEEP + 30) {
        snprintf(text + NAME_KEEP, sizeof(text) - NAME_KEEP, "~%08x%08x",
                 pubsub__crc32c(0, name, len), pubsub__crc32c(0x5bd1e995u, name, len));
    }
    snprintf(buf, 256, "%c-%.200s.grp", single ? 's' : 'g', text);
    return PUBSUB_OK;
}

/* ---- committed position -------------------------------------------------------------------------- */

static uint32_t slot_crc(const grp_slot *slot)
{
    return pubsub__crc32c(0, slot, offsetof(grp_slot, crc));
}

bool pubsub__group_read_slots(const uint8_t bytes[2 * GRP_SLOT_BYTES], grp_slot *out)
{
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        grp_slot slot;
        memcpy(&slot, bytes + i * GRP_SLOT_BYTES, sizeof(slot));
        if (slot.crc == slot_crc(&slot) && slot.counter != 0 &&
            (!found || slot.counter > out->counter)) {
            *out = slot;
            found = true;
        }
    }
    return found;
}

static void write_slot(uint8_t *map, uint64_t counter, uint64_t offset, uint64_t seq,
                       uint32_t epoch)
{
    grp_slot slot = {counter, offset, seq, epoch, 0};
    slot.crc = slot_crc(&slot);
    memcpy(map + GRP_SLOTS_AT + (counter & 1u) * GRP_SLOT_BYTES, &slot, sizeof(slot));
}

void pubsub__group_commit(local_group *group)
{
    grp_table *table = group->table;
    while (table->ring_head < table->ring_tail &&
           grp_at(table, table->ring_head)->state == GRP_DONE) {
        table->ring_head++;
    }
    uint64_t offset = table->next, seq = table->next_seq;
    if (table->ring_head < table->ring_tail) {
        const grp_entry *entry = grp_at(table, table->ring_head);
        offset = entry->offset;
        seq = entry->seq - 1;
    }
    grp_slot last;
    if (pubsub__group_read_slots(group->map + GRP_SLOTS_AT, &last)) {
        table->slot_counter = last.counter;
        if (last.offset == offset && last.epoch == table->epoch) {
            return;
        }
    }
    table->slot_counter++;
    write_slot(group->map, table->slot_counter, offset, seq, table->epoch);
}

/* ---- creating --------------------------------------------------------------------------------------- */

static uint32_t head_crc(const grp_head *head)
{
    grp_head copy = *head;
    copy.crc = 0;
    return pubsub__crc32c(0, &copy, sizeof(copy));
}

static int write_file(const local_store *store, int fd, const local_group_options *options,
                      local_position start, uint64_t start_seq)
{
    static const uint64_t size = GRP_BYTES;
    uint8_t slots[2 * GRP_SLOT_BYTES] = {0};
    grp_head head;
    memset(&head, 0, sizeof(head));
    memcpy(head.magic, GRP_MAGIC, 8);
    head.version = GRP_VERSION;
    head.flags = options->flags;
    memcpy(head.uuid, store->uuid, 16);
    head.name_len = (uint32_t)strlen(options->name);
    head.patterns_len = (uint32_t)options->patterns.len;
    memcpy(head.texts, options->name, head.name_len);
    if (head.patterns_len > 0) {
        memcpy(head.texts + head.name_len, options->patterns.data, head.patterns_len);
    }
    head.crc = head_crc(&head);
    grp_slot slot = {1, start.offset, start_seq, start.epoch, 0};
    slot.crc = slot_crc(&slot);
    memcpy(slots + GRP_SLOT_BYTES, &slot, sizeof(slot));
    int rc = pubsub__local_may_grow(size);
    if (rc == 0) {
        rc = posix_fallocate(fd, 0, (off_t)size); /* it is written through a mapping later */
    }
    if (rc == 0) {
        rc = pubsub__local_pwrite(fd, &head, sizeof(head), 0);
    }
    if (rc == 0) {
        rc = pubsub__local_pwrite(fd, slots, sizeof(slots), GRP_SLOTS_AT);
    }
    if (rc == 0 && (options->flags & LOCAL_GROUP_DURABLE) != 0) {
        rc = pubsub__local_fdatasync(fd);
    }
    return rc;
}

pubsub_err pubsub__group_create(local_store *store, const char *file,
                                const local_group_options *options, local_position start,
                                uint64_t start_seq, pubsub_error *err)
{
    char tmp[40] = ".new-";
    pubsub__rand_name(tmp + 5, 16);
    int fd = pubsub__local_create(store, store->groups_fd, tmp, O_EXCL);
    if (fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot create a group", errno, err);
    }
    int rc = write_file(store, fd, options, start, start_seq);
    close(fd);
    /* A link appears whole or not at all, and not over another one. */
    if (rc == 0 && linkat(store->groups_fd, tmp, store->groups_fd, file, 0) < 0) {
        rc = errno;
    }
    unlinkat(store->groups_fd, tmp, 0);
    if (rc == 0 && (options->flags & LOCAL_GROUP_DURABLE) != 0 && fsync(store->groups_fd) < 0) {
        rc = errno;
    }
    if (rc == EEXIST) {
        return pubsub__local_fail(err, PUBSUB_EBUSY, "the group exists");
    }
    return rc == 0 ? PUBSUB_OK
                   : pubsub__local_fail_errno(store->dir, "cannot create a group", rc, err);
}

/* ---- attaching ---------------------------------------------------------------------------------------- */

pubsub_err pubsub__group_lock(local_group *group, pubsub_error *err)
{
    pubsub_err rc = pubsub__local_usable(group->store, true, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    int sys = pubsub__local_flock(group->fd, LOCK_EX);
    return sys == 0 ? PUBSUB_OK
                    : pubsub__local_fail_errno(group->store->dir, "cannot lock a group", sys, err);
}

void pubsub__group_unlock(local_group *group)
{
    (void)pubsub__local_flock(group->fd, LOCK_UN);
}

/* The volatile table of another boot: what was open is unknown, all after the slot comes again. */
static void reset_table(local_group *group)
{
    grp_table *table = group->table;
    grp_slot slot = {0};
    local_store *store = group->store;
    (void)pubsub__group_read_slots(group->map + GRP_SLOTS_AT, &slot);
    uint64_t end = pubsub__local_epoch_end(store, slot.epoch);
    /* A hint from the time before, of which the disk may have kept an older state. */
    uint64_t tail = atomic_load(&store->ctl->tail);
    bool sane = table->next > slot.offset && table->next <= tail && atomic_load(&table->ready) == 1;
    uint64_t again = sane ? table->next : table->again_until <= tail ? table->again_until : 0;
    atomic_store(&table->ready, 0);
    table->again_until = again;
    table->ring_head = table->ring_tail = 0;
    table->ready_count = table->wanted = 0;
    memset(table->members, 0, sizeof(table->members));
    table->slot_counter = slot.counter;
    table->next = slot.offset > end ? end : slot.offset;
    table->next_seq = slot.offset > end ? 0 : slot.seq;
    table->epoch = store->ctl->epoch;
    memcpy(table->boot_id, store->ctl->boot_id, sizeof(table->boot_id));
    atomic_store(&table->ready, 1);
}

void pubsub__group_settle(local_group *group)
{
    grp_table *table = group->table;
    if (atomic_load(&table->ready) != 1 || table->epoch != group->store->ctl->epoch ||
        memcmp(table->boot_id, group->store->ctl->boot_id, sizeof(table->boot_id)) != 0 ||
        table->ring_tail - table->ring_head > GRP_RING) {
        reset_table(group);
    }
    if (table->ring_tail > table->ring_head) {
        const grp_entry *last = grp_at(table, table->ring_tail - 1);
        if (last->end > table->next) { /* killed between the two steps of a claim */
            table->next = last->end;
            table->next_seq = last->seq;
        }
    }
}

static pubsub_err check_head(const local_group *group, const char *name, bool single,
                             pubsub_error *err)
{
    const grp_head *head = group->head;
    size_t len = strlen(name);
    if (memcmp(head->magic, GRP_MAGIC, 8) == 0 && head->version > GRP_VERSION) {
        return pubsub__local_fail(err, PUBSUB_EVERSION,
                                  "the group '%.60s' in %s was made by a newer version", name,
                                  group->store->dir);
    }
    if (memcmp(head->magic, GRP_MAGIC, 8) != 0 || head->version != GRP_VERSION ||
        head->name_len > LOCAL_GROUP_NAME_MAX || head->patterns_len > LOCAL_PATTERNS_MAX ||
        head->crc != head_crc(head) || memcmp(head->uuid, group->store->uuid, 16) != 0 ||
        head->name_len != len || memcmp(head->texts, name, len) != 0 ||
        ((head->flags & LOCAL_GROUP_SINGLE) != 0) != single) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT,
                                  "%s/groups/%.80s is damaged; remove it to begin anew",
                                  group->store->dir, group->file);
    }
    return PUBSUB_OK;
}

/* Map through a descriptor of its own: a mapping keeps the open file it was made with, and with it that
 * file's locks. A forked child, which inherits mappings, must not keep its parent's locks. */
static int map_whole(local_group *group)
{
    struct stat locked = {0}, mapped = {0};
    int fd = openat(group->store->groups_fd, group->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    int rc = fstat(group->fd, &locked) < 0 || fstat(fd, &mapped) < 0 ? errno : 0;
    if (rc == 0 && (locked.st_ino != mapped.st_ino || locked.st_nlink == 0)) {
        rc = ENOENT; /* it was removed, maybe there is a new one already */
    }
    if (rc == 0 && (uint64_t)mapped.st_size < GRP_BYTES) {
        rc = EBADMSG;
    }
    if (rc == 0) {
        void *map = mmap(NULL, GRP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            rc = errno;
        } else {
            group->map = map;
            group->head = map;
            group->table = (void *)(group->map + GRP_TABLE_AT);
        }
    }
    close(fd);
    return rc;
}

static pubsub_err map_file(local_group *group, const char *name, bool single, pubsub_error *err)
{
    int sys = map_whole(group);
    if (sys == EBADMSG) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT,
                                  "%s/groups/%.80s is damaged; remove it to begin anew",
                                  group->store->dir, group->file);
    }
    if (sys != 0) {
        return pubsub__local_fail_errno(group->store->dir, "cannot map a group", sys, err);
    }
    pubsub_err rc = check_head(group, name, single, err);
    if (rc == PUBSUB_OK) {
        pubsub__group_settle(group);
    }
    return rc;
}

pubsub_err pubsub__group_attach(local_group *group, const char *name, bool single,
                                pubsub_error *err)
{
    local_store *store = group->store;
    group->fd = openat(store->groups_fd, group->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (group->fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open a group", errno, err);
    }
    pubsub_err rc = pubsub__group_lock(group, err);
    if (rc == PUBSUB_OK) {
        rc = map_file(group, name, single, err);
    }
    if (rc != PUBSUB_OK) {
        pubsub__group_detach(group);
    }
    return rc;
}

void pubsub__group_detach(local_group *group)
{
    if (group->map != NULL) {
        munmap(group->map, GRP_BYTES);
        group->map = NULL;
    }
    if (group->fd >= 0) {
        close(group->fd);
        group->fd = -1;
    }
}

/* ---- members ------------------------------------------------------------------------------------------- */

static struct flock slot_lock(uint32_t slot)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)(GRP_LIVE_BASE + slot),
                         .l_len = 1};
    return lock;
}

bool pubsub__group_take_slot(const local_group *group, uint32_t slot)
{
    struct flock lock = slot_lock(slot);
    return fcntl(group->fd, F_OFD_SETLK, &lock) == 0;
}

bool pubsub__group_slot_live(const local_group *group, uint32_t slot)
{
    struct flock lock = slot_lock(slot);
    return fcntl(group->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

uint32_t pubsub__group_live(const local_group *group)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < GRP_MEMBERS; i++) {
        live += group->table->members[i].used != 0 && i != group->slot &&
                pubsub__group_slot_live(group, i);
    }
    return live;
}

void pubsub__group_give_back(local_group *group, uint32_t slot)
{
    grp_table *table = group->table;
    uint32_t ready = 0;
    table->ready_count = GRP_RING; /* too high is harmless, should we be killed in between */
    atomic_signal_fence(memory_order_seq_cst);
    for (uint64_t i = table->ring_head; i < table->ring_tail; i++) {
        grp_entry *entry = grp_at(table, i);
        if (entry->state == GRP_LEASED && entry->member == slot) {
            entry->ready_ns = 0;
            entry->state = GRP_READY;
        }
        ready += entry->state == GRP_READY;
    }
    table->ready_count = ready;
    table->members[slot].leased = 0;
}
