/* pod_internal.h - shared by pod.c (the connection) and pod_start.c, pod_disk.c. */
#pragma once

#include "pod/proto.h"

/* Opens the pod's directory. */
int pod_dir_open(const char *dir, int *ret_fd, Err *err) NODISCARD;
/* Whether stage1 holds the lock below dir_fd. */
bool pod_dir_is_locked(int dir_fd);
