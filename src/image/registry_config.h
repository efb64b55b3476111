/* registry_config.h - where images come from: mirrors, addresses, certificates and credentials of
 * registries, in the format of k3s' registries.yaml. */
#pragma once

#include "base/arena.h"
#include "fetch/options.h"
#include "image/image_ref.h"

#define REGISTRY_CONFIG_FILE "/etc/knarr/registries.yaml"
enum {
    REGISTRY_CONFIG_MAX = 1024 * 1024,
    REGISTRY_ENDPOINTS_MAX = 32, /* of one image */
};

/* Immutable once it is read; may be used by several clients and threads. */
typedef struct RegistryConfig RegistryConfig;

/* A file that is not there is an empty configuration. ERR_INVALID "FILE:LINE: PATH: …", ERR_SYS. */
int registry_config_load(const char *file, RegistryConfig **ret, Err *err) NODISCARD;
int registry_config_parse(StrView text, const char *name, RegistryConfig **ret, Err *err) NODISCARD;
RegistryConfig *registry_config_free(RegistryConfig *c); /* always NULL */

/* What `configs` says of a host. */
typedef struct RegistryHostConfig {
    StrView host; /* "registry.example.com:5000" */
    FetchTls tls;
    StrView username, password, identity_token;
} RegistryHostConfig;
/* NULL: nothing. `host` with its port, where that is not the scheme's. */
const RegistryHostConfig *registry_config_host(const RegistryConfig *c, StrView host);

/* One place to ask for an image. */
typedef struct RegistryEndpoint {
    StrView base; /* "https://mirror.example.com/v2": URLs go on with "/" and the repository */
    StrView host; /* "mirror.example.com", with its port where one is written */
    StrView path; /* the repository there */
    bool is_mirror;
    bool may_clear; /* https that may turn out to be http: this machine's own addresses */
    const RegistryHostConfig *config; /* NULL: none */
} RegistryEndpoint;

/* Where to ask for `ref`, in order: its mirrors, or else those of "*", then the registry itself.
 * Texts are in the arena or the configuration. */
int registry_endpoints(const RegistryConfig *c, const ImageRef *ref, Arena *a,
                       RegistryEndpoint **ret, unsigned *ret_n, Err *err) NODISCARD;
/* The registry itself alone. */
int registry_endpoint(const RegistryConfig *c, const ImageRef *ref, Arena *a, RegistryEndpoint *ret,
                      Err *err) NODISCARD;
