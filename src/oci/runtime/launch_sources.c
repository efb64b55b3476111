/* launch_sources.c - mount sources that C may not open or map itself.
 *
 * In a user namespace C has the container's rights, and sources may lie where those do not reach. P
 * opens them, inside of C's mount namespace: only mounts of that can be copied with the options
 * that the kernel has locked there. Id-mapped mounts are always made by P: only who owns the file
 * system may say how its owners are mapped. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include "oci/mount_fd.h"
#include "oci/runtime/container_internal.h"

static bool plan_is(const Launch *l, unsigned i, MountPlan *ret)
{
    return mount_plan(&l->spec->mounts.items[i], &l->s->arena, ret, NULL) >= 0 && ret->bind;
}

bool launch_wants_sources(const Launch *l)
{
    MountPlan p;

    if (l->exec)
        return false;
    for (unsigned i = 0; i < l->spec->mounts.len; i++)
        if (plan_is(l, i, &p) && ((l->in_user_ns && !l->rootless) || p.idmap))
            return true;
    return false;
}

static int map_owners(const Launch *l, const OciSpecMount *m, const MountPlan *p, int tree,
                      pid_t pid, Err *err)
{
    _cleanup_close_ int ns = -1;
    char path[48];
    int r;

    if (m->uid_maps.len) {
        ns = launch_map_ns(&m->uid_maps, &m->gid_maps, err);
        if (ns < 0)
            return ns;
    } else {
        snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
        ns = openat(l->proc_fd, path + strlen("/proc/"), O_RDONLY | O_CLOEXEC);
        if (ns < 0)
            return err_errno(err, "open %s", path);
    }
    r = mount_tree_idmap(tree, ns, p->idmap_rec);
    return r < 0 ? err_neg(err, r, "map the owners of '%s'", m->source) : 0;
}

static int open_all(Launch *l, pid_t pid, Err *err)
{
    for (unsigned i = 0; i < l->spec->mounts.len; i++) {
        const OciSpecMount *m = &l->spec->mounts.items[i];
        MountPlan p;
        int r = 0;

        if (!plan_is(l, i, &p) || !m->source || !(p.idmap || (l->in_user_ns && !l->rootless)))
            continue;
        l->sources[i] = mount_tree_clone(AT_FDCWD, m->source, p.recursive);
        if (l->sources[i] < 0) {
            r = l->sources[i];
            l->sources[i] = -1;
            err_neg(err, r, "stat %s", m->source);
        } else if (p.idmap) {
            r = map_owners(l, m, &p, l->sources[i], pid, err);
        }
        if (r < 0)
            return err_wrap(err, "error mounting \"%s\" to rootfs at \"%s\"", m->source,
                            m->destination);
    }
    return 0;
}

/* P goes to C's mounts and comes back. */
static int open_there(Launch *l, pid_t pid, Err *err)
{
    _cleanup_close_ int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), theirs = -1;
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char path[48];
    int r;

    snprintf(path, sizeof path, "%d/ns/mnt", (int)pid);
    theirs = openat(l->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || root < 0 || cwd < 0 || theirs < 0)
        return err_errno(err, "open the mount namespace");
    if (setns(theirs, CLONE_NEWNS) < 0)
        return err_errno(err, "join the container's mount namespace");
    /* Relative sources are below the bundle, which is our working directory. */
    if (chdir(l->s->bundle) < 0)
        r = err_errno(err, "enter '%s'", l->s->bundle);
    else
        r = open_all(l, pid, err);
    if (setns(own, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0 || fchdir(cwd) < 0)
        return err_errno(err, "go back to our mount namespace");
    return r;
}

int launch_open_sources(Launch *l, pid_t pid, Err *err)
{
    l->sources = malloc(l->spec->mounts.len * sizeof *l->sources);
    if (!l->sources)
        return err_nomem(err);
    for (unsigned i = 0; i < l->spec->mounts.len; i++)
        l->sources[i] = -1;
    if (l->spec->mounts.len > SYNC_FDS_MAX)
        return err_set(err, ERR_LIMIT, 0, "mounts: at most %d with a user namespace", SYNC_FDS_MAX);
    return l->rootless ? open_all(l, pid, err) : open_there(l, pid, err);
}
