/* plugin.h - the plugin side: one program, every plugin by argv[0]. */
#pragma once

#include "cni/cni.h"

typedef struct CniCall {
    Arena *arena;
    const char *command; /* "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION" */
    const char *container_id, *netns, *ifname, *args, *path;
    Value config;    /* from standard input */
    StrView version; /* the configuration's cniVersion */
    CniCode code;    /* what a failure is reported as; CNI_ERR_PLUGIN unless set */
} CniCall;

/* A plugin: each function may be NULL where the command has nothing to do. On success add fills the
 * result. */
typedef struct CniPlugin {
    const char *name;
    int (*add)(CniCall *c, CniResult *ret, Err *err);
    int (*del)(CniCall *c, Err *err);
    int (*check)(CniCall *c, Err *err);
    int (*gc)(CniCall *c, Err *err);
    int (*status)(CniCall *c, Err *err);
} CniPlugin;

/* Fails with a code of its own. */
int cni_fail(CniCall *c, CniCode code, Err *err, const char *fmt, ...) PRINTF(4, 5);

/* The configuration as a struct; a value of the wrong kind is refused with its line and key. */
int cni_bind(CniCall *c, const Type *t, void *obj, Err *err) NODISCARD;

extern const CniPlugin cni_bridge, cni_loopback, cni_host_local, cni_portmap;

/* Runs the plugin that argv[0] names: reads environment and standard input, prints a result or an
 * error object on standard output. Returns the exit code. */
int cni_plugin_main(int argc, char **argv);

/* Delegates to the IPAM plugin that the configuration names: in process when CNI_PATH leads to this
 * very program, else by running it. */
int cni_ipam_add(CniCall *c, CniResult *ret, Err *err) NODISCARD;
int cni_ipam_run(CniCall *c, const char *command, Err *err) NODISCARD; /* DEL, CHECK, GC, STATUS */
