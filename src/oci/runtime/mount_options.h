/* mount_options.h - the options of one mount of config.json, sorted by what they mean. Pure. */
#pragma once

#include "oci/runtime/spec.h"

typedef struct MountPlan {
    bool bind, recursive;         /* bind, rbind, or the type "bind" */
    unsigned long flags;          /* MS_… of a new file system */
    uint64_t attr_set, attr_clr;  /* MOUNT_ATTR_… of a bind mount */
    uint64_t rec_set, rec_clr;    /* the same, for all below it too: "rro" */
    unsigned long propagation[4]; /* MS_PRIVATE | MS_REC and so on, in order */
    unsigned propagation_len;
    bool copy_up;          /* tmpcopyup */
    bool idmap, idmap_rec; /* idmap, ridmap */
    const char *data;      /* what the file system is to understand; NULL: nothing */
} MountPlan;

/* ERR_LIMIT for more than four propagation options; ERR_NOMEM. */
int mount_plan(const OciSpecMount *m, Arena *a, MountPlan *ret, Err *err) NODISCARD;

/* Every option that is not data of a file system, by number and sorted, for `features`; NULL behind
 * the last. */
const char *mount_option_known(unsigned i);
