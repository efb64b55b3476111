/* spec.h - config.json of a bundle: the OCI runtime specification 1.2, for Linux, as structs.
 *
 * Every field of the specification is here. What is read was checked: texts hold no NUL, enums are
 * known, numbers are in their ranges, and what one field asks of another (id mappings need a user
 * namespace) is there; so what takes a spec need not look again. Fields that the specification does
 * not know are ignored, as it demands.
 *
 * Source: https://github.com/opencontainers/runtime-spec, config.md and config-linux.md. */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "codec/value.h"

enum {
    OCI_CONFIG_MAX = 16 * 1024 * 1024, /* bytes of a config.json */
    OCI_MAPPINGS_MAX = 340,            /* lines that the kernel takes */
};
#define OCI_VERSION "1.2.0"

typedef struct OciTexts { /* items[len] is NULL; never NULL itself */
    const char **items;
    uint32_t len;
} OciTexts;

typedef struct OciPair {
    const char *name, *value;
} OciPair;
typedef LIST(OciPair) OciPairs;

/* A number that may be absent. */
typedef struct OciNumber {
    bool set;
    int64_t n; /* uint64 fields: the same bits */
} OciNumber;

typedef struct OciIdMap {
    uint32_t container, host, size;
} OciIdMap;
typedef LIST(OciIdMap) OciIdMaps;

typedef struct OciSpecMount {
    const char *destination;   /* absolute, or as 1.0 allowed relative to "/" */
    const char *type, *source; /* NULL: absent */
    OciTexts options;
    OciIdMaps uid_maps, gid_maps; /* set in pairs */
} OciSpecMount;

typedef struct OciSpecRlimit {
    uint32_t resource; /* RLIMIT_… */
    uint64_t soft, hard;
} OciSpecRlimit;

typedef struct OciScheduler {
    uint32_t policy; /* SCHED_… */
    uint64_t flags;  /* SCHED_FLAG_… */
    int32_t nice, priority;
    uint64_t runtime, deadline, period; /* ns */
} OciScheduler;

typedef struct OciIoPriority {
    int class; /* IOPRIO_CLASS_… */
    int level;
} OciIoPriority;

/* Also the whole document of `exec --process`. */
typedef struct OciProcess {
    bool terminal, no_new_privs;
    uint32_t console_height, console_width; /* 0: not said */
    uint32_t uid, gid;
    OciNumber umask;
    uint32_t *groups; /* additional */
    uint32_t groups_len;
    OciTexts args, env;
    const char *cwd;
    bool has_caps; /* `capabilities` is there; else nothing is changed for root, as runc does */
    uint64_t bounding, effective, inheritable, permitted, ambient;
    LIST(OciSpecRlimit) rlimits;
    const char *apparmor, *selinux; /* NULL: none */
    OciNumber oom_score_adj;
    OciScheduler *scheduler;               /* NULL: as it is */
    OciIoPriority *io_priority;            /* NULL: as it is */
    const char *cpus_initial, *cpus_final; /* execCPUAffinity; NULL: as it is */
    OciTexts warnings;                     /* of oci_process_parse() alone: to be logged */
} OciProcess;

typedef struct OciHook {
    const char *path; /* absolute */
    OciTexts args, env;
    uint32_t timeout_s; /* 0: none */
} OciHook;
typedef LIST(OciHook) OciHooks;

typedef enum OciNs {
    OCI_NS_USER, /* in the order in which they are made or joined */
    OCI_NS_PID,
    OCI_NS_MOUNT,
    OCI_NS_NETWORK,
    OCI_NS_IPC,
    OCI_NS_UTS,
    OCI_NS_CGROUP,
    OCI_NS_TIME,
    OCI_NS_N
} OciNs;

typedef struct OciSpecDevice {
    const char *path;
    mode_t type; /* S_IFCHR, S_IFBLK or S_IFIFO */
    uint32_t major, minor;
    OciNumber mode, uid, gid;
} OciSpecDevice;

typedef struct OciDeviceRule {
    bool allow;
    char type;            /* 'a', 'b' or 'c' */
    int64_t major, minor; /* -1: all */
    bool r, w, m;
} OciDeviceRule;

typedef struct OciBlockWeight {
    uint32_t major, minor;
    OciNumber weight, leaf_weight;
} OciBlockWeight;
typedef struct OciBlockRate {
    uint32_t major, minor;
    uint64_t rate;
} OciBlockRate;
typedef LIST(OciBlockRate) OciBlockRates;

typedef struct OciRdma {
    const char *device;
    OciNumber handles, objects;
} OciRdma;
typedef struct OciHugepages {
    const char *size; /* "2MB" */
    uint64_t limit;
} OciHugepages;

/* Zero: nothing is said. `update` fills one too. */
typedef struct OciResources {
    /* In order: the last that fits decides. Behind those of config.json come, as in runc, those
     * that every container has; empty (`update`): as it is. */
    LIST(OciDeviceRule) devices;
    struct {
        OciNumber limit, reservation, swap, kernel, kernel_tcp, swappiness;
        bool disable_oom_killer, check_before_update;
    } memory;
    struct {
        OciNumber shares, quota, burst, period, rt_runtime, rt_period, idle;
        const char *cpus, *mems; /* NULL: not said */
    } cpu;
    OciNumber pids_limit;
    struct {
        OciNumber weight, leaf_weight;
        LIST(OciBlockWeight) devices;
        OciBlockRates read_bps, write_bps, read_iops, write_iops;
    } block;
    LIST(OciHugepages) hugepages;
    OciNumber net_class;
    OciPairs net_priorities; /* interface, number */
    LIST(OciRdma) rdma;
    OciPairs unified; /* file of version 2, text */
} OciResources;

typedef struct OciSpec {
    const char *version; /* ociVersion */
    const char *root;    /* as written: absolute, or relative to the bundle; NULL: absent */
    bool root_readonly;
    const char *hostname, *domainname; /* NULL: absent */
    LIST(OciSpecMount) mounts;
    OciProcess *process; /* NULL: only `start` would need it */
    struct {
        OciHooks prestart, create_runtime, create_container, start_container, poststart, poststop;
    } hooks;
    OciPairs annotations;
    bool ns_new[OCI_NS_N];         /* a new one, */
    const char *ns_path[OCI_NS_N]; /* or that of a path; neither: the caller's */
    OciIdMaps uid_maps, gid_maps;
    LIST(OciSpecDevice) devices;
    const char *cgroups_path; /* NULL or "": the runtime's choice */
    OciResources resources;
    bool has_resources;
    const Value *seccomp; /* NULL: unconfined. Checked and compiled by seccomp_profile.h */
    const char *seccomp_listener, *seccomp_metadata; /* NULL: absent */
    OciPairs sysctl;
    const char *rootfs_propagation; /* "shared", "rslave", …; NULL: not said */
    OciTexts masked, readonly_paths;
    const char *mount_label; /* NULL: none */
    bool intel_rdt;          /* is there, and has no effect */
    bool has_personality;
    unsigned long personality; /* PER_… with flags */
    struct {
        bool set;
        int64_t secs;
        uint32_t nanosecs;
    } time_monotonic, time_boottime;
    const Value *document; /* as it was read: for what shows or keeps it */
    OciTexts warnings;     /* to be logged */
} OciSpec;

/* Reads config.json. `name` is what messages call the file. Everything lives in the arena, the text
 * too. ERR_INVALID names the file, the line where it is known, and the path of the field:
 * "config.json:12: linux.namespaces[1].type: …"; ERR_LIMIT, ERR_NOMEM. */
int oci_spec_parse(StrView text, const char *name, Arena *a, OciSpec **ret, Err *err) NODISCARD;
/* What a caller without rights asks in addition: mappings, and mounts for mapped ids alone. */
int oci_spec_check_rootless(const OciSpec *s, Err *err) NODISCARD;
/* The document of `exec --process FILE`. */
int oci_process_parse(StrView text, const char *name, Arena *a, OciProcess **ret,
                      Err *err) NODISCARD;
/* The document of `update -r FILE`: linux.resources alone. */
int oci_resources_parse(StrView text, const char *name, Arena *a, OciResources *ret,
                        Err *err) NODISCARD;

/* What `knarr-oci spec` writes: runc's default configuration, byte for byte but for the version.
 * Rootless: for the caller, in a user namespace that maps them to root. */
int oci_spec_default(bool rootless, uid_t uid, gid_t gid, Buf *out, Err *err) NODISCARD;

/* One device rule in the words of version 1's devices.allow: "c 1:* rwm". */
void oci_device_rule_format(const OciDeviceRule *r, char ret[static 64]);
