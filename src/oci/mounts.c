/* mounts.c - the plan of a container's root filesystem; pure. The standard mounts are those of
 * containerd's and runc's default specification; a mount of the caller with the same target takes
 * their place. */
#include "oci/mounts.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/macros.h"

const char *const oci_masked_default[] = {
    "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",          "/proc/interrupts", "/sys/firmware",     "/sys/devices/virtual/powercap",
};
const uint32_t oci_masked_default_len = ARRAY_SIZE(oci_masked_default);
const char *const oci_readonly_default[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};
const uint32_t oci_readonly_default_len = ARRAY_SIZE(oci_readonly_default);

static const OciDevice standard_devices[] = {
    { "/dev/null", S_IFCHR, 1, 3, 0666, 0, 0 },    { "/dev/zero", S_IFCHR, 1, 5, 0666, 0, 0 },
    { "/dev/full", S_IFCHR, 1, 7, 0666, 0, 0 },    { "/dev/random", S_IFCHR, 1, 8, 0666, 0, 0 },
    { "/dev/urandom", S_IFCHR, 1, 9, 0666, 0, 0 }, { "/dev/tty", S_IFCHR, 5, 0, 0666, 0, 0 },
};

static const struct {
    const char *target, *text;
} standard_links[] = {
    { "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
    { "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
    { "/dev/ptmx", "pts/ptmx" },          { "/dev/core", "/proc/kcore" },
};

static int push(Arena *a, OciPlan *plan, OciStep step, Err *err)
{
    if (plan->len == plan->cap) {
        uint32_t cap = plan->cap ? plan->cap * 2 : 64;
        OciStep *grown =
            arena_realloc(a, plan->steps, plan->cap * sizeof *grown, cap * sizeof *grown);

        if (!grown)
            return err_nomem(err);
        plan->steps = grown;
        plan->cap = cap;
    }
    plan->steps[plan->len++] = step;
    return 0;
}

static bool same_target(const char *x, const char *y)
{
    size_t n = strlen(x), m = strlen(y);

    while (n > 1 && x[n - 1] == '/')
        n--;
    while (m > 1 && y[m - 1] == '/')
        m--;
    return n == m && memcmp(x, y, n) == 0;
}

static bool is_taken(const OciRootfs *r, const char *target)
{
    for (uint32_t i = 0; i < r->mounts_len; i++)
        if (same_target(r->mounts[i].target, target))
            return true;
    return false;
}

static int plan_root(const OciRootfs *r, Arena *a, OciPlan *plan, Err *err)
{
    OciStep step = { .kind = OCI_STEP_ROOT_OVERLAY, .target = r->target };
    bool has_upper = r->upper && *r->upper;

    if (r->lower_len > 127)
        return err_set(err, ERR_LIMIT, 0, "%u layers, at most 127 are allowed", r->lower_len);
    if (!has_upper && r->lower_len == 0)
        return err_set(err, ERR_INVALID, 0, "a root filesystem needs a layer or a directory");
    if (r->lower_len == 0 || (!has_upper && r->lower_len == 1)) {
        step.kind = OCI_STEP_ROOT_BIND;
        step.source = has_upper ? r->upper : r->lower[0];
        /* A layer is shared by all containers of its image. */
        step.flags = has_upper ? 0 : OCI_MOUNT_RO;
    }
    return push(a, plan, step, err);
}

static int plan_mount(const OciRootfs *r, Arena *a, OciPlan *plan, const char *target,
                      const char *fstype, const char *data, uint32_t flags, Err *err)
{
    const OciStep step = {
        .kind = OCI_STEP_MOUNT,
        .target = target,
        .source = fstype,
        .fstype = fstype,
        .data = data,
        .flags = flags,
    };

    return is_taken(r, target) ? 0 : push(a, plan, step, err);
}

static int plan_standard(const OciRootfs *r, Arena *a, OciPlan *plan, Err *err)
{
    const uint32_t strict = OCI_MOUNT_NOSUID | OCI_MOUNT_NOEXEC | OCI_MOUNT_NODEV;
    const uint32_t ro = r->privileged ? 0 : OCI_MOUNT_RO;
    int e;

    if ((e = plan_mount(r, a, plan, "/proc", "proc", NULL, strict, err)) < 0 ||
        (e = plan_mount(r, a, plan, "/dev", "tmpfs", "mode=755,size=65536k", OCI_MOUNT_NOSUID,
                        err)) < 0 ||
        (e = plan_mount(r, a, plan, "/dev/pts", "devpts",
                        "newinstance,ptmxmode=0666,mode=0620,gid=5",
                        OCI_MOUNT_NOSUID | OCI_MOUNT_NOEXEC, err)) < 0 ||
        (e = plan_mount(r, a, plan, "/dev/mqueue", "mqueue", NULL, strict, err)) < 0)
        return e;
    if (r->shm_source && *r->shm_source && !is_taken(r, "/dev/shm")) {
        const OciStep shm = {
            .kind = OCI_STEP_BIND, .target = "/dev/shm", .source = r->shm_source, .flags = strict
        };

        e = push(a, plan, shm, err);
    } else {
        e = plan_mount(r, a, plan, "/dev/shm", "tmpfs", "mode=1777,size=65536k", strict, err);
    }
    if (e >= 0)
        e = plan_mount(r, a, plan, "/sys", "sysfs", NULL, strict | ro, err);
    if (e >= 0 && !is_taken(r, "/sys/fs/cgroup") && !is_taken(r, "/sys")) {
        const OciStep cg = { .kind = OCI_STEP_CGROUP,
                             .target = "/sys/fs/cgroup",
                             .flags = strict | ro };

        e = push(a, plan, cg, err);
    }
    return e;
}

static int plan_devices(const OciRootfs *r, Arena *a, OciPlan *plan, Err *err)
{
    int e = 0;

    if (is_taken(r, "/dev"))
        return 0;
    for (size_t i = 0; e >= 0 && i < ARRAY_SIZE(standard_devices); i++) {
        const OciStep s = { .kind = OCI_STEP_DEVICE,
                            .target = standard_devices[i].path,
                            .device = &standard_devices[i] };

        e = push(a, plan, s, err);
    }
    if (e >= 0 && r->privileged)
        e = push(a, plan, (OciStep){ .kind = OCI_STEP_HOST_DEVICES, .target = "/dev" }, err);
    for (uint32_t i = 0; e >= 0 && i < r->devices_len; i++) {
        const OciStep s = { .kind = OCI_STEP_DEVICE,
                            .target = r->devices[i].path,
                            .device = &r->devices[i] };

        if (strncmp(r->devices[i].path, "/dev/", 5) != 0)
            return err_set(err, ERR_INVALID, 0, "device '%.200s' is not below /dev",
                           r->devices[i].path);
        e = push(a, plan, s, err);
    }
    for (size_t i = 0; e >= 0 && i < ARRAY_SIZE(standard_links); i++) {
        const OciStep s = { .kind = OCI_STEP_SYMLINK,
                            .target = standard_links[i].target,
                            .source = standard_links[i].text };

        e = push(a, plan, s, err);
    }
    return e;
}

static unsigned depth_of(const char *path)
{
    unsigned n = 0;

    for (; *path; path++)
        n += path[0] == '/' && path[1] && path[1] != '/';
    return n;
}

/* Shallow targets first, so that no mount hides another; equal depths keep the caller's order. */
static int plan_own(const OciRootfs *r, Arena *a, OciPlan *plan, Err *err)
{
    unsigned deepest = 0;

    for (uint32_t i = 0; i < r->mounts_len; i++) {
        const OciMount *m = &r->mounts[i];
        bool bind = !m->fstype || !*m->fstype;

        if (!m->target || m->target[0] != '/' || same_target(m->target, "/"))
            return err_set(err, ERR_INVALID, 0, "mount target '%.200s' is no path below /",
                           m->target ? m->target : "");
        const char *from = m->root && *m->root ? m->root : m->source;

        if (bind && (!m->source || !from || from[0] != '/'))
            return err_set(err, ERR_INVALID, 0, "source of '%.200s' is not absolute", m->target);
        deepest = MAX(deepest, depth_of(m->target));
    }
    for (unsigned depth = 1; depth <= deepest; depth++)
        for (uint32_t i = 0; i < r->mounts_len; i++) {
            const OciMount *m = &r->mounts[i];
            const OciStep s = {
                .kind = m->fstype && *m->fstype ? OCI_STEP_MOUNT : OCI_STEP_BIND,
                .target = m->target,
                .source = m->source,
                .fstype = m->fstype,
                .data = m->data,
                .flags = m->flags,
                .propagation = m->propagation,
                .root = m->root,
            };

            if (depth_of(m->target) == depth && push(a, plan, s, err) < 0)
                return -(int)ERR_NOMEM;
        }
    return 0;
}

static int plan_paths(Arena *a, OciPlan *plan, OciStepKind kind, const char *const *paths,
                      uint32_t n, Err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        int e;

        if (paths[i][0] != '/')
            return err_set(err, ERR_INVALID, 0, "path '%.200s' is not absolute", paths[i]);
        e = push(a, plan, (OciStep){ .kind = kind, .target = paths[i] }, err);
        if (e < 0)
            return e;
    }
    return 0;
}

int oci_rootfs_plan(const OciRootfs *r, Arena *a, OciPlan *ret, Err *err)
{
    OciPlan plan = { 0 };
    int e;

    if ((e = plan_root(r, a, &plan, err)) < 0 || (e = plan_standard(r, a, &plan, err)) < 0 ||
        (e = plan_devices(r, a, &plan, err)) < 0 || (e = plan_own(r, a, &plan, err)) < 0 ||
        (e = plan_paths(a, &plan, OCI_STEP_MASK, r->masked, r->masked_len, err)) < 0 ||
        (e = plan_paths(a, &plan, OCI_STEP_READONLY, r->readonly_paths, r->readonly_paths_len,
                        err)) < 0)
        return e;
    if (r->cwd && *r->cwd &&
        (e = push(a, &plan, (OciStep){ .kind = OCI_STEP_DIR, .target = r->cwd }, err)) < 0)
        return e;
    if (r->readonly &&
        (e = push(a, &plan, (OciStep){ .kind = OCI_STEP_ROOT_READONLY, .target = "/" }, err)) < 0)
        return e;
    *ret = plan;
    return 0;
}

void oci_plan_print(const OciPlan *plan, Buf *out)
{
    static const char *const names[] = {
        [OCI_STEP_ROOT_BIND] = "root-bind",
        [OCI_STEP_ROOT_OVERLAY] = "root-overlay",
        [OCI_STEP_MOUNT] = "mount",
        [OCI_STEP_BIND] = "bind",
        [OCI_STEP_DEVICE] = "device",
        [OCI_STEP_HOST_DEVICES] = "host-devices",
        [OCI_STEP_SYMLINK] = "symlink",
        [OCI_STEP_CGROUP] = "cgroup",
        [OCI_STEP_MASK] = "mask",
        [OCI_STEP_READONLY] = "readonly",
        [OCI_STEP_DIR] = "dir",
        [OCI_STEP_ROOT_READONLY] = "root-readonly",
    };
    static const char *const flags[] = { "ro", "rro", "nosuid", "nodev", "noexec", "rec" };
    static const char *const props[] = { "", " slave", " shared" };

    for (uint32_t i = 0; i < plan->len; i++) {
        const OciStep *s = &plan->steps[i];

        buf_printf(out, "%s %s", names[s->kind], s->target);
        if (s->source)
            buf_printf(out, " <- %s", s->source);
        if (s->root && *s->root)
            buf_printf(out, " in %s", s->root);
        for (unsigned f = 0; f < ARRAY_SIZE(flags); f++)
            if (s->flags & (1u << f))
                buf_printf(out, " %s", flags[f]);
        buf_printf(out, "%s%s%s\n", props[s->propagation % 3], s->data ? " " : "",
                   s->data ? s->data : "");
    }
}
