/* cgroup_internal.h - shared by cgroup.c (groups and processes) and cgroup_limits.c (their files).
 */
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
