/* container_internal.h - how the files of a container's making share their work.
 *
 * Processes. P is the command. C becomes the container's first process, or that of an `exec`. C is
 * made by one clone3(2) where that is possible: with all new namespaces, born into its control
 * group. A user or a time namespace takes a step more, H, since what belongs to a user namespace
 * has to be made by somebody inside, and a time namespace takes effect with the next child: H makes
 * or joins those, then clones C as a child of P (CLONE_PARENT) and ends.
 *
 * P and C speak over a pair of sockets, one message at a time; C waits for each answer. When P
 * dies, whatever the reason, C reads the end of it and dies too: nothing that is not yet in the
 * state stays behind. When C dies P reads the end and says why. */
#pragma once

#include "oci/caps.h"
#include "oci/runtime/container.h"
#include "oci/runtime/mount_options.h"
#include "oci/seccomp_profile.h"

extern const struct OciNsKind {
    const char *name; /* in /proc/PID/ns */
    int flag;
} oci_ns_kinds[OCI_NS_N];

typedef enum SyncType {
    SYNC_GO,     /* P: go on; `value` says how many descriptors come along */
    SYNC_ERR,    /* C: it is over, `err` says why */
    SYNC_GROUPS, /* H or C: systemd may make its group now */
    SYNC_MAP,  /* H: has a user namespace without mappings; fields of the sender: value is a pid */
    SYNC_TIME, /* H: has a time namespace without offsets */
    SYNC_PID,  /* H: the pid of C */
    SYNC_SOURCES, /* C: wants the mount sources that only P can open */
    SYNC_MOUNTED, /* C: the root is put together, the hooks of the runtime are due */
    SYNC_READY,   /* C: all but the program's own rights is done */
    SYNC_SECCOMP, /* C: installs a filter whose listener will be descriptor `value` */
    SYNC_TYPE_MAX
} SyncType;

typedef struct SyncMsg {
    SyncType type;
    int64_t value;
    Err err;
} SyncMsg;

enum { SYNC_FDS_MAX = 128 }; /* the kernel takes 253 */
/* 0, or ERR_CLOSED when the other side is gone. */
int sync_send(int fd, const SyncMsg *m, const int *fds, unsigned fds_len, Err *err) NODISCARD;
int sync_receive(int fd, SyncMsg *ret, int *ret_fds, unsigned *fds_len, Err *err) NODISCARD;
/* A stream to the socket at `path`; and one descriptor over it, along with a text. */
int socket_connect(const char *path, Err *err) NODISCARD;
int socket_send_fd(int fd, StrView text, int passed, Err *err) NODISCARD;
/* In C: sends and waits for SYNC_GO. */
int sync_ask(int fd, SyncType type, int64_t value, Err *err) NODISCARD;

typedef struct Launch {
    const OciGlobal *g;
    OciState *s;
    const OciSpec *spec;
    const OciProcess *process;
    bool exec; /* another process of a container that is there */
    bool no_pivot, no_new_keyring;
    bool staged;           /* H is needed */
    bool in_user_ns;       /* C will be in another user namespace than P */
    bool rootless;         /* P is not root */
    unsigned passed_fds;   /* above 2: LISTEN_FDS and --preserve-fds */
    const char **env;      /* NULL at its end */
    SeccompFilter seccomp; /* no bytes: none */
    const char *sub_group; /* exec --cgroup */

    int ns_fd[OCI_NS_N]; /* to be joined; -1 */
    int proc_fd;         /* the host's /proc, proven to be one */
    int console_fd;      /* socket that gets the terminal; -1: none */
    int fifo_fd;         /* O_PATH; -1 for exec */
    int init_pidfd;      /* exec: of the container's first process */
    int stdio[3];        /* -1: as P has it */
    int *sources;        /* per mount: a detached tree, or -1; NULL: none */
    int sync_p, sync_c;
    pid_t pid;          /* of C */
    char program[4096]; /* the file that C becomes */
    int pidfd;
    bool born_in_v2;
    bool was_ready; /* SYNC_READY was answered */
} Launch;

void launch_init(Launch *l, const OciGlobal *g, OciState *s);
void launch_end(Launch *l); /* closes; ends no process */

/* launch.c: P's side. Starts C and answers it until it waits at the fifo, or has become its
 * program. On failure C is dead and reaped. */
int launch_run(Launch *l, Err *err) NODISCARD;
/* container_create.c: the control groups with their limits, with `pid` (0: nobody) in them. On
 * failure the state forgets them. */
int launch_make_groups(const OciGlobal *g, OciState *s, pid_t pid, Err *err) NODISCARD;
/* launch_maps.c: the mappings of a user namespace, by ourselves or by newuidmap and newgidmap. */
int launch_write_maps(const Launch *l, pid_t pid, Err *err) NODISCARD;
/* A descriptor of a new user namespace with these mappings, for an id-mapped mount. */
int launch_map_ns(const OciIdMaps *uid, const OciIdMaps *gid, Err *err) NODISCARD;
/* launch_sources.c: P opens what C may not. */
bool launch_wants_sources(const Launch *l);
int launch_open_sources(Launch *l, pid_t pid, Err *err) NODISCARD;

/* init.c: in C. Returns only on failure. */
int init_main(Launch *l, Err *err) NODISCARD;
/* init_process.c: the rights and the program, once C is where it shall be. */
int process_labels(const Launch *l, Err *err) NODISCARD;
int process_become(Launch *l, Err *err) NODISCARD; /* everything up to execve() */
int process_exec(Launch *l, Err *err) NODISCARD;
int process_schedule(const Launch *l, Err *err) NODISCARD;
/* rootfs.c: in C. The root filesystem, in the two halves before and after the hooks. */
typedef struct Rootfs {
    Launch *l;
    int root_fd;
    int null_fd;     /* the host's null device, proven to be it: hides files */
    bool own_dev;    /* /dev is not a bind mount: its nodes and links are ours */
    char root[4096]; /* as the kernel names it, for messages and checks */
} Rootfs;
int rootfs_prepare(Rootfs *r, Err *err) NODISCARD;
int rootfs_finish(Rootfs *r, Err *err) NODISCARD;
/* rootfs_devices.c, rootfs_cgroup.c, rootfs_copy.c */
int rootfs_devices(Rootfs *r, Err *err) NODISCARD;
int rootfs_cgroup(Rootfs *r, const OciSpecMount *m, const MountPlan *p, Err *err) NODISCARD;
int rootfs_copy_up(int from_fd, int to_fd, Err *err) NODISCARD;

/* console.c: in C, makes the terminal of the container and hands its master over. */
int console_make(const Launch *l, int root_fd, Err *err) NODISCARD;

/* hooks.c: one after the other; the first that fails is the error. They read `s`, with `pid` as the
 * number of the container's process where they run. */
int hooks_run(const OciHooks *hooks, const OciState *s, pid_t pid, Err *err) NODISCARD;

/* seccomp.c: linux.seccomp to bytes. */
int launch_compile_seccomp(Launch *l, Err *err) NODISCARD;
int process_install_seccomp(Launch *l, Err *err) NODISCARD;
int launch_serve_seccomp(const Launch *l, int listener_no, Err *err) NODISCARD;

/* foreground.c: P waits, passing on signals and the terminal. */
typedef struct Foreground Foreground;
int foreground_new(bool tty, bool subreaper, Foreground **ret, Err *err) NODISCARD;
int foreground_console(Foreground *f); /* the socket for Launch.console_fd */
int foreground_wait(Foreground *f, pid_t pid, int *ret_code, Err *err) NODISCARD;
Foreground *foreground_free(Foreground *f);
