/* kubelet.h - the node agent: runs the pods that are bound to this node, and reports on them. */
#pragma once

#include "api/client.h"
#include "net/loop.h"

typedef struct Kubelet Kubelet;

typedef struct KubeletConfig {
    /* Texts are copied. */
    const char
        *data_dir; /* pods, volumes and leases lie in DATA_DIR/node, images in DATA_DIR/images */
    const char *instance; /* names cgroups and the bridge: "knarr" */
    const char *node_name, *node_ip;
    const char *pod_cidr, *service_cidr, *cluster_dns, *cluster_domain;
    const char *registries; /* file that says where images come from; NULL: REGISTRY_CONFIG_FILE */
    const char *policy; /* containers' policy.json; NULL: IMAGE_POLICY_FILE, where there is one */
    unsigned image_gc_high, image_gc_low; /* percent of the disk: full, and free enough again */
    int64_t image_min_age_ms;             /* images that were used since then stay */
    int64_t pod_max_pids;                 /* processes of one pod; below 1: no limit */
    uint16_t port;                        /* of the kubelet's own API; 0: none */
    StrView tls_cert, tls_key, client_ca; /* PEM, for that API */
    void (*on_ready)(void *ctx);          /* once, when the Node object says Ready */
    void *ctx;
} KubeletConfig;

/* Registers the node, finds the pods that are running from before, and goes on with them. `api`
 * stays the caller's and must outlive the kubelet. */
int kubelet_new(Loop *loop, ApiClient *api, const KubeletConfig *cfg, Kubelet **ret,
                Err *err) NODISCARD;
/* Lets go of everything; pods run on. What is under way on pool threads keeps what it uses until it
 * ends, on the loop, at the latest in loop_free(). Always NULL. */
/* New connections to the kubelet's own API meet this certificate. */
int kubelet_reload(Kubelet *k, StrView tls_cert, StrView tls_key, StrView client_ca,
                   Err *err) NODISCARD;
Kubelet *kubelet_free(Kubelet *k);

/* Stops all pods of a data directory and removes what they left: processes, network namespaces,
 * mounts, the bridge, cgroups. For `knarr down`. Goes on after a failure and reports the first. */
int kubelet_cleanup(const KubeletConfig *cfg, Err *err) NODISCARD;
