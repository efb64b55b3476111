/* pod_internal.h - shared by the files of stage0; pod_remove_scratch() by stage1, too. */
#pragma once

#include "pod/proto.h"

/* Opens the pod's directory. */
int pod_dir_open(const char *dir, int *ret_fd, Err *err) NODISCARD;
/* Whether stage1 holds the lock below dir_fd. */
bool pod_dir_is_locked(int dir_fd);
/* Removes what only a running app needs: its root, pid and spec. What tells of its end stays. */
void pod_remove_scratch(int dir_fd, const char *app);
