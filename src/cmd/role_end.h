/* role_end.h - how a role ended that is started again: `knarr up` notes it, `knarr status` tells of
 * one that keeps dying. */
#pragma once

#include "cmd/cluster.h"

enum {
    ROLE_HEALTHY_AFTER_MS = 30000, /* one that ran for so long has not died at its start */
    ROLE_RESTART_MAX_MS = 10000,   /* until one that keeps dying is started again */
};

typedef struct RoleEnd {
    int times;     /* in a row, each soon after its start */
    int status;    /* of wait(2) */
    int64_t at_ns; /* of the monotonic clock */
} RoleEnd;

/* Writes DIR/run/ROLE.ended; what cannot be written is not told of. */
void role_end_note(const char *dir, RoleId id, const RoleEnd *end);
/* False where nothing is noted, or nothing that can be read. */
bool role_end_read(const char *dir, RoleId id, RoleEnd *ret);
/* Forgets those of a supervisor before. */
void role_end_forget_all(const char *dir);
