/* user.h - "user[:group]" of an image or pod, looked up in the container's own /etc/passwd and
 * /etc/group. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum { USER_DB_MAX = 4 * 1024 * 1024, USER_GROUPS_MAX = 1024 };

typedef struct UserInfo {
    uint32_t uid, gid;
    uint32_t *groups; /* supplementary, from the group file, without gid; in the arena */
    uint32_t groups_len;
    const char *home; /* "/" if unknown */
} UserInfo;

/* `root_fd` is the container's root; the files are opened inside it. `spec` is "", "name", "uid",
 * "name:group", "uid:gid" (empty: root). Numbers need no entry; names do: ERR_NOT_FOUND. */
int user_lookup(int root_fd, StrView spec, Arena *a, UserInfo *ret, Err *err) NODISCARD;

/* The pure part, on the texts of the two files. */
int user_lookup_text(StrView passwd, StrView group, StrView spec, Arena *a, UserInfo *ret,
                     Err *err) NODISCARD;
