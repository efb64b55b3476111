/* cluster.h - what a one-node cluster consists of: its folders, names, users and roles, all derived
 * from the data directory and the options, so that several clusters share a machine. */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

typedef enum RoleId {
    ROLE_SERVER,
    ROLE_CONTROLLER,
    ROLE_SCHEDULER,
    ROLE_NODE,
    ROLE_DNS,
    ROLE_MAX
} RoleId;

typedef struct ClusterOptions {
    const char *data_dir; /* absolute */
    uint16_t api_port;
    const char *pod_cidr, *service_cidr;
} ClusterOptions;

typedef struct Cluster {
    ClusterOptions opt;
    char dir[512];
    char instance[16];  /* "knarr", or "kn" and eight hex digits for another data directory */
    char node_name[64]; /* at most NODE_NAME_MAX characters */
    char node_ip[48];
    char gateway[48]; /* first address of the pod range: the bridge, and where DNS listens */
    char dns_ip[48];  /* tenth address of the service range */
    char api_ip[48];  /* first address of the service range */
    uint16_t kubelet_port;
    /* Where /metrics of those is served that have no other port. */
    uint16_t controller_port, scheduler_port, proxy_port, dns_metrics_port;
    uid_t uid_base;         /* roles without root get uid_base + RoleId */
    char bin_dir[PATH_MAX]; /* where the programs are */
} Cluster;

enum {
    DNS_PORT = 10053,
    NODE_NAME_MAX = 52, /* "system:node:" and it are a common name of at most 64 characters */
};

extern const char *const role_names[ROLE_MAX]; /* "server", … */

/* Derives everything from the options. ERR_INVALID names the bad flag. Touches nothing. */
int cluster_init(const ClusterOptions *opt, Cluster *ret, Err *err) NODISCARD;
/* Is this role's process root? */
bool role_is_root(RoleId id);
uid_t role_uid(const Cluster *c, RoleId id);
/* "DIR/…" in a fixed buffer of PATH_MAX; returns buf. */
char *cluster_path(const Cluster *c, char buf[static PATH_MAX], const char *fmt, ...) PRINTF(3, 4);
/* Path of one of our programs: beside the dispatcher, else in libexec. ERR_NOT_FOUND. */
int cluster_program(const Cluster *c, const char *name, char buf[static PATH_MAX],
                    Err *err) NODISCARD;
/* For a flag: a Go duration ("8760h") of at least ten seconds and at most ten years. */
int certificate_lifetime_parse(StrView text, int64_t *ret_ns);
/* knarr-pki's exit code for a clock that cannot be true. Nothing was written. */
enum { PKI_EXIT_CLOCK = 3 };
/* Finds the folder of the running program. */
int own_folder(char buf[static PATH_MAX], Err *err) NODISCARD;

/* The command line of a role, as a NULL-terminated array of strings in `texts` (one block). */
enum { ROLE_ARGS_MAX = 40 };
typedef struct RoleArgs {
    const char *argv[ROLE_ARGS_MAX];
    unsigned n;
    char texts[16384];
    size_t used;
} RoleArgs;
int role_args(const Cluster *c, RoleId id, RoleArgs *ret, Err *err) NODISCARD;

/* Reads back the options that a cluster in this data directory was started with; ERR_NOT_FOUND. */
typedef struct SavedOptions {
    char pod_cidr[64], service_cidr[64];
    uint16_t api_port;
    pid_t supervisor; /* 0: not running */
} SavedOptions;
int cluster_load(const char *data_dir, SavedOptions *ret, Err *err) NODISCARD;
int cluster_save(const Cluster *c, pid_t supervisor, Err *err) NODISCARD;

/* The verbs. Each takes what stands behind it on the command line and returns the exit code. */
int verb_up(int argc, char **argv);
int verb_down(int argc, char **argv);
int verb_status(int argc, char **argv);
