/* kubeconfig.h - where an API server is and who we are to it, from a kubeconfig file. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct KubeConfig {
    char *host; /* name, address, or "unix:/path" */
    uint16_t port;
    char *prefix; /* path in front of every request ("" or "/k8s"); never NULL after a load */
    bool tls;
    char *server_name; /* tls-server-name; NULL: host */
    Buf ca, cert, key; /* PEM texts; empty: none */
    bool insecure;     /* insecure-skip-tls-verify */
    char *token;       /* bearer token; NULL: none */
    char *token_file;  /* read again from time to time; NULL: none */
    char *user_agent;  /* NULL: "knarr" */
    char *ns;          /* the context's namespace; never NULL after a load */
} KubeConfig;

enum { KUBECONFIG_SIZE_MAX = 4 * 1024 * 1024 };

/* Reads `path`; file names in it are relative to its folder. `context` NULL: the current one.
 * Errors name file, line and key: "/root/.kube/config:4: clusters[0].cluster.server: …". */
int kube_config_load(const char *path, const char *context, KubeConfig *ret, Err *err) NODISCARD;
/* The same from text; relative file names are refused when base_dir is NULL. */
int kube_config_parse(StrView text, const char *base_dir, const char *context, KubeConfig *ret,
                      Err *err) NODISCARD;
/* What a pod finds under /var/run/secrets/kubernetes.io/serviceaccount and in its environment. */
int kube_config_in_cluster(KubeConfig *ret, Err *err) NODISCARD;
void kube_config_free(KubeConfig *c); /* leaves an empty one */
