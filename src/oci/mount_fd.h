/* mount_fd.h - the kernel's descriptor-based mount calls, and what is built of one or two of them.
 * All return 0, a descriptor, or a negative errno, unless they take an Err. */
#pragma once

#include "base/err.h"

/* A detached copy of the mount that `path` of `fd` is in, from there on; "" is fd itself. */
int mount_tree_clone(int fd, const char *path, bool recursive);
/* MOUNT_ATTR_… and a propagation (MS_PRIVATE and so on; 0: as it is) of the mount that fd is. */
int mount_tree_set(int fd, uint64_t set, uint64_t clear, uint64_t propagation, bool recursive);
/* Maps its owners by the user namespace `ns_fd`. */
int mount_tree_idmap(int fd, int ns_fd, bool recursive);
int mount_tree_attach(int tree, int target);
/* A detached new file system; `data` is "key=value,flag", `flags` are MS_… as of mount(2), of which
 * those of the mount itself are taken here. */
int mount_new(const char *fstype, const char *source, const char *data, unsigned long flags);
/* "/proc/self/fd/N", for calls that know paths only. */
void mount_fd_path(int fd, char path[static 32]);

/* A device of the host over `target`: it can be used there, and its inode, which is the host's own,
 * has its owner and mode changed by nobody through it (the mount is read-only). */
int mount_node(int fd, const char *path, int target);

/* Hides `path` of the container: the null device over a file, an empty read-only tmpfs over a
 * folder. A missing one is fine. */
int mount_mask(int root_fd, int null_fd, const char *path, Err *err) NODISCARD;
/* Makes `path` of the container and all below it read-only. A missing one is fine. */
int mount_readonly(int root_fd, const char *path, Err *err) NODISCARD;
