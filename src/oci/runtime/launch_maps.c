/* launch_maps.c - who is who in a user namespace. Root writes the mappings itself; an ordinary user
 * may map only itself, and asks newuidmap and newgidmap (of the package uidmap) for more. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "oci/runtime/container_internal.h"

static int write_file(pid_t pid, const char *name, StrView text)
{
    char path[48];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return file_write(AT_FDCWD, path, text, 0);
}

static void format(const OciIdMaps *maps, Buf *out)
{
    for (unsigned i = 0; i < maps->len; i++)
        buf_printf(out, "%u %u %u\n", maps->items[i].container, maps->items[i].host,
                   maps->items[i].size);
}

static int by_tool(const char *tool, pid_t pid, const OciIdMaps *maps, Err *err)
{
    Arena a;
    const char **argv;
    _cleanup_buf_ Buf out = BUF_INIT;
    unsigned n = 0;
    int status = 0, r;

    arena_init(&a, 1024 * 1024);
    argv = arena_array(&a, const char *, 3 + (size_t)maps->len * 3);
    if (argv) {
        argv[n++] = tool;
        argv[n++] = arena_printf(&a, "%d", (int)pid).ptr;
        for (unsigned i = 0; i < maps->len; i++) {
            argv[n++] = arena_printf(&a, "%u", maps->items[i].container).ptr;
            argv[n++] = arena_printf(&a, "%u", maps->items[i].host).ptr;
            argv[n++] = arena_printf(&a, "%u", maps->items[i].size).ptr;
        }
    }
    if (!argv || a.failed) {
        arena_free(&a);
        return err_nomem(err);
    }
    out.limit = 4096;
    r = proc_run(argv, NULL, SV(""), 10000, NULL, &out, &status);
    arena_free(&a);
    if (r < 0)
        return err_neg(err, r, "run %s", tool);
    if (status != 0)
        return err_set(err, ERR_DENIED, 0, "%s: %.*s", tool,
                       SV_FMT(sv_head(sv_trim(buf_view(&out)), 300)));
    return 0;
}

static int write_one(const Launch *l, pid_t pid, const char *file, const char *tool,
                     const OciIdMaps *maps, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    if (maps->len == 0)
        return 0;
    format(maps, &text);
    if (text.failed)
        return err_nomem(err);
    r = write_file(pid, file, buf_view(&text));
    if (r == -EPERM && l->rootless)
        return by_tool(tool, pid, maps, err);
    return r < 0 ? err_neg(err, r, "write %s of process %d", file, (int)pid) : 0;
}

/* The kernel wants an unprivileged user to give setgroups() up before it maps its own group. */
static bool maps_only_self(const OciIdMaps *maps, uint32_t self)
{
    return maps->len == 1 && maps->items[0].size == 1 && maps->items[0].host == self;
}

int launch_write_maps(const Launch *l, pid_t pid, Err *err)
{
    const OciIdMaps *gids = &l->spec->gid_maps;
    int r;

    if (l->rootless && maps_only_self(gids, getegid())) {
        r = write_file(pid, "setgroups", SV("deny"));
        if (r < 0 && r != -ENOENT)
            return err_neg(err, r, "deny setgroups");
    }
    if ((r = write_one(l, pid, "uid_map", "newuidmap", &l->spec->uid_maps, err)) < 0)
        return r;
    return write_one(l, pid, "gid_map", "newgidmap", gids, err);
}

/* --- for id-mapped mounts --- */

int launch_map_ns(const OciIdMaps *uid, const OciIdMaps *gid, Err *err)
{
    _cleanup_buf_ Buf uids = BUF_INIT, gids = BUF_INIT;
    char path[48];
    pid_t pid;
    int r, fd = -1;

    format(uid, &uids);
    format(gid, &gids);
    if (uids.failed || gids.failed)
        return err_nomem(err);
    if ((pid = fork()) == 0) {
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(1);
        kill(getpid(), SIGSTOP);
        _exit(0);
    }
    if (pid < 0)
        return err_errno(err, "fork");
    if (waitpid(pid, &r, WUNTRACED) != pid || !WIFSTOPPED(r)) {
        return err_set(err, ERR_SYS, 0, "make a user namespace for the mappings of a mount");
    }
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    if ((r = write_file(pid, "uid_map", buf_view(&uids))) < 0 ||
        (r = write_file(pid, "gid_map", buf_view(&gids))) < 0)
        err_neg(err, r, "the mappings of a mount");
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        r = err_errno(err, "open %s", path);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return r < 0 ? -(int)ERR_SYS : fd;
}
