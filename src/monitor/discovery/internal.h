/* internal.h - how the kinds of discovery hang on a Discovery. Private to the folder. */
#pragma once

#include "base/vec.h"
#include "monitor/discovery/discovery.h"

typedef struct Provider Provider;
/* Each kind's own struct begins with it. */
struct Provider {
    Discovery *owner;
    Provider *(*stop)(Provider *p); /* frees; always NULL */
    char name[32];                  /* "file/0": in front of its sources */
};

struct Discovery {
    Loop *loop;
    const ConfigDiscovery *cfg;
    DiscoveryOptions opt;
    char *dns_server, *user_agent;
    DiscoveryFn *fn;
    void *ctx;
    VEC(Provider *) providers;
    Err last_error;
};

/* Tells of groups; sources get the provider's name in front. */
void provider_emit(Provider *p, const TargetGroup *groups, size_t n);
void provider_error(Provider *p, const Err *err); /* NULL: all is well again */

/* The list of groups in a file or an answer: [{"targets": […], "labels": {…}}]. `extra` is added to
 * the labels of each; sources are "SOURCE:0" … All in `a`. */
int groups_parse(StrView text, bool json, StrView source, const Label *extra, Arena *a,
                 TargetGroup **ret, size_t *ret_n, Err *err) NODISCARD;

int file_provider_new(Discovery *d, const ConfigFileSd *cfg, Provider **ret, Err *err) NODISCARD;
int http_provider_new(Discovery *d, const ConfigHttpSd *cfg, Provider **ret, Err *err) NODISCARD;
int dns_provider_new(Discovery *d, const ConfigDnsSd *cfg, Provider **ret, Err *err) NODISCARD;
int k8s_provider_new(Discovery *d, const ConfigKubernetesSd *cfg, Provider **ret,
                     Err *err) NODISCARD;
