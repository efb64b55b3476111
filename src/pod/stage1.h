/* stage1.h - what the files of the supervisor share. One thread, one epoll loop that takes one
 * event at a time, so that a source may be freed while others are ready. See pods.md and pod.h for
 * the contract. */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "oci/cgroup.h"
#include "pod/proto.h"

enum {
    STAGE1_APPS_MAX = 1000,
    STAGE1_EXECS_MAX = 1000, /* running at one time */
    STAGE1_CLIENTS_MAX = 64,
    LOG_LINE_MAX = 16 * 1024, /* longer lines are split, as by every CRI runtime */
    ATTACH_BACKLOG = 1024 * 1024,
    START_TIMEOUT_MS = 120 * 1000,
};

typedef struct Stage1 Stage1;
typedef struct App App;

/* First member of everything that the loop watches. */
typedef struct Source Source;
struct Source {
    int fd; /* -1: none */
    void (*fn)(Stage1 *s, Source *src, uint32_t events);
};

/* One output of an app: standard output, standard error, or a terminal's. */
typedef struct Stream {
    Source src;
    App *app;
    const char *name; /* in the log: "stdout", "stderr" */
    Buf partial;      /* a line without its end yet */
} Stream;

/* Someone who follows an app. */
typedef struct Attach Attach;
struct Attach {
    Source in; /* what the follower types */
    App *app;
    int out_fd, err_fd;
    Attach *next;
};

struct App {
    App *next;
    Arena arena; /* of the spec */
    AppSpec spec;
    AppStatus st;
    pid_t pid; /* in our pid namespace */
    int pidfd;
    int log_fd;
    uint64_t log_bytes; /* in the file that is written */
    Stream out, err;
    Source
        in; /* write end of standard input, or the terminal; watched only while `pending` waits */
    Buf pending; /* typed, but not yet taken by the app */
    Attach *attached;
    uint64_t oom_before;
};

typedef struct Exec Exec;
struct Exec {
    Exec *next;
    pid_t pid;
    int pidfd;
    char id[APP_ID_MAX + 1];
};

typedef struct Client Client;
struct Client {
    Source src;
    Client *next;
};

struct Stage1 {
    int epoll_fd;
    int dir_fd;  /* the pod's directory */
    int proc_fd; /* the host's /proc */
    int own_pidns_fd;
    int own_pidfd; /* in the launcher */
    Source listener, signals;
    Arena arena;
    PodSpec spec;
    CgroupSystem cgroups;
    App *apps;
    Exec *execs;
    Client *clients;
    pid_t init_pid; /* of the shared pid namespace; 0: none */
    int init_pidfd;
    bool stopping, done;
    int64_t kill_at; /* monotonic; 0: never */
    Buf scratch;     /* of one message or log write */
    char packet[PROTO_PACKET_MAX];
};

/* stage1.c */
int source_watch(Stage1 *s, Source *src, uint32_t events, Err *err) NODISCARD;
void source_close(Stage1 *s, Source *src);
/* A pod's supervisor to be, in the launcher: reads the pod's spec and makes its control groups.
 * Takes dir_fd over. */
int stage1_new(int dir_fd, Stage1 **ret, Err *err) NODISCARD;
Stage1 *stage1_free(Stage1 *s); /* takes everything down, the control groups too */
/* As fork(2): the child is the supervisor, the first process of its pid namespace and in its
 * control group; it goes on with stage1_run(). */
pid_t stage1_fork(Stage1 *s, Err *err) NODISCARD;
/* Runs a pod to its end and frees it. `report_fd` gets 'K', or 'E' and an Err, once it is known
 * whether it works. `lock_fd` holds the pod's lock, which is given up at the end. */
int stage1_run(Stage1 *s, int lock_fd, int report_fd);

/* stage1_setup.c */
int stage1_prepare(Stage1 *s, Err *err) NODISCARD; /* in the launcher: the spec, control groups */
int stage1_setup(Stage1 *s, Err *err) NODISCARD;   /* the rest, in the supervisor */
void stage1_teardown(Stage1 *s);
#define STAGE1_GROUP "supervisor" /* its own control group, below the pod's */
void stage1_cgroup_path(const Stage1 *s, const char *app, char ret[static CGROUP_PATH_MAX]);

/* stage1_requests.c */
void client_accept(Stage1 *s, Source *src, uint32_t events);
void client_free(Stage1 *s, Client *c);
void broadcast_app(Stage1 *s, const App *app);
void broadcast_exec(Stage1 *s, const char *id, int exit_code);

/* stage1_app.c */
App *app_by_id(Stage1 *s, const char *id);
int app_add(Stage1 *s, const char *id, App **ret, Err *err) NODISCARD;
int app_start(Stage1 *s, App *app, Err *err) NODISCARD;
void app_exited(Stage1 *s, App *app, int status);
void app_remove(Stage1 *s, App *app);
void stage1_reap(Stage1 *s, Source *src, uint32_t events);
/* 126, 127 or 128 for why a command could not be started. */
int exit_code_of(const Err *err);

/* stage1_exec.c */
Exec *exec_by_id(Stage1 *s, const char *id);
int exec_start(Stage1 *s, const ProtoRequest *r, int ret_fds[POD_FDS_MAX], Err *err) NODISCARD;

/* stage1_spawn.c */
typedef struct Spawn {
    const AppSpec *app;
    const ProtoRequest *exec; /* NULL: the app's own first process */
    int fds[3];               /* for the child; -1: /dev/null */
    int app_pidfd;            /* exec: whose namespaces */
    char cgroup[CGROUP_PATH_MAX];
    char rootfs[PATH_MAX]; /* absolute */
    char upper[PATH_MAX], work[PATH_MAX];
    pid_t pid;
    int pidfd;
    int master; /* with a terminal */
} Spawn;
/* Clones the child in its cgroup, and waits until it runs the command or says why not. On failure
 * the child is gone. */
int spawn_run(Stage1 *s, Spawn *sp, Err *err) NODISCARD;
pid_t host_pid(Stage1 *s, int pidfd);

/* stage1_child.c: in the child; returns only on failure */
int child_run(const Stage1 *s, const Spawn *sp, int sync_fd, Err *err) NODISCARD;

/* stage1_io.c */
void stream_open(Stage1 *s, Stream *st, App *app, int fd, const char *name);
void stream_drain(Stage1 *s, Stream *st); /* to what is there, then closes */
int attach_new(Stage1 *s, App *app, int ret_fds[POD_FDS_MAX], Err *err) NODISCARD;
void attach_free_all(Stage1 *s, App *app);

/* stage1_log.c */
int log_open(App *app, Err *err) NODISCARD;
/* Appends what an output gave, in CRI's format; `end`: nothing more comes. */
void log_output(Stage1 *s, Stream *st, StrView data, bool end);
/* The pure part: complete lines of `data`, put behind `partial`, as log lines in `out`. */
void log_format(Buf *partial, const char *name, const char *stamp, StrView data, bool end,
                Buf *out);

/* stage1_disk.c */
int disk_write_exit(Stage1 *s, const App *app, Err *err) NODISCARD;
int disk_write_started(Stage1 *s, const App *app, Err *err) NODISCARD;
