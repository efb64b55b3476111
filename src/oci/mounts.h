/* mounts.h - the root filesystem of one container: a pure function makes the list of steps, a short
 * executor carries them out inside the container's new mount namespace.
 *
 * Every path inside the container is resolved by openat2(RESOLVE_IN_ROOT), so that links in an
 * image cannot lead a mount out of it; sources of bind mounts are opened on the host before the
 * root changes. */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

typedef enum OciPropagation {
    OCI_PROP_PRIVATE,
    OCI_PROP_SLAVE,  /* mounts made on the host appear (HostToContainer) */
    OCI_PROP_SHARED, /* and the other way round (Bidirectional) */
} OciPropagation;

typedef enum OciMountFlags {
    OCI_MOUNT_RO = 1 << 0,
    OCI_MOUNT_RRO = 1 << 1, /* read-only, submounts as well */
    OCI_MOUNT_NOSUID = 1 << 2,
    OCI_MOUNT_NODEV = 1 << 3,
    OCI_MOUNT_NOEXEC = 1 << 4,
    OCI_MOUNT_RECURSIVE = 1 << 5, /* bind: with what is mounted below the source */
} OciMountFlags;

typedef struct OciMount {
    const char *target; /* absolute, inside the container; made if missing */
    const char *source; /* bind: absolute path on the host, or a path inside `root` */
    const char *fstype; /* NULL or "": a bind mount; else "tmpfs", "proc", … */
    const char *data;   /* options of the file system; may be NULL */
    uint32_t flags;     /* OciMountFlags */
    uint32_t propagation;
    /* bind: NULL or "", or the absolute path of a folder whose contents others may change while it
     * is mounted from (a volume). `source` is then resolved from its descriptor as from "/": links
     * in it lead to places inside. */
    const char *root;
} OciMount;

typedef struct OciDevice {
    const char *path; /* inside the container, below /dev */
    uint32_t type;    /* S_IFCHR or S_IFBLK */
    uint32_t major, minor;
    uint32_t mode, uid, gid;
} OciDevice;

typedef struct OciRootfs {
    /* Overlay: `lower` bottom first (at most 127), `upper` and `work` on one file system; without
     * `upper` the overlay is read-only. With one lower directory and no upper it is a bind mount.
     */
    const char *const *lower;
    uint32_t lower_len;
    const char *upper, *work;
    const char *target; /* an existing empty directory on the host, where it is put together */
    bool readonly;
    const OciMount
        *mounts; /* in this order, after the standard ones; same target: later replaces */
    uint32_t mounts_len;
    const OciDevice *devices; /* besides null, zero, full, random, urandom, tty */
    uint32_t devices_len;
    const char *const
        *masked; /* NULL-less list; hidden: /dev/null over files, empty tmpfs over directories */
    uint32_t masked_len;
    const char *const *readonly_paths;
    uint32_t readonly_paths_len;
    bool privileged; /* sysfs and cgroup writable, all devices of the host */
    const char *cwd; /* made if missing, also in a read-only root; NULL: none */
    const char
        *shm_source; /* directory that is the pod's /dev/shm; NULL: a tmpfs of its own, 64 MiB */
} OciRootfs;

typedef enum OciStepKind {
    OCI_STEP_ROOT_BIND,    /* source onto the rootfs' target */
    OCI_STEP_ROOT_OVERLAY, /* data: options */
    OCI_STEP_MOUNT,        /* a new file system */
    OCI_STEP_BIND,
    OCI_STEP_DEVICE,       /* mknod, or bind of the host's node where mknod is refused */
    OCI_STEP_HOST_DEVICES, /* every device node of the host's /dev */
    OCI_STEP_SYMLINK,      /* source: the link's text */
    OCI_STEP_CGROUP,       /* the cgroup file systems, as the host has them */
    OCI_STEP_MASK,
    OCI_STEP_READONLY, /* remount a path read-only, missing ones are skipped */
    OCI_STEP_DIR,      /* make a directory */
    OCI_STEP_ROOT_READONLY,
} OciStepKind;

typedef struct OciStep {
    OciStepKind kind;
    const char *target, *source, *fstype, *data;
    uint32_t flags, propagation;
    const char *root; /* bind: where `source` is resolved; NULL or "": the host's root */
    const OciDevice *device;
} OciStep;

typedef struct OciPlan {
    OciStep *steps;
    uint32_t len, cap;
} OciPlan;

/* The default lists of containerd and runc. */
extern const char *const oci_masked_default[];
extern const char *const oci_readonly_default[];
extern const uint32_t oci_masked_default_len, oci_readonly_default_len;

/* Pure: texts of the plan live in `a` or are those of `r`. ERR_INVALID for relative targets and for
 * paths with ':' or ',' where overlayfs cannot take them. */
int oci_rootfs_plan(const OciRootfs *r, Arena *a, OciPlan *ret, Err *err) NODISCARD;
/* One line per step, for tests and --dry-run. */
void oci_plan_print(const OciPlan *plan, Buf *out);

/* Carries the plan out and makes the result the root of the calling process, which must be alone in
 * a fresh mount namespace (nothing is undone on failure: the namespace goes with the process).
 * Afterwards the current directory is the new root. */
int oci_rootfs_enter(const OciRootfs *r, const OciPlan *plan, Err *err) NODISCARD;

/* The only way into a container's tree: opens `path` as the container would see it with root_fd as
 * "/". `flags` as for open(2), O_CLOEXEC is added. Falls back to a walk that refuses links where
 * the kernel has no openat2. Negative errno. */
int rootfs_open(int root_fd, const char *path, int flags, mode_t mode);
/* Makes `path` a directory (or an empty file) inside the root, with its parents, and opens it with
 * O_PATH. A link to something that is not there makes what it names, as runc does. */
int rootfs_make(int root_fd, const char *path, bool dir, int *ret_fd, Err *err) NODISCARD;

/* Binds what one descriptor holds over what another holds; negative errno. */
int oci_bind_fd(int from_fd, int to_fd);
