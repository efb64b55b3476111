/* internal.h - what the files of the kubelet share.
 *
 *   kubelet.c      the whole: informer of this node's pods, one worker each, start and restart
 *   node.c         the Node object and its Lease; node_status.c: what of it is others' stays theirs
 *   worker.c       one pod's state machine: worker_sync() looks at what is wanted and what is, and
 *                  takes the next step; everything that happens calls it again
 *   admit.c        whether a pod is begun at all; support.c: what is not implemented is refused
 *   run.c          its containers: order, restarts, back-off
 *   pull.c         their images, from registries; pull_secrets.c: a pod's credentials;
 *                  pull_record.c: who may use what was pulled; pull_guard.c: what a pull may take
 *                  from there; image_gc.c: what is not used goes
 *   cleanup.c      its end: everything of it on this node is taken down
 *   status.c       from a worker to PodStatus
 *  on a pool thread, as jobs that may be repeated:
 *   gather.c       what a pod refers to: ConfigMaps, Secrets, tokens
 *   sandbox.c      namespaces, network, stage1; hosts.c: its names; sysctl.c: its settings
 *   volumes.c      contents of volumes; propagation.c: mounts that the host or others are to see
 *   container.c    from a container's spec and image to an AppSpec; env.c: its environment;
 *                  filters.c: its system call filter
 *  while it runs:
 *   probe.c        liveness, readiness and startup probes; hooks.c: postStart, preStop
 *   action.c       one try of a probe or run of a hook; http_get.c: over HTTP
 *   logs.c         where logs are, rotation; cri_log.c: their format
 *   server.c       the kubelet's own API (server.h lists its files); pump.c: bytes from one
 *                  descriptor to another; metrics.c and net_dev.c: what is counted
 */
#pragma once

#include "api/events.h"
#include "api/informer.h"
#include "base/map.h"
#include "base/vec.h"
#include "cni/runtime.h"
#include "image/image.h"
#include "kubelet/filters.h"
#include "kubelet/image_gc.h"
#include "kubelet/kubelet.h"
#include "kubelet/metrics.h"
#include "kubelet/pull.h"
#include "oci/cgroup.h"
#include "pod/pod.h"

enum {
    MEMORY_RESERVED = 100 * 1024 * 1024, /* as the kubelet keeps free: memory.available<100Mi */
    CONTAINERS_MAX = 64,
    BACKOFF_MIN_MS = 10 * 1000,
    BACKOFF_MAX_MS = 300 * 1000,
    BACKOFF_RESET_MS = 600 * 1000,
    RECONNECT_MS = 50,
    SETUP_RETRY_MIN_MS = 500,
    SETUP_RETRY_MAX_MS = 60 * 1000,
    VOLUME_REFRESH_MS = 60 * 1000,
    TOKEN_LIFETIME_SEC = 3607,
    PATH_SIZE = 1024,
    LOG_MAX_SIZE = 10 * 1024 * 1024, /* containerLogMaxSize */
    LOG_MAX_FILES = 5,               /* containerLogMaxFiles */
    VOLUME_FILE_MAX = 4 * 1024 * 1024,
};
#define MEMORY_DIR                                                                                 \
    "memory" /* below DATA_DIR/node: a tmpfs, for the volumes that may hold secrets */

typedef struct Worker Worker;
typedef struct Container Container;
typedef struct Probe Probe;
typedef struct Action Action;
typedef struct LogRotator LogRotator;
typedef struct NodeAgent NodeAgent;
typedef struct KubeletServer KubeletServer;

struct Kubelet {
    Loop *loop;
    ApiClient *api;
    KubeletConfig cfg; /* texts are owned */
    EventRecorder *events;
    Informer *pods, *services;
    ImageStore *images;
    Puller *puller;
    ImageKeeper *image_keeper;
    FilterCache *filters;
    CniNetwork *network;
    CniNetwork *network_ports; /* the same with portmap behind it, for pods with host ports */
    CgroupSystem cgroups;
    KubeletMetrics metrics;
    NodeAgent *node;
    KubeletServer *server;
    LogRotator *rotator;
    Source *trim;  /* timer: kubelet_trim_soon() */
    Map workers;   /* pod UID to Worker */
    unsigned jobs; /* on pool threads; they use the configuration, images and networks */
    bool ended;    /* kubelet_free() was called: what jobs use is freed with the last of them */
    char bridge[16], plugin_dir[PATH_SIZE], cni_dir[PATH_SIZE];
};

/* Runs a job on a pool thread, then `done` on the loop's, which ends with kubelet_job_done(). By
 * then the kubelet's workers may be gone: a job finds its own by UID. */
int kubelet_job(Kubelet *k, LoopFn *work, LoopFn *done, void *job, Err *err) NODISCARD;
void kubelet_job_done(Kubelet *k);
/* A pod is gone: when no more go for a while, freed memory is given back to the machine. */
void kubelet_trim_soon(Kubelet *k);

/* ---- containers ---- */

typedef enum ContainerKind { CONTAINER_INIT, CONTAINER_SIDECAR, CONTAINER_MAIN } ContainerKind;

typedef enum ContainerPhase {
    PHASE_WAITING,  /* not started, or between two runs */
    PHASE_PULLING,  /* it has an ImageWait */
    PHASE_STARTING, /* a job or a request is under way */
    PHASE_RUNNING,
    PHASE_EXITED,
} ContainerPhase;

struct Container {
    Worker *worker;
    char name[64];
    ContainerKind kind;
    const Value *spec; /* in the worker's arena; changes with each new version of the pod */
    ContainerPhase phase;
    unsigned attempt; /* restartCount; app id is NAME.ATTEMPT */
    bool ever_started;
    AppStatus run; /* of this attempt, when running or exited */
    bool counted; /* `attempt` was counted on from the pod's status: no earlier run is known here */
    bool has_last;
    AppStatus last;                 /* of the attempt before */
    char reason[48], message[1200]; /* while waiting: "ContainerCreating", "CrashLoopBackOff" … */
    char image[512], image_id[300], container_id[160];
    int64_t restart_at; /* monotonic ns; 0: at once */
    int64_t backoff_ms, pull_backoff_ms;
    int64_t pull_failed_at; /* monotonic ns: when ImagePullBackOff is said; 0: not */
    ImageWait *image_wait;
    bool image_ok;        /* the next start uses the image as it is on the node, if it is still */
    Digest image_allowed; /* the one of this configuration */
    bool ready, started;  /* what probes say; without probes: running */
    bool stopping; /* killed by a probe or for a change; starts again by the restart policy */
    bool kill_sent;
    int64_t kill_at; /* monotonic ns: while `stopping`, when SIGKILL follows */
    Probe *probes[3];
    Action *hook;              /* postStart or preStop, while it runs */
    bool restored;             /* from disk; stage1 has not said yet whether it runs */
    bool launched;             /* by us: its postStart hook has not run yet */
    bool post_start, pre_stop; /* which hook it is */
};

/* ---- one pod ---- */

typedef enum WorkerPhase {
    WORKER_NEW,       /* nothing made yet */
    WORKER_GATHERING, /* asking the API server for what it refers to */
    WORKER_SETUP,     /* a job makes sandbox and volumes */
    WORKER_RUNNING,   /* stage1 is there */
    WORKER_STOPPING,  /* its containers are being ended */
    WORKER_CLEANUP,   /* a job takes everything down */
    WORKER_GONE,      /* all resources are free */
} WorkerPhase;

struct Worker {
    Kubelet *k;
    char uid[64];
    char ns[64], name[256];
    ApiObject *obj; /* the newest version; NULL: found on disk, not seen from the API server yet */
    Arena arena;    /* of `pod` */
    Value pod;
    WorkerPhase phase;
    bool busy;     /* a pool job is under way */
    bool deleted;  /* gone from the API server */
    bool rejected; /* never begun, and failed: status.reason says why */
    bool refused;  /* never begun, and pending: `message` says why */
    char reason[64], message[512];
    Pod *conn; /* to stage1 */
    Source *conn_source, *timer;
    Source *deadline;                      /* of spec.activeDeadlineSeconds */
    Container *containers[CONTAINERS_MAX]; /* owned */
    unsigned n_containers;
    char pod_ip[48];
    int64_t started_at; /* wall clock ns: status.startTime */
    int64_t seen_ns;    /* monotonic: when this agent first heard of it */
    bool start_counted; /* kubelet_pod_start_duration_seconds has it, or does not want it */
    int64_t retry_ms;
    int64_t kill_at;        /* monotonic ns: end of the grace period */
    int64_t stop_grace_ms;  /* while stopping: the shortest that was asked for */
    bool terminal;          /* phase Succeeded or Failed: not started again */
    StrView terminal_phase; /* static text */
    bool settled; /* was over before this agent knew it: its containers may be gone, its status is
                     final */
    struct Gather *gather;
    Map resources; /* "configmap/NAME", "secret/NAME", "token/VOLUME/…" to Buf*: JSON or token */
    int64_t refreshed; /* monotonic ns: when volumes were written last */
    Buf sent_status;   /* the last patch, to send only changes */
    bool status_busy, status_dirty, delete_sent;
    bool by_hand; /* while stopping: containers are ended one by one, because of hooks */
    ApiCall *status_call, *delete_call;
};

/* Calls worker_sync() soon, from the loop. */
void worker_wake(Worker *w);
void worker_wake_in(Worker *w, int64_t ms);
void worker_sync(void *worker);
Worker *worker_new(Kubelet *k, const char *uid);
Worker *worker_free(Worker *w); /* the pod runs on */
/* A new version of the pod, or NULL: gone. */
void worker_update(Worker *w, ApiObject *obj);
/* Takes up a pod that runs from before. */
int worker_restore(Worker *w, Err *err) NODISCARD;
Container *worker_container(Worker *w, StrView name);
void worker_event(Worker *w, const Container *c, StrView type, StrView reason, const char *fmt, ...)
    PRINTF(5, 6);
/* Of the container's first process; 0: its own stop signal. */
void container_signal(Container *c, int sig);
/* Its postStart hook, if any, has succeeded: now it counts as running. */
void container_begin_probes(Container *c);
/* What the API has of the container's present run; NULL: nothing, or not that it runs. Lives as
 * long as the worker's pod. */
const Value *container_known_status(const Container *c);
/* A probe or a changed image ends the container; it starts again if the policy says so. */
void container_stop(Container *c, const char *why);
/* Brings the containers of a pod that has its sandbox forward. */
void containers_run(Worker *w);
int64_t worker_grace(const Worker *w); /* seconds */
Worker *worker_of(Kubelet *k, const char *uid);
/* Wakes the worker after a time that doubles with each failure in a row. */
void worker_retry_later(Worker *w);
/* cleanup.c: begins the job that leaves nothing of the pod here (CLEANUP, then GONE). */
void worker_clean_up(Worker *w);
/* Everything is free: deletes the pod's object, once. */
void worker_delete_object(Worker *w);
/* "NAME.ATTEMPT" */
const char *container_app_id(const Container *c, char buf[static APP_ID_MAX + 1]);

/* Paths, in buffers of PATH_SIZE. */
char *worker_dir(const Worker *w, char buf[static PATH_SIZE]);   /* DATA_DIR/node/pods/UID */
char *worker_netns(const Worker *w, char buf[static PATH_SIZE]); /* DATA_DIR/node/netns/UID */
/* LOG_ROOT/NS_NAME_UID/CONTAINER/ATTEMPT.log */
char *container_log_path(const Container *c, unsigned attempt, char buf[static PATH_SIZE]);

/* Does it use the node's own network namespace? */
bool pod_is_host_network(const Value *pod);

/* ---- gather.c ---- */
/* Asks for everything that the pod refers to and puts it into w->resources; then worker_gathered().
 * What is missing (and not optional) is an error that names it. */
void gather_start(Worker *w);
/* No answer is waited for any more; fine when none is. */
void gather_cancel(Worker *w);
/* The end of gather_start(), on the loop; NULL: w->resources has all of it. */
void worker_gathered(Worker *w, const Err *err);
/* A fetched object as a tree in the arena; false when it is absent (optional). kind: "configmap",
 * "secret". */
bool resource_get(const Map *resources, const char *kind, StrView name, Arena *a, Value *ret);
StrView resource_token(const Map *resources, StrView volume, unsigned source);
void resources_free(Map *resources);
bool resources_copy(const Map *from, Map *to);

/* ---- jobs: run on a pool thread with copies of everything ---- */
typedef struct SetupJob {
    Kubelet *k; /* only what never changes is used: cfg, images, network, cgroups */
    char uid[64];
    Arena arena;
    Value pod;
    Map resources;
    bool volumes_only; /* a refresh */
    char pod_ip[48];
    Pod *conn;
    Err err;
} SetupJob;
/* What a job needs of its worker, into its arena: false when memory is short. */
bool worker_copy_inputs(Worker *w, SetupJob *job);

/* ---- hosts.c ---- */
/* The pod's host name (in the arena of the job), with setHostnameAsFQDN the full one. ERR_LIMIT
 * when that is longer than the kernel takes. */
int pod_hostname(SetupJob *job, const char **ret, Err *err) NODISCARD;
/* /etc/hosts, /etc/hostname and /etc/resolv.conf of its containers, in its folder. */
int hosts_write(SetupJob *job, const char *dir, Err *err) NODISCARD;

int sandbox_create(SetupJob *job, Err *err) NODISCARD; /* sandbox.c */
int sandbox_destroy(Kubelet *k, const char *uid,
                    Err *err) NODISCARD; /* network, namespaces, files */
/* Takes down what pods without a folder have left: processes, addresses, mappings of ports. */
void sandbox_sweep(Kubelet *k);
/* The control group of a pod. */
void sandbox_cgroup(const Kubelet *k, const Value *pod, const char *uid,
                    char buf[static PATH_SIZE]);
int sandbox_read_ip(Kubelet *k, const char *uid, char ip[static 48]);
int volumes_write(SetupJob *job, Err *err) NODISCARD; /* volumes.c */
/* The node's tmpfs; opening it again changes nothing. */
int volumes_open_memory(Kubelet *k, Err *err) NODISCARD;
void volumes_close_memory(Kubelet *k);
/* Where a mounted volume comes from; texts are in the job's arena. With a subPath `root` is the
 * volume's folder and `path` lies inside it, to be resolved where it is mounted (OciMount.root);
 * without one `root` is "" and `path` absolute. */
typedef struct VolumeSource {
    const char *root, *path;
    bool readonly; /* the volume itself demands it */
} VolumeSource;
/* Of an entry of volumeMounts. ERR_INVALID or ERR_NOT_FOUND name the volume. */
int volume_source(SetupJob *job, const Value *mount, VolumeSource *ret, Err *err) NODISCARD;

typedef struct StartJob {
    SetupJob base;
    char container[64];
    unsigned attempt;
    bool is_init;
    char pod_log[PATH_SIZE];
    AppSpec app;                     /* result; texts in base.arena */
    char image_id[300], waiting[48]; /* waiting: reason when it fails: "ErrImageNeverPull" … */
    bool image_ok;                   /* whoever may not use the image was told so before */
    Digest image_allowed; /* of this configuration; as a result: the one that was looked at */
    ImageNeed need;       /* result: READY, or it is no error, and what is missing */
    PullRecord record;    /* of IMAGE_VERIFY; texts in base.arena */
    Value service_env;    /* list of "NAME=VALUE" for enableServiceLinks */
} StartJob;
int container_prepare(StartJob *job, Err *err) NODISCARD; /* container.c */

/* env.c: "NAME=VALUE" strings. */
typedef VEC(const char *) StringList;
/* The image's variables, the services', envFrom's and env's, later ones over earlier ones; texts
 * are in the job's arena, the list is the caller's (vec_free). ERR_NOT_FOUND names what is referred
 * to. */
int env_build(StartJob *job, const Value *container, const ImageConfig *img, StringList *ret,
              Err *err) NODISCARD;
/* Expands $(NAME) by the variables so far; $$(NAME) stays. */
StrView env_expand(StrView text, const StringList *env, Arena *a);
/* The value of a fieldRef / resourceFieldRef; ERR_INVALID names an unknown path. */
int field_ref_value(const SetupJob *job, StrView path, StrView *ret, Err *err) NODISCARD;
int resource_field_value(const Value *pod, const Value *ref, const Value *container, Arena *a,
                         StrView *ret, Err *err) NODISCARD;
Value service_links(Kubelet *k, StrView ns, Arena *a); /* on the loop */

/* ---- status.c ---- */
void status_send(Worker *w); /* when it differs from what was sent last */

/* ---- admit.c ---- */
/* False: the pod is not begun; it has failed, or waits for good, and says why. */
bool pod_admit(Worker *w);
/* Fails a pod that has been active for longer than its spec allows, else sees to it that it will.
 */
void pod_watch_deadline(Worker *w);

/* ---- support.c ---- */
/* ERR_UNSUPPORTED names the first field that this kubelet would have to ignore. */
int support_check(const Value *pod, Err *err) NODISCARD;
/* One line for each field of a pod's spec that is in no row, or in two, and for each row that names
 * no field; for the build. */
void support_coverage(Buf *out);

/* ---- sysctl.c ---- */
/* ERR_DENIED, with the kubelet's message and the field, for the first sysctl that is not one of the
 * safe set of Kubernetes 1.35, or that belongs to a namespace which the pod shares with the host.
 */
int sysctls_check(const Value *pod, Err *err) NODISCARD;
/* Fills ret->sysctls, names with dots; ERR_NOMEM. */
int sysctls_of(const Value *pod, Arena *a, PodSpec *ret, Err *err) NODISCARD;

/* ---- probe.c ---- */
typedef enum ProbeKind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS } ProbeKind;
/* Starts the container's probes after it has begun to run; the results change c->ready and
 * c->started and wake the worker; a failed liveness or startup probe calls container_stop(). */
void probes_start(Container *c);
void probes_stop(Container *c);
/* While a pod ends, readiness goes on to say whether it can serve. */
void probes_stop_but_readiness(Container *c);

/* ---- hooks.c ---- */
/* Runs the postStart hook; false: there is none, or it could not be begun. */
bool hook_post_start(Container *c);
bool hook_pre_stop_wanted(const Container *c);
/* Ends a running container: its preStop hook, then its stop signal; c->kill_at says when it is to
 * be killed. grace_ms 0: no hook. */
void hook_end(Container *c, int64_t grace_ms);
void hook_cancel(Container *c);

/* ---- logs.c ---- */
/* Where pods' logs are: /var/log/pods for the default data directory, else DATA_DIR/log/pods. */
const char *log_root(const Kubelet *k, char buf[static PATH_SIZE]);
/* Looks at the sizes of logs every now and then. */
int log_rotator_new(Kubelet *k, LogRotator **ret, Err *err) NODISCARD;
LogRotator *log_rotator_free(LogRotator *r);
/* Removes the log of an attempt and what was rotated of it. */
void log_remove_attempt(const Container *c, unsigned attempt);
/* Removes all logs of a pod; on a pool thread. */
int log_remove_pod(const Kubelet *k, const char *uid, Err *err) NODISCARD;

/* Bytes that all pods together may use; also the limit of their control group. */
int64_t node_allocatable_memory(void);

/* ---- node.c ---- */
int node_agent_new(Kubelet *k, NodeAgent **ret, Err *err) NODISCARD;
NodeAgent *node_agent_free(NodeAgent *n);

/* ---- server.c ---- */
int kubelet_server_new(Kubelet *k, KubeletServer **ret, Err *err) NODISCARD;
int kubelet_server_reload(KubeletServer *s, StrView cert, StrView key, StrView client_ca,
                          Err *err) NODISCARD;
KubeletServer *kubelet_server_free(KubeletServer *s);
