/* groups_internal.h - the control groups of a container, in each hierarchy of the machine. */
#pragma once

#include "oci/cgroup_devices.h"
#include "oci/cgroup_internal.h"
#include "oci/runtime/groups.h"

struct OciGroups {
    Arena arena;
    CgroupSystem sys;
    const char *path[CGROUP_HIERARCHIES_MAX]; /* in each of sys; NULL: it could not be made */
    const char *full[CGROUP_HIERARCHIES_MAX]; /* the same on the host */
    size_t made[CGROUP_HIERARCHIES_MAX];      /* by oci_groups_create(): cgroup_remove_made() */
    bool rootless;                            /* what cannot be made is left out */
    bool asked;                               /* the path was given */
    uint32_t found;                           /* processes that were there before */
    const char *unit;                         /* systemd's; NULL: the groups are our own */
    bool user;                                /* it is that of a user's manager */
    bool started; /* or it may be, as the state says: until then it is another's, if it is there */
    const char *slice, *title, *program; /* only until it is made; OciGroupsWant.program */
};

/* The hierarchy that carries a controller and the group in it; NULL: none, or it was left out. */
const CgroupHierarchy *groups_find(const OciGroups *g, const char *controller,
                                   const char **ret_path);
/* The hierarchy of version 2 and the group in it, or NULL. */
const CgroupHierarchy *groups_v2(const OciGroups *g, const char **ret_path);
/* Where all processes are: the one that is asked for them. */
const CgroupHierarchy *groups_main(const OciGroups *g, const char **ret_path);

/* Is version 2 alone there? */
bool groups_only_v2(const OciGroups *g);
/* All limits into the files of the groups. */
int groups_set_files(const OciGroups *g, const OciResources *r, Err *err) NODISCARD;

/* groups_systemd.c: the unit. Place says where its group will be (the arena's), start returns with
 * `pid` in it, set changes its limits, stop ends it whatever it is. */
int groups_unit_place(OciGroups *g, const OciGroupsWant *want, const char **ret_path,
                      Err *err) NODISCARD;
int groups_unit_start(OciGroups *g, const OciResources *r, const OciPairs *annotations, pid_t pid,
                      Err *err) NODISCARD;
int groups_unit_set(OciGroups *g, const OciResources *r, Err *err) NODISCARD;
void groups_unit_stop(OciGroups *g);

/* One group while its limits are set. */
typedef struct GroupAt {
    const CgroupHierarchy *h;
    const char *path;
} GroupAt;

int group_write(const GroupAt *at, const char *file, const char *value, Err *err) NODISCARD;
int group_write_i64(const GroupAt *at, const char *file, int64_t value, Err *err) NODISCARD;
int group_write_u64(const GroupAt *at, const char *file, uint64_t value, Err *err) NODISCARD;
bool group_has(const GroupAt *at, const char *file);
/* A file of one number, "max" is UINT64_MAX; negative errno. */
int group_read_u64(const GroupAt *at, const char *file, uint64_t *ret);

/* The limits of one controller, in the files of version 1 and of version 2. */
typedef int GroupSet(const GroupAt *at, const OciResources *r, Err *err);
GroupSet group_v1_cpuset, group_v1_memory, group_v1_cpu, group_v1_pids, group_v1_block,
    group_v1_hugetlb, group_v1_net_cls, group_v1_net_prio;
GroupSet group_v2_cpuset, group_v2_memory, group_v2_cpu, group_v2_block, group_v2_hugetlb;
GroupSet group_pids, group_rdma;

/* What memory.swap.max gets for the sum of memory and swap that version 1 limits. */
int group_v2_swap(int64_t swap, int64_t memory, int64_t *ret, Err *err) NODISCARD;

/* Device policy: what the rules say when all of them were read in their order, as version 1 does:
 * either everything is denied but the rules, or the other way round. */
typedef struct DeviceSet {
    bool allow;
    DeviceRule rules[DEVICE_RULES_MAX];
    size_t n;
} DeviceSet;
/* ERR_INVALID: a rule takes away a part of a wider one, which version 1 would silently ignore. */
int device_set_add(DeviceSet *s, const OciDeviceRule *rule, Err *err) NODISCARD;
/* What devices.list says. */
int device_set_parse(DeviceSet *s, StrView list, Err *err) NODISCARD;
/* What is written to devices.allow and devices.deny to come from one to the other: calls `fn` for
 * each line, in order. */
typedef int DeviceLineFn(void *ctx, bool allow, const char *line, Err *err);
int device_set_change(const DeviceSet *from, const DeviceSet *to, DeviceLineFn *fn, void *ctx,
                      Err *err) NODISCARD;
int groups_set_devices(const OciGroups *g, const OciResources *r, Err *err) NODISCARD;
