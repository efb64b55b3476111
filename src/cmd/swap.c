/* swap.c - a restored cluster takes the place of the one before it.
 *
 * While restore.new/ready exists, each name is in one of three states, and both ways lead through
 * them: it is here and in .new (nothing is done yet), in .old and .new (the one before has left),
 * or here and in .old (done). What was not there before is never in .old. */
#include "cmd/swap.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"

static const char *const names[] = { "store", "pki", "cluster.json" };

typedef struct Swap {
    const char *dir;
    char fresh[PATH_MAX], old[PATH_MAX], ready[PATH_MAX];
} Swap;

static void swap_init(Swap *s, const char *data_dir)
{
    s->dir = data_dir;
    snprintf(s->fresh, sizeof s->fresh, "%s/restore.new", data_dir);
    snprintf(s->old, sizeof s->old, "%s/restore.old", data_dir);
    snprintf(s->ready, sizeof s->ready, "%s/restore.new/ready", data_dir);
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.3000s/%s", folder, name);
    return path_exists(AT_FDCWD, path);
}

static int move(const char *from_folder, const char *to_folder, const char *name, Err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof from, "%.3000s/%s", from_folder, name);
    snprintf(to, sizeof to, "%.3000s/%s", to_folder, name);
    return rename(from, to) < 0 ? err_errno(err, "move '%s' to '%s'", from, to) : 0;
}

static int sync_folder(const char *path, Err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? err_errno(err, "sync '%s'", path) : 0;
}

static int change_names(const Swap *s, Err *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
        if (!has(s->fresh, names[i]))
            continue;
        if (has(s->dir, names[i]))
            r = move(s->dir, s->old, names[i], err);
        if (r == 0)
            r = move(s->fresh, s->dir, names[i], err);
    }
    return r;
}

static int change_back(const Swap *s, Err *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
        if (!has(s->fresh, names[i]))
            r = move(s->dir, s->fresh, names[i], err);
        if (r == 0 && has(s->old, names[i]))
            r = move(s->old, s->dir, names[i], err);
    }
    return r;
}

/* The names are on the disk before the file that tells of the swap goes, and it goes before
 * anything else of restore.new: what is in there then is nobody's. */
static int end(const Swap *s, Err *err)
{
    int r;
    if ((r = sync_folder(s->old, err)) < 0 || (r = sync_folder(s->fresh, err)) < 0 ||
        (r = sync_folder(s->dir, err)) < 0)
        return r;
    if (unlink(s->ready) < 0)
        return err_errno(err, "remove '%s'", s->ready);
    if ((r = sync_folder(s->fresh, err)) == 0)
        rm_rf(AT_FDCWD, s->fresh);
    return r;
}

/* Was a swap begun? 1 or 0. */
static int find_begun(Swap *s, const char *data_dir, Err *err)
{
    swap_init(s, data_dir);
    if (!path_exists(AT_FDCWD, s->ready))
        return 0;
    int r = mkdir_p(AT_FDCWD, s->old, 0700); /* may have been removed by hand, empty */
    return r < 0 ? err_neg(err, r, "make '%s'", s->old) : 1;
}

int swap_finish(const char *data_dir, Err *err)
{
    Swap s;
    int r = find_begun(&s, data_dir, err);
    if (r <= 0)
        return r;
    r = change_names(&s, err);
    if (r == 0)
        r = end(&s, err);
    return r < 0 ? err_wrap(err, "finish an interrupted `knarr restore`") : 1;
}

int swap_undo(const char *data_dir, Err *err)
{
    Swap s;
    int r = find_begun(&s, data_dir, err);
    if (r <= 0)
        return r;
    r = change_back(&s, err);
    if (r == 0)
        r = end(&s, err);
    return r < 0 ? err_wrap(err, "take back an interrupted `knarr restore`") : 0;
}

/* Everything below restore.new, names and owners as well as contents. */
static int sync_fresh(const Swap *s, Err *err)
{
    _cleanup_close_ int fd = open(s->fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || syncfs(fd) < 0 ? err_errno(err, "sync '%s'", s->fresh) : 0;
}

int swap_in(const char *data_dir, Err *err)
{
    Swap s;
    swap_init(&s, data_dir);
    int r = rm_rf(AT_FDCWD, s.old);
    if (r < 0 || (r = mkdir_p(AT_FDCWD, s.old, 0700)) < 0)
        return err_neg(err, r, "make '%s'", s.old);
    if ((r = sync_fresh(&s, err)) < 0)
        return r;
    r = file_write_atomic(AT_FDCWD, s.ready, SV(""), 0600, true);
    if (r < 0)
        return err_neg(err, r, "write '%s'", s.ready);
    if ((r = swap_finish(data_dir, err)) >= 0)
        return 0;
    Err own = { 0 };
    return swap_undo(data_dir, &own) < 0 ? err_wrap(err, "%s; after", own.msg) : r;
}
