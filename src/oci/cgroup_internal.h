/* cgroup_internal.h - shared by cgroup.c (groups and processes), cgroup_limits.c (their files) and
 * the runtime's groups, whose paths may differ from one hierarchy to the next. */
#pragma once

#include "base/buf.h"
#include "oci/cgroup.h"

enum { CGROUP_FULL_MAX = CGROUP_PATH_MAX + 64 + 256 };

/* The hierarchy that carries a controller ("memory"), or NULL. */
const CgroupHierarchy *cgroup_find(const CgroupSystem *sys, const char *controller);
/* "MOUNT/PATH[/FILE]" */
void cgroup_full(const CgroupHierarchy *h, const char *path, const char *file,
                 char ret[static CGROUP_FULL_MAX]);
int cgroup_write(const CgroupHierarchy *h, const char *path, const char *file, const char *value,
                 Err *err) NODISCARD;
/* Appends the file's text; negative errno. */
int cgroup_read(const CgroupHierarchy *h, const char *path, const char *file, Buf *out);

/* Does a hierarchy of version 1 say that it has the controller? */
bool cgroup_carries(const CgroupHierarchy *h, const char *name);

/* Makes the group and its parents in one hierarchy. *ret_made: length of the shortest prefix of
 * `path` that was made here, or 0; on failure too: cgroup_remove_made() then takes it away. */
int cgroup_create_in(const CgroupHierarchy *h, const char *path, size_t *ret_made,
                     Err *err) NODISCARD;
void cgroup_remove_made(const CgroupHierarchy *h, const char *path, size_t made);

/* What is done to a group and those below it, deepest first. A frozen one is thawed after SIGKILL.
 */
typedef struct CgroupWalk {
    int sig; /* to send; 0: only count */
    bool remove;
    Buf *pids; /* NULL, or where the processes' pid_t go */
    int processes;
    int failed; /* negative errno of a removal or a look */
} CgroupWalk;
void cgroup_walk(const CgroupHierarchy *h, const char *path, CgroupWalk *w);
