/* knarr_restore.c - `knarr restore`: brings a backup into a data directory where no cluster runs.
 *
 * The archive is read whole and its store opened beside what is there; only then do names change
 * (swap.h), and what was there before stays in the folder restore.old. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cmd/archive.h"
#include "cmd/cluster.h"
#include "cmd/flags.h"
#include "cmd/output.h"
#include "cmd/swap.h"
#include "store/store.h"

enum { SMALL_MAX = 1024 * 1024 }; /* any file but the state */

typedef struct Restore {
    const char *dir;
    char fresh[PATH_MAX]; /* restore.new */
    bool has_state, has_options;
} Restore;

static bool safe_name(const char *name)
{
    if (name[0] == '/' || strstr(name, ".."))
        return false;
    for (const char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/", *p))
            return false;
    return strcmp(name, "store/state.db") == 0 || strcmp(name, "cluster.json") == 0 ||
           strncmp(name, "pki/", 4) == 0;
}

/* The first reading writes nothing: a damaged archive must be known before anything is made. */
static int look_at(void *ctx, const char *name, uint64_t size, Err *err)
{
    Restore *rs = ctx;
    bool state = strcmp(name, "store/state.db") == 0;
    if (!safe_name(name) || (!state && size > SMALL_MAX))
        return err_set(err, ERR_CORRUPT, 0, "file '%s' does not belong into a backup", name);
    rs->has_state |= state;
    rs->has_options |= strcmp(name, "cluster.json") == 0;
    return ARCHIVE_PASS;
}

static int make_file(void *ctx, const char *name, uint64_t size, Err *err)
{
    Restore *rs = ctx;
    char path[PATH_MAX], folder[PATH_MAX];
    snprintf(path, sizeof path, "%.3000s/%s", rs->fresh, name);
    memcpy(folder, path, sizeof folder);
    *strrchr(folder, '/') = 0;
    int r = mkdir_p(AT_FDCWD, folder, 0755);
    if (r < 0)
        return err_neg(err, r, "make '%s'", folder);
    const char *dot = strrchr(name, '.');
    mode_t mode = dot && strcmp(dot, ".crt") == 0 ? 0644 : 0600;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    return fd < 0 ? err_errno(err, "write '%s'", path) : fd;
}

static int own(const char *path, uid_t uid, mode_t mode, Err *err)
{
    if (lchown(path, uid, uid) < 0 || (mode && chmod(path, mode) < 0))
        return errno == ENOENT ? 0 : err_errno(err, "give '%s' to its user", path);
    return 0;
}

/* Files of a role belong to the user that the role has in this directory, on this machine. */
static int give_away(const Restore *rs, const Cluster *c, const char *name, Err *err)
{
    char path[PATH_MAX];
    if (strncmp(name, "store/", 6) == 0) {
        snprintf(path, sizeof path, "%.3000s/%s", rs->fresh, name);
        return own(path, role_uid(c, ROLE_SERVER), 0, err);
    }
    for (int id = 0; id < ROLE_MAX; id++) {
        size_t n = strlen(role_names[id]);
        if (strncmp(name, "pki/", 4) != 0 || strncmp(name + 4, role_names[id], n) != 0 ||
            name[4 + n] != '/')
            continue;
        snprintf(path, sizeof path, "%.3000s/pki/%s", rs->fresh, role_names[id]);
        int r = own(path, role_uid(c, (RoleId)id), 0700, err);
        snprintf(path, sizeof path, "%.3000s/%s", rs->fresh, name);
        return r < 0 ? r : own(path, role_uid(c, (RoleId)id), 0, err);
    }
    return 0;
}

typedef struct Owners {
    const Restore *rs;
    const Cluster *c;
} Owners;

static int own_file(void *ctx, const char *name, uint64_t size, Err *err)
{
    const Owners *o = ctx;
    int r = give_away(o->rs, o->c, name, err);
    return r < 0 ? r : ARCHIVE_PASS;
}

/* Options come from the backup: the same addresses, whatever this directory had before. */
static int set_owners(Restore *rs, int archive, Cluster *c, Err *err)
{
    static const char *const made[] = { "store/mark", "store/lock", "store/reserve",
                                        "store/state.db-wal" };
    SavedOptions saved;
    int r = cluster_load(rs->fresh, &saved, err);
    if (r < 0)
        return r;
    ClusterOptions opt = { rs->dir, saved.api_port, saved.pod_cidr, saved.service_cidr };
    if ((r = cluster_init(&opt, c, err)) < 0)
        return r;
    c->opt.pod_cidr = c->opt.service_cidr = NULL; /* do not outlive this function */
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.3000s/store", rs->fresh);
    r = own(path, role_uid(c, ROLE_SERVER), 0700, err);
    for (size_t i = 0; i < ARRAY_SIZE(made) && r == 0; i++)
        r = give_away(rs, c, made[i], err);
    Owners o = { rs, c };
    return r < 0 ? r : archive_read(archive, own_file, &o, err);
}

static int unpack(Restore *rs, int archive, uint64_t *ret_rev, Err *err)
{
    char store[PATH_MAX], before[PATH_MAX];
    Cluster c;
    snprintf(store, sizeof store, "%.3000s/store", rs->fresh);
    snprintf(before, sizeof before, "%s/store", rs->dir);
    int r = rm_rf(AT_FDCWD, rs->fresh);
    if (r < 0 || (r = mkdir_p(AT_FDCWD, rs->fresh, 0700)) < 0)
        return err_neg(err, r, "make '%s'", rs->fresh);
    if ((r = archive_read(archive, make_file, rs, err)) < 0 ||
        (r = store_adopt(store, before, ret_rev, err)) < 0)
        return r;
    return set_owners(rs, archive, &c, err);
}

static int restore(const char *dir, const char *file, uint64_t *ret_rev, Err *err)
{
    char path[PATH_MAX];
    Restore rs = { .dir = dir };
    snprintf(rs.fresh, sizeof rs.fresh, "%s/restore.new", dir);
    _cleanup_close_ int archive = open(file, O_RDONLY | O_CLOEXEC);
    if (archive < 0)
        return err_errno(err, "open '%s'", file);
    int r = archive_read(archive, look_at, &rs, err);
    if (r == 0 && (!rs.has_state || !rs.has_options))
        r = err_set(err, ERR_CORRUPT, 0, "the state or cluster.json is missing in it");
    if (r < 0)
        return err_wrap(err, "'%s'", file);
    if ((r = mkdir_p(AT_FDCWD, dir, 0755)) < 0)
        return err_neg(err, r, "make '%s'", dir);
    snprintf(path, sizeof path, "%s/lock", dir);
    _cleanup_close_ int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return err_errno(err, "open '%s'", path);
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_CONFLICT, 0,
                       "a cluster runs in '%s'; stop it with `knarr down --data-dir %s`", dir, dir);
    /* What was there before an earlier one that was cut short is what stays in restore.old. */
    if ((r = swap_undo(dir, err)) < 0)
        return r;
    if ((r = unpack(&rs, archive, ret_rev, err)) == 0)
        return swap_in(dir, err);
    rm_rf(AT_FDCWD, rs.fresh);
    return r;
}

int main(int argc, char **argv)
{
    const char *dir = "/var/lib/knarr";
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, &dir, "DIR", "where the cluster shall live (/var/lib/knarr)" },
    };
    const FlagSet set = { .program = "knarr restore",
                          .about =
                              "Brings back what `knarr backup` wrote to FILE; the cluster must "
                              "be stopped. What was there stays in DIR/restore.old.",
                          .args = "FILE",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int rest;
    uint64_t rev;
    log_init("restore");
    int r = flags_parse(&set, argc, argv, &rest);
    if (r != FLAGS_OK)
        return r;
    Err err = { 0 };
    if (rest != 1) {
        fputs("knarr restore: one FILE must be named\n", stderr);
        return 2;
    }
    if (dir[0] != '/' || strlen(dir) >= 200) {
        fprintf(stderr,
                "knarr restore: --data-dir: '%s' must be an absolute path of less than 200 bytes\n",
                dir);
        return 2;
    }
    if (!flags_caller_is_root("knarr restore"))
        return 1;
    if (restore(dir, argv[1], &rev, &err) < 0) {
        fprintf(stderr, "knarr restore: %s\n", err.msg);
        return 1;
    }
    printf("restored to %s; revisions go on after %llu\n", dir, (unsigned long long)rev);
    return output_end("knarr restore", 0);
}
