/* knarr_backup.c - `knarr backup`: all that a running cluster is, in one file: a consistent copy of
 * its state, its certificates and keys, its options. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cmd/archive.h"
#include "cmd/backup_socket.h"
#include "cmd/cluster.h"
#include "cmd/flags.h"
#include "cmd/output.h"

static int add_file(ArchiveWriter *w, const char *dir, const char *name, int fd, Err *err)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, "open '%s/%s'", dir, name);
    return archive_add(w, name, fd, (uint64_t)st.st_size, err);
}

/* The files of folder `name`, and of the folders in it, `depth` times. */
static int add_folder(ArchiveWriter *w, const char *dir, const char *name, int depth, Err *err)
{
    char path[PATH_MAX], below[ARCHIVE_NAME_MAX + 1];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, path, &d), more = 0;
    if (r < 0)
        return err_neg(err, r, "open '%s'", path);
    while (r == 0 && (more = dir_next(d, &e)) > 0) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = err_errno(err, "look at '%s/%s'", path, e->d_name);
        else if (snprintf(below, sizeof below, "%s/%s", name, e->d_name) >= (int)sizeof below)
            r = err_set(err, ERR_LIMIT, 0, "the name '%s' is too long", e->d_name);
        else if (S_ISDIR(st.st_mode) && depth)
            r = add_folder(w, dir, below, depth - 1, err);
        else if (S_ISREG(st.st_mode)) {
            _cleanup_close_ int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
            r = add_file(w, dir, below, fd, err);
        }
    }
    closedir(d);
    return more < 0 ? err_neg(err, more, "read '%s'", path) : r;
}

static int write_archive(const char *dir, int state, int out, Err *err)
{
    ArchiveWriter w;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/cluster.json", dir);
    _cleanup_close_ int options = open(path, O_RDONLY | O_CLOEXEC);
    int r;
    if ((r = archive_begin(&w, out, err)) < 0 ||
        (r = add_file(&w, dir, "store/state.db", state, err)) < 0 ||
        (r = add_file(&w, dir, "cluster.json", options, err)) < 0 ||
        (r = add_folder(&w, dir, "pki", 1, err)) < 0)
        return r;
    return archive_end(&w, err);
}

static int sync_folder_of(const char *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", file);
    char *slash = strrchr(path, '/');
    if (slash)
        slash[1] = 0;
    _cleanup_close_ int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Under another name until it is whole. */
static int backup(const char *dir, const char *file, Err *err)
{
    char store[PATH_MAX], beside[PATH_MAX];
    _cleanup_close_ int state = -1;
    if (path_exists(AT_FDCWD, file))
        return err_set(err, ERR_EXISTS, 0, "'%s' exists already", file);
    if (snprintf(beside, sizeof beside, "%s.part", file) >= (int)sizeof beside ||
        snprintf(store, sizeof store, "%s/store", dir) >= (int)sizeof store)
        return err_set(err, ERR_INVALID, 0, "a path is too long");
    int r = backup_socket_ask(store, &state, err);
    if (r < 0)
        return r;
    _cleanup_close_ int out = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0)
        return err_errno(err, "write '%s'", beside);
    if ((r = write_archive(dir, state, out, err)) == 0 && rename(beside, file) < 0)
        r = err_errno(err, "rename '%s'", beside);
    if (r < 0)
        unlink(beside);
    else if ((r = sync_folder_of(file)) < 0)
        r = err_neg(err, r, "sync the folder of '%s'", file);
    return r;
}

int main(int argc, char **argv)
{
    const char *dir = "/var/lib/knarr";
    const Flag flags[] = {
        { "data-dir", FLAG_TEXT, &dir, "DIR", "where the cluster lives (/var/lib/knarr)" },
    };
    const FlagSet set = { .program = "knarr backup",
                          .about =
                              "Writes the state, keys and certificates of a running cluster to "
                              "FILE, which `knarr restore` reads.",
                          .args = "FILE",
                          .flags = flags,
                          .len = ARRAY_SIZE(flags) };
    int rest;
    log_init("backup");
    int r = flags_parse(&set, argc, argv, &rest);
    if (r != FLAGS_OK)
        return r;
    Err err = { 0 };
    if (rest != 1) {
        fputs("knarr backup: one FILE must be named\n", stderr);
        return 2;
    }
    if (!flags_caller_is_root("knarr backup"))
        return 1;
    if (backup(dir, argv[1], &err) < 0) {
        fprintf(stderr, "knarr backup: %s\n", err.msg);
        return 1;
    }
    printf("backup of %s written to %s\n", dir, argv[1]);
    return output_end("knarr backup", 0);
}
