/* runtime.h - the runtime side: runs a chain of plugins for a container and remembers its result.
 */
#pragma once

#include "cni/cni.h"

typedef struct CniNetwork CniNetwork; /* one configuration list; immutable */

/* Reads a list (.conflist) or a single plugin's configuration (.conf, .json) from a file.
 * ERR_INVALID names file and field. */
int cni_network_load(const char *path, CniNetwork **ret, Err *err) NODISCARD;
/* From text; `where` names it in errors. */
int cni_network_parse(StrView text, const char *where, CniNetwork **ret, Err *err) NODISCARD;
CniNetwork *cni_network_free(CniNetwork *n); /* always NULL */
StrView cni_network_name(const CniNetwork *n);

typedef struct CniAttachment {
    const char *container_id, *netns, *ifname;
    const char *plugin_path;      /* CNI_PATH: folders separated by ':' */
    const char *cache_dir;        /* results are kept in CACHE_DIR/results, as libcni does */
    StrView args;                 /* CNI_ARGS: "K8S_POD_NAME=web;…" */
    const Value *capability_args; /* map; NULL: none */
} CniAttachment;

/* Runs ADD of all plugins in order. When one fails, DEL is run for all, so that nothing is left.
 * Blocks: for worker threads and command lines. */
int cni_add(const CniNetwork *n, const CniAttachment *at, Arena *a, CniResult *ret,
            Err *err) NODISCARD;
/* Runs DEL in reverse order, with the cached result, and the cached capability arguments unless
 * others are given; all plugins are run even when one fails. */
int cni_del(const CniNetwork *n, const CniAttachment *at, Err *err) NODISCARD;
int cni_check(const CniNetwork *n, const CniAttachment *at, Err *err) NODISCARD;
/* What the cache says of an attachment. */
typedef enum CniCached {
    CNI_CACHED_NOT,     /* it is not attached, or the result was lost */
    CNI_CACHED_PLAIN,   /* added without capability arguments */
    CNI_CACHED_ARGS,    /* added with some */
    CNI_CACHED_DAMAGED, /* there is a result that cannot be read */
} CniCached;
/* Looks at the result that is kept of an attachment; nothing is changed. */
CniCached cni_cached(const CniNetwork *n, const CniAttachment *at);
