/* cgroup.c - finding the hierarchies, making and removing groups, moving and killing processes. */
#include "oci/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "oci/cgroup_internal.h"

enum { DEPTH_MAX = 32, REMOVE_WAIT_MS = 2000, POLL_MS = 5 };

/* --- hierarchies --- */

static void add_controllers(CgroupHierarchy *h, char *options)
{
    static const char *const generic[] = {
        "rw", "ro", "xattr", "none", "clone_children", "noprefix"
    };
    char *save = NULL;

    for (char *o = strtok_r(options, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
        size_t used = strlen(h->controllers);
        bool skip = !strncmp(o, "release_agent", 13);

        for (size_t i = 0; i < ARRAY_SIZE(generic); i++)
            skip = skip || !strcmp(o, generic[i]);
        if (!skip)
            snprintf(h->controllers + used, sizeof h->controllers - used, "%s%s", used ? "," : "",
                     o);
    }
}

/* One line: "36 35 98:0 /root /mount opts tags - fstype source superopts". */
static void parse_line(char *line, const char *root, CgroupSystem *ret)
{
    char mount[256], fstype[32], options[512];
    char *sep = strstr(line, " - ");
    CgroupHierarchy *h = &ret->list[ret->len];
    size_t n = strlen(root);

    if (!sep || ret->len == CGROUP_HIERARCHIES_MAX)
        return;
    if (sscanf(line, "%*s %*s %*s %*s %255s", mount) != 1 ||
        sscanf(sep + 3, "%31s %*s %511s", fstype, options) != 2)
        return;
    if (strncmp(mount, root, n) != 0 || (mount[n] && mount[n] != '/') ||
        strlen(mount) >= sizeof h->mount)
        return;
    *h = (CgroupHierarchy){ .v2 = !strcmp(fstype, "cgroup2") };
    if (!h->v2 && strcmp(fstype, "cgroup") != 0)
        return;
    memcpy(h->mount, mount, strlen(mount) + 1);
    if (!h->v2)
        add_controllers(h, options);
    for (size_t i = 0; i < ret->len;
         i++) /* the same hierarchy mounted twice, as cpu and cpu,cpuacct */
        if (ret->list[i].v2 == h->v2 && !strcmp(ret->list[i].controllers, h->controllers))
            return;
    ret->len++;
}

void cgroup_system_parse(char *mountinfo, const char *root, CgroupSystem *ret)
{
    char *save = NULL;

    memset(ret, 0, sizeof *ret);
    for (char *line = strtok_r(mountinfo, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        parse_line(line, root ? root : "/sys/fs/cgroup", ret);
}

int cgroup_system_find(CgroupSystem *ret, const char *root, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, "/proc/self/mountinfo", 16 * 1024 * 1024, &text);

    if (r < 0)
        return err_neg(err, r, "read /proc/self/mountinfo");
    if (!buf_cstr(&text))
        return err_nomem(err);
    cgroup_system_parse(text.ptr, root, ret);
    if (ret->len == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no control groups are mounted at %s",
                       root ? root : "/sys/fs/cgroup");
    return 0;
}

bool cgroup_carries(const CgroupHierarchy *h, const char *name)
{
    StrView rest = sv_cstr(h->controllers), one;

    while (sv_next(&rest, ',', &one))
        if (sv_eq(one, sv_cstr(name)))
            return true;
    return false;
}

const CgroupHierarchy *cgroup_find(const CgroupSystem *sys, const char *controller)
{
    for (size_t i = 0; i < sys->len; i++)
        if (!sys->list[i].v2 && cgroup_carries(&sys->list[i], controller))
            return &sys->list[i];
    for (size_t i = 0; i < sys->len; i++) {
        _cleanup_buf_ Buf text = BUF_INIT;
        StrView rest, one;

        if (!sys->list[i].v2 || cgroup_read(&sys->list[i], "/", "cgroup.controllers", &text) < 0)
            continue;
        rest = sv_trim(buf_view(&text));
        while (sv_next(&rest, ' ', &one))
            if (sv_eq(one, sv_cstr(controller)))
                return &sys->list[i];
    }
    return NULL;
}

bool cgroup_has(const CgroupSystem *sys, const char *controller)
{
    return cgroup_find(sys, controller) != NULL;
}

void cgroup_full(const CgroupHierarchy *h, const char *path, const char *file,
                 char ret[static CGROUP_FULL_MAX])
{
    snprintf(ret, CGROUP_FULL_MAX, "%s%s%s%s%s", h->mount, path[0] == '/' ? "" : "/", path,
             file ? "/" : "", file ? file : "");
}

int cgroup_write(const CgroupHierarchy *h, const char *path, const char *file, const char *value,
                 Err *err)
{
    char full[CGROUP_FULL_MAX];
    int r;

    cgroup_full(h, path, file, full);
    r = file_write(AT_FDCWD, full, sv_cstr(value), 0);
    return r < 0 ? err_neg(err, r, "write '%s' to %s", value, full) : 0;
}

int cgroup_read(const CgroupHierarchy *h, const char *path, const char *file, Buf *out)
{
    char full[CGROUP_FULL_MAX];

    cgroup_full(h, path, file, full);
    return file_read(AT_FDCWD, full, 1024 * 1024, out);
}

/* --- groups --- */

static int check_path(const char *path, Err *err)
{
    size_t n = strlen(path);

    if (path[0] != '/' || n < 2 || n >= CGROUP_PATH_MAX || strstr(path, "/..") ||
        strstr(path, "//"))
        return err_set(err, ERR_INVALID, 0, "'%.200s' is no path of a control group", path);
    return 0;
}

/* A new cpuset group of version 1 has no CPUs and takes no process until it gets some. */
static int inherit_cpuset(const CgroupHierarchy *h, const char *parent, const char *path, Err *err)
{
    static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_buf_ Buf own = BUF_INIT, above = BUF_INIT;
        int r;

        if (cgroup_read(h, path, files[i], &own) < 0 || !sv_empty(sv_trim(buf_view(&own))))
            continue;
        if (cgroup_read(h, *parent ? parent : "/", files[i], &above) < 0 || !buf_cstr(&above))
            continue;
        r = cgroup_write(h, path, files[i], above.ptr, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Which of `all` are not in `some`, as cgroup.subtree_control wants them: "+cpu +io". */
static void missing_controllers(StrView all, StrView some, Buf *out)
{
    StrView one, other;

    while (sv_next(&all, ' ', &one)) {
        StrView rest = some;
        bool there = false;

        while (!there && sv_next(&rest, ' ', &other))
            there = sv_eq(one, other);
        if (!there)
            buf_printf(out, "%s+%.*s", out->len ? " " : "", SV_FMT(one));
    }
}

/* Lets the children of `path` use every controller; those that cannot be passed on stay where they
 * are, and setting such a limit tells. */
static void pass_controllers_on(const CgroupHierarchy *h, const char *path)
{
    _cleanup_buf_ Buf all = BUF_INIT, passed = BUF_INIT, more = BUF_INIT;
    StrView rest, one;

    path = *path ? path : "/";
    if (cgroup_read(h, path, "cgroup.controllers", &all) < 0 ||
        cgroup_read(h, path, "cgroup.subtree_control", &passed) < 0)
        return;
    missing_controllers(sv_trim(buf_view(&all)), sv_trim(buf_view(&passed)), &more);
    if (!more.len || !buf_cstr(&more) ||
        cgroup_write(h, path, "cgroup.subtree_control", more.ptr, NULL) >= 0)
        return;
    rest = buf_view(&more); /* one of them was refused, and with it all */
    while (sv_next(&rest, ' ', &one)) {
        char name[64];

        if (sv_copy_cstr(one, name, sizeof name))
            (void)!cgroup_write(h, path, "cgroup.subtree_control", name, NULL);
    }
}

int cgroup_create_in(const CgroupHierarchy *h, const char *path, size_t *ret_made, Err *err)
{
    char part[CGROUP_PATH_MAX], parent[CGROUP_PATH_MAX] = "", full[CGROUP_FULL_MAX];
    size_t len = strlen(path);

    *ret_made = 0;
    for (size_t i = 2; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        cgroup_full(h, part, NULL, full);
        if (mkdir(full, 0755) == 0) {
            if (!*ret_made)
                *ret_made = i;
        } else if (errno != EEXIST) {
            return err_errno(err, "create %s", full);
        }
        if (h->v2) {
            pass_controllers_on(h, parent);
        } else if (cgroup_carries(h, "cpuset")) {
            int r = inherit_cpuset(h, parent, part, err);

            if (r < 0)
                return r;
        }
        memcpy(parent, part, i + 1);
    }
    return 0;
}

void cgroup_remove_made(const CgroupHierarchy *h, const char *path, size_t made)
{
    char part[CGROUP_PATH_MAX], full[CGROUP_FULL_MAX];

    for (size_t i = strlen(path); made && i >= made; i--) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        cgroup_full(h, part, NULL, full);
        rmdir(full);
    }
}

int cgroup_create(const CgroupSystem *sys, const char *path, Err *err)
{
    size_t made[CGROUP_HIERARCHIES_MAX];
    int r = check_path(path, err);

    for (size_t i = 0; r >= 0 && i < sys->len; i++) {
        r = cgroup_create_in(&sys->list[i], path, &made[i], err);
        for (size_t k = 0; r < 0 && k <= i; k++)
            cgroup_remove_made(&sys->list[k], path, made[k]);
    }
    return r;
}

int cgroup_attach(const CgroupSystem *sys, const char *path, pid_t pid, Err *err)
{
    char text[16];

    snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; i < sys->len; i++) {
        int r = cgroup_write(&sys->list[i], path, "cgroup.procs", text, err);

        if (r < 0)
            return r;
    }
    return 0;
}

pid_t cgroup_clone(const CgroupSystem *sys, const char *path, uint64_t flags, int *ret_pidfd,
                   Err *err)
{
    _cleanup_close_ int group = -1;
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
    };

    for (size_t i = 0; i < sys->len && group < 0; i++) {
        char full[CGROUP_FULL_MAX];

        if (!sys->list[i].v2)
            continue;
        cgroup_full(&sys->list[i], path, NULL, full);
        group = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (group < 0)
            return err_errno(err, "open %s", full);
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)group;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    return pid < 0 ? err_errno(err, "clone a process into control group %s", path) : pid;
}

int cgroup_join(const CgroupSystem *sys, const char *path, Err *err)
{
    int r = 0;

    /* "tasks" and 0: the one form for which the kernel takes no lock over all thread groups, since
     * a thread that moves itself cannot exec or exit meanwhile. */
    for (size_t i = 0; r >= 0 && i < sys->len; i++)
        if (!sys->list[i].v2)
            r = cgroup_write(&sys->list[i], path, "tasks", "0", err);
    return r;
}

/* --- walking a group and those below --- */

/* A frozen process of version 1 does not even die, and thawing a parent leaves what was frozen
 * itself. */
static void thaw(int dir)
{
    if (file_write(dir, "freezer.state", SV("THAWED"), 0) < 0)
        (void)!file_write(dir, "cgroup.freeze", SV("0"), 0);
}

static void walk_procs(int dir, CgroupWalk *w)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line;
    int64_t pid;

    int r = file_read(dir, "cgroup.procs", 4 * 1024 * 1024, &text);

    if (r < 0) { /* a group that goes away meanwhile, or one of threads, has none to tell */
        if (r != -ENOENT && r != -ENODEV && r != -EOPNOTSUPP)
            w->failed = r;
        return;
    }
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line)) {
        if (sv_empty(line) || sv_to_i64(line, &pid) < 0)
            continue;
        w->processes++;
        if (w->sig && pid > 0)
            kill((pid_t)pid, w->sig);
        if (w->pids)
            buf_append(w->pids, &(pid_t){ (pid_t)pid }, sizeof(pid_t));
    }
}

static void walk(int parent, const char *name, int depth, CgroupWalk *w)
{
    struct dirent *e;
    DIR *dir;
    int r = dir_list(parent, name, &dir);

    if (r < 0) {
        if (r != -ENOENT)
            w->failed = r;
        return;
    }
    int fd = dirfd(dir);
    while (depth < DEPTH_MAX && (r = dir_next(dir, &e)) > 0)
        if (e->d_type == DT_DIR)
            walk(fd, e->d_name, depth + 1, w);
    if (r < 0 && r != -ENOENT)
        w->failed = r;
    if (!w->remove)
        walk_procs(fd, w);
    if (w->sig == SIGKILL)
        thaw(fd);
    closedir(dir);
    if (w->remove && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        w->failed = -errno;
}

void cgroup_walk(const CgroupHierarchy *h, const char *path, CgroupWalk *w)
{
    char full[CGROUP_FULL_MAX];

    cgroup_full(h, path, NULL, full);
    walk(AT_FDCWD, full, 0, w);
}

static void walk_all(const CgroupSystem *sys, const char *path, CgroupWalk *w)
{
    for (size_t i = 0; i < sys->len; i++)
        cgroup_walk(&sys->list[i], path, w);
}

static void sleep_ms(int ms)
{
    const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NSEC_PER_MSEC };

    nanosleep(&t, NULL);
}

int cgroup_signal(const CgroupSystem *sys, const char *path, int sig)
{
    CgroupWalk w = { .sig = sig };

    /* One hierarchy holds all of them; otherwise each would be signalled several times. */
    if (sys->len == 0 || check_path(path, NULL) < 0)
        return 0;
    cgroup_walk(&sys->list[0], path, &w);
    return w.processes;
}

bool cgroup_is_empty(const CgroupSystem *sys, const char *path)
{
    CgroupWalk w = { 0 };

    walk_all(sys, path, &w);
    return w.processes == 0 && !w.failed;
}

int cgroup_kill(const CgroupSystem *sys, const char *path, int timeout_ms, Err *err)
{
    int64_t end = clock_mono_ns() + timeout_ms * NSEC_PER_MSEC;
    int r = check_path(path, err);

    if (r < 0)
        return r;
    for (;;) {
        CgroupWalk w = { .sig = SIGKILL };

        /* One write where the kernel has cgroup.kill (5.14): no race with fork. */
        for (size_t i = 0; i < sys->len; i++)
            if (sys->list[i].v2)
                (void)!cgroup_write(&sys->list[i], path, "cgroup.kill", "1", NULL);
        walk_all(sys, path, &w);
        if (w.processes == 0 && !w.failed)
            return 0;
        if (clock_mono_ns() >= end && w.failed)
            return err_neg(err, w.failed, "look for processes of %s", path);
        if (clock_mono_ns() >= end)
            return err_set(err, ERR_TIMEOUT, 0, "processes of %s do not die", path);
        sleep_ms(POLL_MS);
    }
}

int cgroup_remove(const CgroupSystem *sys, const char *path, Err *err)
{
    int r = check_path(path, err);

    if (r < 0)
        return r;
    for (int waited = 0;; waited += POLL_MS) {
        CgroupWalk w = { .remove = true };

        walk_all(sys, path, &w);
        if (!w.failed)
            return 0;
        if (w.failed != -EBUSY || waited >= REMOVE_WAIT_MS)
            return err_neg(err, w.failed, "remove control group %s", path);
        sleep_ms(POLL_MS);
    }
}
