/* state.h - what is kept of a container from one invocation to the next: ROOT/ID/state.json, and
 * beside it the fifo that `create` waits on and `start` opens.
 *
 * - The folder is made (mkdir) by `create`, which is how an id is taken; it is removed last by
 *   `delete`. ROOT/ID/lock is held while anything of the container is changed; the kernel gives it
 *   up when its holder dies.
 * - state.json is replaced whole (rename). It is written first before anything is made that would
 *   have to be taken away (the control groups' place), and again when the first process is known: a
 *   killed `create` leaves what `delete --force` needs.
 * - A process is known by pid and start time (/proc/PID/stat, field 22): a number that has come
 *   anew is nobody of ours.
 * - state.json ends with its checksum, and has that of config.json. Where it is damaged its copy
 *   counts; where that is, too, or config.json, the container is listed as such and can be deleted by
 *   force, and nothing of a damaged file is believed: a pid or path in it may be somebody else's. */
#pragma once

#include "oci/runtime/groups.h"

enum { OCI_ID_MAX = 1024 };

typedef enum OciStatus {
    OCI_CREATING,
    OCI_CREATED,
    OCI_RUNNING,
    OCI_STOPPED,
    OCI_PAUSED,
} OciStatus;
const char *oci_status_name(OciStatus s); /* "created" */

typedef struct OciState {
    Arena arena;
    const char *id, *bundle, *rootfs; /* absolute */
    const char *created;              /* RFC 3339, UTC, with nanoseconds */
    uid_t owner;
    pid_t pid;           /* 0: not yet one */
    uint64_t start_time; /* of that process, in clock ticks after boot */
    bool lost;           /* damaged: which process it is is not known, though there was one */
    OciStatus status;    /* as the processes say, not as it is written */
    OciGroups *groups;   /* NULL: not yet made */
    bool systemd, rootless, no_new_keyring, intel_rdt;
    OciSpec *spec;       /* config.json as it was at `create` (kept in the state) */
    uint32_t config_sum; /* of its text */
    int dir_fd;          /* ROOT/ID */
    int lock_fd;         /* -1: not held */
} OciState;

/* runc's rule: letters, digits, "_", "+", "-", "." and not "." or ".."; ERR_INVALID with its words.
 */
int oci_id_check(const char *id, Err *err) NODISCARD;

/* Takes the id and its lock, and keeps the text of config.json. `root` and its parents are made. An
 * id that is taken: ERR_EXISTS with runc's words. */
int oci_state_new(const char *root, const char *id, const char *bundle, StrView config,
                  OciState **ret, Err *err) NODISCARD;
/* Finds one; `lock`: with the lock, waiting for it. ERR_NOT_FOUND "container does not exist";
 * ERR_CORRUPT: what is left is in *ret, to be deleted by force. */
int oci_state_load(const char *root, const char *id, bool lock, OciState **ret, Err *err) NODISCARD;
int oci_state_save(OciState *s, Err *err) NODISCARD; /* atomic */
/* Looks at the processes anew. */
void oci_state_refresh(OciState *s);
int oci_state_remove(OciState *s, Err *err) NODISCARD; /* the folder, whole; the caller frees */
OciState *oci_state_free(OciState *s);                 /* always NULL */
/* Ids below `root`, sorted, in the arena; a missing root has none. */
int oci_state_ids(const char *root, Arena *a, OciTexts *ret, Err *err) NODISCARD;
/* The state of the specification (runtime.md, "State"), which hooks read and `state` prints with
 * `pretty` and runc's additional fields. */
void oci_state_print(const OciState *s, bool pretty, Buf *out);
