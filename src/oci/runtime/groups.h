/* groups.h - the control groups of one container: where they are, made by ourselves (cgroupfs) or
 * by systemd, with linux.resources in full.
 *
 * A path is said once (`OciGroupsWant`) and then kept in the state (`OciGroups`), since later
 * invocations know nothing of the bundle. Version 1, version 2 and both together are all served;
 * where a hierarchy lies elsewhere than the container's path says (a relative path is below the
 * caller's own group of each hierarchy), the state keeps each of them.
 *
 * Sources: config-linux.md ("Control groups"), runc's libcontainer/cgroups for what it writes where
 * the specification is silent, systemd's org.freedesktop.systemd1. */
#pragma once

#include "oci/cgroup.h"
#include "oci/runtime/spec.h"

typedef struct OciGroupsWant {
    const char *id; /* of the container */
    const char
        *cgroups_path;   /* linux.cgroupsPath; NULL or "": "/ID", for systemd the slice's default */
    bool systemd;        /* --systemd-cgroup: the path is "slice:prefix:name" */
    bool rootless;       /* no rights to make them is no error where nothing was asked for; systemd:
                            the user's own */
    const char *program; /* systemd: our own file, beside which knarr-oci-unit is; NULL:
                            /proc/self/exe */
} OciGroupsWant;

typedef struct OciGroups OciGroups;

/* Where they will be. ERR_INVALID names linux.cgroupsPath; ERR_UNSUPPORTED: --systemd-cgroup where
 * no systemd runs, or a user's where not all groups are of version 2, both in runc's words. */
int oci_groups_new(const OciGroupsWant *want, OciGroups **ret, Err *err) NODISCARD;
/* As the state has kept them. */
int oci_groups_load(const Value *v, OciGroups **ret, Err *err) NODISCARD;
/* Appends a JSON object for the state; only after oci_groups_create(). */
void oci_groups_save(const OciGroups *g, Buf *out);
OciGroups *oci_groups_free(OciGroups *g); /* removes nothing; always NULL */

/* Makes them and writes the limits that must be there before anybody is in them; `pid` (stopped,
 * or not yet running anything of the container) becomes their first member where systemd needs one,
 * else it enters too. `pid` 0: nobody enters, the first process does so itself (oci_groups_join()),
 * which costs nothing. A group that is there and frozen is refused, one that has members is taken,
 * both as by runc: oci_groups_found() then says how many, for a warning.
 * On failure what this made is removed. */
int oci_groups_create(OciGroups *g, const OciResources *r, const OciPairs *annotations, pid_t pid,
                      Err *err) NODISCARD;
uint32_t oci_groups_found(const OciGroups *g);
/* For clone3(CLONE_INTO_CGROUP): the folder of version 2, open, the caller's; -1: there is none. */
int oci_groups_open_v2(const OciGroups *g);
/* The same for a process that joins later: a group of version 2 that has given its controllers to
 * groups below (a container that runs containers) takes no process, then it is the group that
 * `first` is in, the container's first process. */
int oci_groups_open_v2_of(const OciGroups *g, pid_t first);
/* The calling process, which has one thread, enters those of version 1 (and version 2 unless it was
 * born there). `sub` (NULL or "") is a group below, or per controller "cpu,memory:path" as
 * `exec --cgroup` has it; one line for each. */
int oci_groups_join(const OciGroups *g, const char *sub, bool born_in_v2, Err *err) NODISCARD;
/* Device policy, and all other limits; also by `update`, which leaves what is not set as it is. */
int oci_groups_set(OciGroups *g, const OciResources *r, Err *err) NODISCARD;

int oci_groups_freeze(const OciGroups *g, bool frozen,
                      Err *err) NODISCARD; /* waits until they stand */
bool oci_groups_are_frozen(const OciGroups *g);
/* Sends `sig` to each process, of groups below too; SIGKILL until none is left. */
int oci_groups_kill(const OciGroups *g, int sig, Err *err) NODISCARD;
/* All processes, those of groups below too, ascending; *ret is malloc'ed. */
int oci_groups_pids(const OciGroups *g, pid_t **ret, size_t *ret_len, Err *err) NODISCARD;
int oci_groups_remove(OciGroups *g,
                      Err *err) NODISCARD; /* also systemd's unit; missing ones are fine */
bool oci_groups_exist(const OciGroups *g);
/* Path that version 2, or `controller` of version 1, has on the host, for messages and mounts;
 * NULL: none. */
const char *oci_groups_path(const OciGroups *g, const char *controller);

/* The object `data` of `events --stats`, as runc prints it. */
int oci_groups_stats(const OciGroups *g, Buf *out, Err *err) NODISCARD;
/* A descriptor that becomes readable when memory was short (an eventfd of version 1, inotify of
 * memory.events of version 2), or when the group ends; the caller's. *ret_count: how many processes
 * were killed for it until now. */
int oci_groups_oom_watch(const OciGroups *g, int *ret_fd, uint64_t *ret_count, Err *err) NODISCARD;
/* Takes away what the descriptor has to read; how often memory was short since: version 2 counts
 * those that were killed, version 1 tells before it has killed anybody. */
uint64_t oci_groups_oom_take(const OciGroups *g, int fd, uint64_t *count);
