/* SPDX-License-Identifier: MIT */
#include "local/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"

#define JOIN_TRIES 100u /* a group can be removed while we open it */
#define NO_SLOT UINT32_MAX

int *pubsub__local_group_fd(local_group *group)
{
    return &group->fd;
}

local_group **pubsub__local_group_link(local_group *group)
{
    return &group->fork_link;
}

/* ---- joining --------------------------------------------------------------------------------------- */

static pubsub_err check_options(const local_group_options *options, pubsub_error *err)
{
    if (options->patterns.len > LOCAL_PATTERNS_MAX) {
        return pubsub__local_fail(err, PUBSUB_EINVAL,
                                  "the patterns of a group have at most %u bytes together",
                                  LOCAL_PATTERNS_MAX);
    }
    if ((options->flags & ~GRP_FLAGS) != 0) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "unknown flags of a group");
    }
    return PUBSUB_OK;
}

static pubsub_err create(local_group *group, const local_group_options *options, pubsub_error *err)
{
    local_store *store = group->store;
    uint64_t pos = 0, last_seq = 0;
    local_gap gap;
    bool has_gap;
    pubsub_err rc =
        pubsub__local_start(store, &options->from, &pos, &last_seq, &gap, &has_gap, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (has_gap && gap.reason == LOCAL_GAP_RETENTION) {
        pos = gap.from.offset; /* the first claim meets the gap and reports it */
    }
    local_position start = {store->ctl->epoch, pos};
    return pubsub__group_create(store, group->file, options, start, last_seq, err);
}

static bool same_patterns(const local_group *group, const local_group_options *options)
{
    const grp_head *head = group->head;
    return head->patterns_len == options->patterns.len &&
           (head->patterns_len == 0 ||
            memcmp(head->texts + head->name_len, options->patterns.data, head->patterns_len) == 0);
}

/* What an existing group says to somebody who wants to join. PUBSUB_ENOTFOUND: it was removed to make
 * room for a new one. */
static pubsub_err admit(local_group *group, const local_group_options *options, bool created,
                        pubsub_error *err)
{
    uint32_t live = pubsub__group_live(group);
    bool durable = (group->head->flags & LOCAL_GROUP_DURABLE) != 0;
    bool stale = live == 0 && !durable && !created;
    if (options->reset && live > 0) {
        return pubsub__local_fail(err, PUBSUB_EBUSY,
                                  "the group '%.80s' has %u members; reset it when they are gone",
                                  options->name, live);
    }
    if (stale || (options->reset && !created)) {
        (void)unlinkat(group->store->groups_fd, group->file, 0);
        return PUBSUB_ENOTFOUND;
    }
    if ((options->flags & LOCAL_GROUP_SINGLE) != 0 && live > 0) {
        return pubsub__local_fail(err, PUBSUB_EBUSY, "the durable name '%.80s' is in use",
                                  options->name);
    }
    if (!same_patterns(group, options)) {
        return pubsub__local_fail(err, PUBSUB_EINVAL,
                                  "the group or durable name '%.80s' has other patterns; use them, "
                                  "another name, or reset it",
                                  options->name);
    }
    if (group->head->flags != options->flags) {
        return pubsub__local_fail(
            err, PUBSUB_EINVAL, "the group '%.80s' is %s and %s; members must agree", options->name,
            durable ? "durable" : "not durable",
            (group->head->flags & LOCAL_GROUP_KEYED) != 0 ? "ordered by key"
                                                          : "not ordered by key");
    }
    return PUBSUB_OK;
}

static pubsub_err take_slot(local_group *group, pubsub_error *err)
{
    grp_table *table = group->table;
    for (uint32_t i = 0; i < GRP_MEMBERS; i++) {
        grp_member *member = &table->members[i];
        if (!pubsub__group_take_slot(group, i)) {
            continue;
        }
        if (member->used != 0) { /* its holder died */
            pubsub__group_give_back(group, i);
        }
        member->gen++;
        member->leased = 0;
        member->until_ns = pubsub__local_mono_ns() + group->lease_ns;
        member->used = 1;
        group->slot = i;
        group->gen = member->gen;
        return PUBSUB_OK;
    }
    return pubsub__local_fail(err, PUBSUB_EFULL, "the group has %u members, more do not fit",
                              GRP_MEMBERS);
}

static bool match_all(void *ctx, const char *topic, size_t len)
{
    (void)ctx;
    (void)topic;
    (void)len;
    return true;
}

/* The number of the record before the group's place, which is not known where it began at an offset. */
static uint64_t number_before(const local_group *group, uint64_t last)
{
    const local_filter all = {false, 0, match_all, NULL};
    uint64_t number = last;
    local_walk walk;
    local_raw raw;
    local_gap gap;
    pubsub__local_walk_init(&walk, group->store, group->table->next, 0);
    int next = LOCAL_NEXT_GAP;
    while (next == LOCAL_NEXT_GAP) {
        next = pubsub__local_walk_next(&walk, &all, &raw, &gap, NULL);
    }
    if (next == LOCAL_NEXT_RECORD) {
        number = raw.seq - 1;
    }
    pubsub__local_walk_fini(&walk);
    return number;
}

/* Under the group's lock. */
static uint64_t count_waiting(const local_group *group)
{
    grp_table *table = group->table;
    uint64_t last = atomic_load(&group->store->ctl->seq) - 1;
    uint64_t seen = table->next_seq != 0 ? table->next_seq : number_before(group, last);
    uint64_t open = 0;
    for (uint64_t i = table->ring_head; i < table->ring_tail; i++) {
        open += grp_at(table, i)->state != GRP_DONE;
    }
    return open + (last > seen ? last - seen : 0);
}

uint64_t pubsub__local_group_waiting(const local_group *group)
{
    return group->waiting;
}

static pubsub_err join_file(local_group *group, const local_group_options *options, bool *resumed,
                            pubsub_error *err)
{
    bool created = false;
    bool single = (options->flags & LOCAL_GROUP_SINGLE) != 0;
    for (unsigned tries = 0; tries < JOIN_TRIES; tries++) {
        pubsub_err rc = pubsub__group_attach(group, options->name, single, err);
        if (rc == PUBSUB_ENOTFOUND) {
            rc = create(group, options, err);
            created = rc == PUBSUB_OK;
            if (rc != PUBSUB_OK && rc != PUBSUB_EBUSY) {
                return rc;
            }
            continue;
        }
        if (rc != PUBSUB_OK) {
            return rc;
        }
        rc = admit(group, options, created, err);
        if (rc == PUBSUB_OK) {
            rc = take_slot(group, err);
        }
        if (rc == PUBSUB_OK) {
            group->waiting = count_waiting(group);
            pubsub__group_unlock(group);
            *resumed = !created;
            return PUBSUB_OK;
        }
        pubsub__group_detach(group);
        if (rc != PUBSUB_ENOTFOUND) {
            return rc;
        }
        created = false;
    }
    return pubsub__local_fail(err, PUBSUB_EBUSY, "the group '%.80s' comes and goes", options->name);
}

pubsub_err pubsub__local_group_join(local_group **out, local_store *store,
                                    const local_group_options *options, bool *resumed,
                                    pubsub_error *err)
{
    bool went_on = false;
    *out = NULL;
    pubsub_err rc = pubsub__local_usable(store, true, err);
    if (rc == PUBSUB_OK) {
        rc = check_options(options, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    local_group *group = pubsub__calloc(1, sizeof(*group));
    if (group == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a group");
    }
    group->store = store;
    group->fd = -1;
    group->slot = NO_SLOT;
    group->filter = options->filter;
    group->lease_ns = (options->lease_ms != 0 ? options->lease_ms : 30000u) * UINT64_C(1000000);
    group->bit = 1u << (pubsub__crc32c(0, options->name, strlen(options->name)) % 31u);
    pubsub__local_walk_init(&group->walk, store, 0, 0);
    if ((options->flags & LOCAL_GROUP_KEYED) != 0) {
        group->keys = pubsub__calloc(GRP_RING * 2, sizeof(*group->keys));
        rc = group->keys != NULL ? PUBSUB_OK
                                 : pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a group");
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__group_file_name(group->file, options->name,
                                     (options->flags & LOCAL_GROUP_SINGLE) != 0, err);
    }
    pubsub__local_fork_add_group(store, group);
    if (rc == PUBSUB_OK) {
        rc = join_file(group, options, &went_on, err);
    }
    if (rc != PUBSUB_OK) {
        pubsub__local_group_leave(group);
        return rc;
    }
    if (resumed != NULL) {
        *resumed = went_on;
    }
    *out = group;
    return PUBSUB_OK;
}

/* ---- leaving ------------------------------------------------------------------------------------------ */

static void say_goodbye(local_group *group)
{
    bool durable = (group->head->flags & LOCAL_GROUP_DURABLE) != 0;
    pubsub__group_give_back(group, group->slot);
    group->table->members[group->slot].used = 0;
    if (!durable && pubsub__group_live(group) == 0) {
        (void)unlinkat(group->store->groups_fd, group->file, 0);
    } else if (durable) {
        /* Saves duplicates after a power failure; nothing depends on it. */
        (void)fdatasync(group->fd);
    }
}

void pubsub__local_group_leave(local_group *group)
{
    if (group == NULL) {
        return;
    }
    local_store *store = group->store;
    bool alive = group->slot != NO_SLOT && pubsub__group_lock(group, NULL) == PUBSUB_OK;
    if (alive) {
        say_goodbye(group);
    }
    pubsub__local_fork_remove_group(store, group);
    pubsub__group_detach(group); /* drops the locks: the others may see us gone now */
    if (alive) {
        pubsub__local_ring(store, group->bit);
    }
    for (uint32_t i = 0; i < group->held_count; i++) {
        pubsub__local_seg_put(store, group->held[i]);
    }
    pubsub__local_walk_fini(&group->walk);
    pubsub__free(group->keys);
    pubsub__free(group);
}

pubsub_err pubsub__local_group_remove(local_store *store, const char *name, bool single,
                                      pubsub_error *err)
{
    local_group group = {.store = store, .fd = -1, .slot = NO_SLOT};
    pubsub_err rc = pubsub__local_usable(store, true, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__group_file_name(group.file, name, single, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__group_attach(&group, name, single, err);
    }
    if (rc == PUBSUB_ENOTFOUND) {
        return pubsub__local_fail(err, rc, "there is no %s '%.80s' in %s",
                                  single ? "durable name" : "group", name, store->dir);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (pubsub__group_live(&group) > 0) {
        rc = pubsub__local_fail(err, PUBSUB_EBUSY, "'%.80s' is in use", name);
    } else if (unlinkat(store->groups_fd, group.file, 0) < 0) {
        rc = pubsub__local_fail_errno(store->dir, "cannot remove a group", errno, err);
    }
    pubsub__group_detach(&group);
    return rc;
}

/* ---- looking at groups ------------------------------------------------------------------------------------ */

static bool is_group_file(const char *name)
{
    size_t len = strlen(name);
    return len > 6 && strcmp(name + len - 4, ".grp") == 0 && (name[0] == 'g' || name[0] == 's') &&
           name[1] == '-';
}

static DIR *open_groups(const local_store *store)
{
    int fd = openat(store->groups_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0) {
        close(fd);
    }
    return dir;
}

/* Read the parts of a group file that mean something without its lock. */
static bool read_group(const local_store *store, const char *file, grp_head *head, grp_slot *slot,
                       int *fd)
{
    uint8_t slots[2 * GRP_SLOT_BYTES];
    size_t got = 0;
    *fd = openat(store->groups_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) {
        return false;
    }
    bool ok = pubsub__local_pread(*fd, head, sizeof(*head), 0, &got) == 0 && got == sizeof(*head) &&
              memcmp(head->magic, GRP_MAGIC, 8) == 0 && head->version == GRP_VERSION &&
              head->name_len <= LOCAL_GROUP_NAME_MAX &&
              pubsub__local_pread(*fd, slots, sizeof(slots), GRP_SLOTS_AT, &got) == 0 &&
              got == sizeof(slots);
    /* A writer may be in the middle of one slot; the other is whole then. */
    ok = ok && pubsub__group_read_slots(slots, slot);
    if (!ok) {
        close(*fd);
        *fd = -1;
    }
    return ok;
}

uint64_t pubsub__local_groups_oldest(const local_store *store, bool *any)
{
    uint64_t oldest = UINT64_MAX;
    *any = false;
    DIR *dir = open_groups(store);
    grp_head *head = pubsub__alloc(sizeof(*head));
    struct dirent *entry;
    while (dir != NULL && head != NULL && (entry = readdir(dir)) != NULL) {
        grp_slot slot = {0};
        int fd;
        if (!is_group_file(entry->d_name)) {
            continue;
        }
        bool known = read_group(store, entry->d_name, head, &slot, &fd);
        if (known) {
            close(fd);
        }
        /* A group that cannot be read may need everything. */
        if (!known || (head->flags & LOCAL_GROUP_DURABLE) != 0) {
            *any = true;
            oldest = slot.offset < oldest ? slot.offset : oldest;
        }
    }
    if (dir == NULL || head == NULL) {
        *any = true;
        oldest = 0;
    }
    pubsub__free(head);
    if (dir != NULL) {
        closedir(dir);
    }
    return oldest;
}

static void fill_info(const local_store *store, const grp_head *head, const grp_slot *slot, int fd,
                      local_group_info *info)
{
    memset(info, 0, sizeof(*info));
    memcpy(info->name, head->texts, head->name_len);
    info->flags = head->flags;
    info->position = (local_position){slot->epoch, slot->offset};
    grp_table *table = pubsub__alloc(offsetof(grp_table, ring));
    size_t got = 0;
    if (table != NULL &&
        pubsub__local_pread(fd, table, offsetof(grp_table, ring), GRP_TABLE_AT, &got) == 0 &&
        got == offsetof(grp_table, ring) &&
        memcmp(table->boot_id, store->ctl->boot_id, sizeof(table->boot_id)) == 0) {
        info->open_messages = table->ring_tail - table->ring_head;
        local_group group = {.fd = fd, .slot = NO_SLOT, .table = table};
        info->members = pubsub__group_live(&group);
    }
    pubsub__free(table);
}

pubsub_err pubsub__local_groups(local_store *store,
                                int (*fn)(void *ctx, const local_group_info *info), void *ctx,
                                pubsub_error *err)
{
    pubsub_err rc = pubsub__local_usable(store, false, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    DIR *dir = open_groups(store);
    grp_head *head = pubsub__alloc(sizeof(*head));
    if (dir == NULL || head == NULL) {
        rc = dir == NULL ? pubsub__local_fail_errno(store->dir, "cannot list groups", errno, err)
                         : pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a group");
    }
    struct dirent *entry;
    while (dir != NULL && head != NULL && (entry = readdir(dir)) != NULL) {
        grp_slot slot = {0};
        local_group_info info;
        int fd;
        if (!is_group_file(entry->d_name) || !read_group(store, entry->d_name, head, &slot, &fd)) {
            continue;
        }
        fill_info(store, head, &slot, fd, &info);
        close(fd);
        if (fn(ctx, &info) != 0) {
            break;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    pubsub__free(head);
    return rc;
}
