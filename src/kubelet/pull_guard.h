/* pull_guard.h - what a pull may take from the images that are on the node already, and the record
 * of who may use what it brings. */
#pragma once

#include "image/registry.h"
#include "kubelet/pull_record.h"

/* For somebody with that right; NULL: without any. `dir` has the records. Texts are copied. The
 * caller frees it unless a pull has taken it. ERR_NOMEM. */
int pull_guard_new(ImageStore *s, const char *dir, const PullRight *right, RegistryGuard *ret,
                   Err *err) NODISCARD;
