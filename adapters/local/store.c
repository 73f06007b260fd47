/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "local/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"
#include "local/internal.h"

#define OPEN_WAIT_NS (5 * LOCAL_NS_PER_S)   /* for somebody else's recovery */
#define REPAIR_WAIT_NS (LOCAL_NS_PER_S / 5) /* for programs that are just ending */

_Static_assert(sizeof(local_ctl) <= LOCAL_CTL_BYTES, "ctl does not fit its file");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share these words");

/* ---- the directory -------------------------------------------------------------------------- */

/* File systems on which locks, shared mappings or wake-ups do not reach every process that sees the
 * directory. Numbers from statfs(2) and the kernel's magic.h. */
static const char *network_fs(int64_t type)
{
    static const struct {
        int64_t type;
        const char *name;
    } table[] = {{0x6969, "NFS"},        {0x517b, "SMB"},        {0xfe534d42, "SMB2"},
                 {0xff534d42, "CIFS"},   {0x01021997, "9p"},     {0x65735546, "FUSE or virtiofs"},
                 {0x00c36400, "Ceph"},   {0x5346414f, "AFS"},    {0x6b414653, "AFS"},
                 {0x73757245, "Coda"},   {0x7461636f, "OCFS2"},  {0x01161970, "GFS2"},
                 {0x0bd00bd0, "Lustre"}, {0x786f4256, "vboxsf"}, {0x47504653, "GPFS"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type == type) {
            return table[i].name;
        }
    }
    return NULL;
}

static pubsub_err check_fs(const local_store *store, pubsub_error *err)
{
    struct statfs fs;
    if (fstatfs(store->dir_fd, &fs) < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot examine the file system", errno, err);
    }
    int64_t type = (int64_t)((uint64_t)fs.f_type & 0xffffffffu);
    if (pubsub__local_hooks.fs_type != 0) {
        type = pubsub__local_hooks.fs_type;
    }
    const char *name = network_fs(type);
    if (name == NULL) {
        return PUBSUB_OK;
    }
    return pubsub__local_fail(err, PUBSUB_ENOTSUP,
                              "%s is on %s, where processes cannot share a bus safely; use a "
                              "directory on a local disk",
                              store->dir, name);
}

static pubsub_err open_dir(local_store *store, const local_options *options, bool *is_bus,
                           pubsub_error *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    store->dir_fd = open(store->dir, flags);
    if (store->dir_fd < 0 && errno == ENOENT && !options->must_exist &&
        options->access != LOCAL_ACCESS_READ) {
        pubsub_err rc = pubsub__local_make_dirs(store->dir, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        store->dir_fd = open(store->dir, flags);
    }
    struct stat st;
    if (store->dir_fd < 0 || fstat(store->dir_fd, &st) < 0) {
        if (errno == ENOTDIR) {
            return pubsub__local_fail(err, PUBSUB_EINVAL, "%s is not a directory", store->dir);
        }
        if (errno == ENOENT) {
            return pubsub__local_fail(err, PUBSUB_ENOTFOUND, "there is no bus in %s", store->dir);
        }
        return pubsub__local_fail_errno(store->dir, "cannot open the bus", errno, err);
    }
    store->file_mode = (st.st_mode & 0666) | 0600;
    pubsub_err rc = check_fs(store, err);
    return rc == PUBSUB_OK ? pubsub__local_check_dir(store, is_bus, err) : rc;
}

static int make_subdir(const local_store *store, const char *name)
{
    struct stat st;
    if (fstat(store->dir_fd, &st) < 0) {
        return errno;
    }
    if (mkdirat(store->dir_fd, name, st.st_mode & 0777) < 0) {
        return errno == EEXIST ? 0 : errno;
    }
    return fchmodat(store->dir_fd, name, st.st_mode & 07777, 0) < 0 ? errno : 0;
}

/* Make an empty directory a bus. FORMAT comes last: without it nothing here counts. */
static pubsub_err create_bus(local_store *store, const local_options *options, pubsub_error *err)
{
    int sys = pubsub__local_flock(store->append_fd, LOCK_EX);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot lock the bus", sys, err);
    }
    bool is_bus = false, changed;
    pubsub_err rc = pubsub__local_check_dir(store, &is_bus, err);
    if (rc == PUBSUB_OK && !is_bus) {
        static const char *const subdirs[] = {"log", "ret", "groups"};
        for (int i = 0; i < 3 && sys == 0; i++) {
            sys = make_subdir(store, subdirs[i]);
        }
        local_settings settings;
        memset(&settings, 0, sizeof(settings));
        if (sys != 0) {
            rc = pubsub__local_fail_errno(store->dir, "cannot create the bus", sys, err);
        } else if (!pubsub__rand_secure(store->uuid, sizeof(store->uuid))) {
            rc = pubsub__local_fail(err, PUBSUB_ESYSTEM, "the kernel gives no random bytes");
        } else {
            rc = pubsub__local_settings_apply(store, options, &settings, &changed, err);
        }
        if (rc == PUBSUB_OK) {
            rc = pubsub__local_format_save(store, &settings, err);
        }
    }
    (void)pubsub__local_flock(store->append_fd, LOCK_UN);
    return rc;
}

/* ---- opening files ----------------------------------------------------------------------------- */

static pubsub_err open_append_lock(local_store *store, const local_options *options, bool is_bus,
                                   pubsub_error *err)
{
    if (options->access == LOCAL_ACCESS_READ || (!is_bus && options->must_exist)) {
        store->readonly = true;
        return is_bus
                   ? PUBSUB_OK
                   : pubsub__local_fail(err, PUBSUB_ENOTFOUND, "there is no bus in %s", store->dir);
    }
    store->append_fd = pubsub__local_create(store, store->dir_fd, "append.lock", 0);
    if (store->append_fd >= 0) {
        return PUBSUB_OK;
    }
    int sys = errno;
    if (is_bus && options->access == LOCAL_ACCESS_AUTO &&
        pubsub__local_errno_code(sys) == PUBSUB_EDENIED) {
        store->readonly = true;
        return PUBSUB_OK;
    }
    return pubsub__local_fail_errno(store->dir, "cannot write to the bus", sys, err);
}

static int open_lock(const local_store *store, const char *name)
{
    if (store->readonly) {
        return openat(store->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    return pubsub__local_create(store, store->dir_fd, name, 0);
}

static pubsub_err open_files(local_store *store, pubsub_error *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
    store->log_fd = openat(store->dir_fd, "log", flags);
    store->ret_fd = openat(store->dir_fd, "ret", flags);
    store->groups_fd = openat(store->dir_fd, "groups", flags);
    if (store->log_fd < 0 || store->ret_fd < 0 || store->groups_fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open the log", errno, err);
    }
    store->alive_fd = open_lock(store, "alive.lock");
    if (store->alive_fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open alive.lock", errno, err);
    }
    if (!store->readonly) {
        store->sync_fd = open_lock(store, "sync.lock");
        if (store->sync_fd < 0) {
            return pubsub__local_fail_errno(store->dir, "cannot open sync.lock", errno, err);
        }
    }
    return PUBSUB_OK;
}

/* Map `ctl`. With create its blocks are reserved first: a store into a hole on a full disk would be a
 * bus error, not an error. */
static pubsub_err map_ctl(local_store *store, bool create, pubsub_error *err)
{
    int fd = create ? pubsub__local_create(store, store->dir_fd, "ctl", 0)
                    : openat(store->dir_fd, "ctl",
                             (store->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open ctl", errno, err);
    }
    struct stat st;
    int sys = 0;
    if (create) {
        sys = pubsub__local_may_grow(LOCAL_CTL_BYTES);
        if (sys == 0) {
            sys = posix_fallocate(fd, 0, LOCAL_CTL_BYTES);
        }
    } else if (fstat(fd, &st) < 0 || st.st_size < (off_t)LOCAL_CTL_BYTES) {
        sys = ENOENT; /* cut short by a crash: to be made again */
    }
    if (sys == 0) {
        int prot = store->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
        void *map = mmap(NULL, LOCAL_CTL_BYTES, prot, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            sys = errno;
        } else {
            store->ctl = map;
        }
    }
    close(fd);
    return sys == 0 ? PUBSUB_OK : pubsub__local_fail_errno(store->dir, "cannot map ctl", sys, err);
}

static bool ctl_valid(const local_store *store)
{
    char boot_id[40];
    const local_ctl *ctl = store->ctl;
    pubsub__local_boot_id(boot_id);
    return ctl != NULL && memcmp(ctl->magic, "PSUBCTL1", 8) == 0 && ctl->version == 1 &&
           atomic_load_explicit(&ctl->ready, memory_order_acquire) == 1 &&
           memcmp(ctl->uuid, store->uuid, 16) == 0 && memcmp(ctl->boot_id, boot_id, 40) == 0;
}

/* ---- joining those who have the bus open ----------------------------------------------------------- */

/* With alive.lock held exclusively. */
static pubsub_err recover_alone(local_store *store, const local_settings *settings, bool force,
                                pubsub_error *err)
{
    if (store->ctl == NULL && map_ctl(store, false, NULL) != PUBSUB_OK) {
        pubsub_err rc = map_ctl(store, true, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        force = true; /* whatever is in the part that was there */
    }
    if (!force && ctl_valid(store)) {
        return PUBSUB_OK; /* somebody was faster */
    }
    int sys = pubsub__local_flock(store->append_fd, LOCK_EX);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot lock the bus", sys, err);
    }
    pubsub_err rc = pubsub__local_recover(store, settings, err);
    (void)pubsub__local_flock(store->append_fd, LOCK_UN);
    return rc;
}

/* Hold alive.lock shared with a valid ctl, recovering when this is the first opener of this boot. */
static pubsub_err join_bus(local_store *store, const local_settings *settings, bool repair,
                           pubsub_error *err)
{
    uint64_t deadline = pubsub__clock_mono_ns() + (repair ? REPAIR_WAIT_NS : OPEN_WAIT_NS);
    for (;;) {
        if (pubsub__local_flock(store->alive_fd, LOCK_SH | LOCK_NB) == 0) {
            pubsub_error why = PUBSUB_ERROR_INIT;
            pubsub_err rc = store->ctl == NULL ? map_ctl(store, false, &why) : PUBSUB_OK;
            if (rc != PUBSUB_OK && rc != PUBSUB_ENOTFOUND) {
                return pubsub__local_fail(err, rc, "%s", why.text);
            }
            if (!repair && ctl_valid(store)) {
                return PUBSUB_OK;
            }
            if (store->readonly) {
                return pubsub__local_fail(err, PUBSUB_EBUSY,
                                          "%s was not closed by a restart of the machine in good "
                                          "order; open it once with permission to write",
                                          store->dir);
            }
            (void)pubsub__local_flock(store->alive_fd, LOCK_UN);
            if (pubsub__local_flock(store->alive_fd, LOCK_EX | LOCK_NB) == 0) {
                rc = recover_alone(store, settings, repair, err);
                if (rc != PUBSUB_OK) {
                    return rc;
                }
                repair = false;
                continue; /* flock turns the exclusive lock into a shared one */
            }
        }
        uint64_t now = pubsub__clock_mono_ns();
        if (now > deadline) {
            return pubsub__local_fail(err, PUBSUB_EBUSY,
                                      repair ? "%s is in use; end the programs that use it first"
                                             : "%s is in use on another kernel, or its recovery "
                                               "takes long; try again",
                                      store->dir);
        }
        pubsub__clock_sleep_until(now + 2 * 1000 * 1000);
    }
}

/* Store settings that were given and differ from the bus's. */
static pubsub_err update_settings(local_store *store, const local_options *options,
                                  pubsub_error *err)
{
    local_settings settings;
    bool changed;
    memset(&settings, 0, sizeof(settings));
    pubsub_err rc = pubsub__local_append_lock(store, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    rc = pubsub__local_format_load(store, &settings, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_settings_apply(store, options, &settings, &changed, err);
    }
    if (rc == PUBSUB_OK && changed) {
        rc = pubsub__local_format_save(store, &settings, err);
    }
    if (rc == PUBSUB_OK) {
        atomic_store(&store->ctl->max_bytes, settings.max_bytes);
        atomic_store(&store->ctl->max_age_s, settings.max_age_s);
        atomic_store(&store->ctl->max_record, settings.max_record);
        atomic_store(&store->ctl->segment_bytes, settings.segment_bytes);
        atomic_store(&store->ctl->full, (uint32_t)settings.full);
    }
    pubsub__local_append_unlock(store);
    return rc;
}

/* ---- open and close ------------------------------------------------------------------------------- */

static local_store *store_new(void)
{
    local_store *store = pubsub__calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->dir_fd = store->log_fd = store->ret_fd = store->groups_fd = -1;
    store->append_fd = store->sync_fd = store->alive_fd = -1;
    store->write_fd = store->ret_write_fd = store->sync_seg_fd = -1;
    pthread_mutex_init(&store->append_mu, NULL);
    pthread_mutex_init(&store->sync_mu, NULL);
    pthread_mutex_init(&store->seg_mu, NULL);
    pubsub__local_fork_add(store);
    return store;
}

static pubsub_err choose_dir(local_store *store, const char *dir, pubsub_error *err)
{
    char path[4096];
    if (dir == NULL || dir[0] == '\0') {
        pubsub_err rc = pubsub__local_default_dir(NULL, path, sizeof(path), err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        dir = path;
    }
    store->dir = pubsub__strdup(dir);
    return store->dir != NULL ? PUBSUB_OK : pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory");
}

static pubsub_err open_bus(local_store *store, const local_options *options, pubsub_error *err)
{
    bool is_bus = false;
    bool gives_settings = options->max_bytes != 0 || options->max_age_s != 0 ||
                          options->max_record != 0 || options->segment_bytes != 0 ||
                          options->full != LOCAL_FULL_KEEP;
    local_settings settings;
    memset(&settings, 0, sizeof(settings));
    pubsub_err rc = choose_dir(store, options->dir, err);
    if (rc == PUBSUB_OK) {
        rc = open_dir(store, options, &is_bus, err);
    }
    if (rc == PUBSUB_OK) {
        rc = open_append_lock(store, options, is_bus, err);
    }
    if (rc == PUBSUB_OK && !is_bus) {
        rc = create_bus(store, options, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_format_load(store, &settings, err);
    }
    if (rc == PUBSUB_OK) {
        rc = open_files(store, err);
    }
    if (rc == PUBSUB_OK) {
        rc = join_bus(store, &settings, options->repair && !store->readonly, err);
    }
    if (rc == PUBSUB_OK) {
        pubsub__local_epochs_load(store);
        rc = gives_settings && !store->readonly ? update_settings(store, options, err) : PUBSUB_OK;
    }
    return rc;
}

pubsub_err pubsub__local_open(local_store **out, const local_options *options, pubsub_error *err)
{
    if (out == NULL || options == NULL) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "no options");
    }
    *out = NULL;
    local_store *store = store_new();
    if (store == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a bus");
    }
    pubsub_err rc = open_bus(store, options, err);
    if (rc != PUBSUB_OK) {
        pubsub__local_close(store);
        return rc;
    }
    *out = store;
    return PUBSUB_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void pubsub__local_close(local_store *store)
{
    if (store == NULL) {
        return;
    }
    pubsub__local_fork_remove(store);
    if (store->ctl != NULL) {
        munmap(store->ctl, LOCAL_CTL_BYTES);
    }
    int fds[] = {store->dir_fd,      store->log_fd,  store->ret_fd,   store->groups_fd,
                 store->append_fd,   store->sync_fd, store->write_fd, store->ret_write_fd,
                 store->sync_seg_fd, store->alive_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        close_fd(fds[i]);
    }
    pthread_mutex_destroy(&store->append_mu);
    pthread_mutex_destroy(&store->sync_mu);
    pthread_mutex_destroy(&store->seg_mu);
    pubsub__free(store->buf);
    pubsub__free(store->ret_buf);
    pubsub__free(store->dir);
    pubsub__free(store);
}

const char *pubsub__local_dir(const local_store *store)
{
    return store->dir;
}

bool pubsub__local_is_readonly(const local_store *store)
{
    return store->readonly;
}

uint64_t pubsub__local_max_record(const local_store *store)
{
    uint64_t record = atomic_load_explicit(&store->ctl->max_record, memory_order_relaxed);
    uint64_t segment = atomic_load_explicit(&store->ctl->segment_bytes, memory_order_relaxed);
    return record < segment - LOCAL_RECORD_SLACK ? record : segment - LOCAL_RECORD_SLACK;
}

uint64_t pubsub__local_max_payload(const local_store *store)
{
    return pubsub__local_max_record(store) - (LOCAL_DEFAULT_MAX_RECORD - LOCAL_MAX_PAYLOAD_DEFAULT);
}

const char *pubsub__local_uuid(const local_store *store)
{
    return store->uuid_text;
}
