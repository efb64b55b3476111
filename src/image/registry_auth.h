/* registry_auth.h - who we are to a registry: docker's config.json, containers' auth.json,
 * credential helpers, and which credentials are for which image. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum {
    AUTH_FILE_MAX = 4 * 1024 * 1024,
    AUTH_HELPER_OUTPUT_MAX = 64 * 1024,
    AUTH_HELPER_TIMEOUT_MS = 30 * 1000,
};

typedef struct RegistryCredential {
    /* Whom it is for: "quay.io", "*.example.com:5000/team", "https://index.docker.io/v1/"; parts of
     * a host may be globs, a path is a prefix, as Kubernetes matches image pull secrets. */
    StrView pattern;
    StrView username, password;
    StrView identity_token; /* exchanged for a token by OAuth 2, instead of a password */
    StrView registry_token; /* sent as it is */
} RegistryCredential;

/* Is a credential for `pattern` one for the repository `path` of the registry `host`
 * ("quay.io:443", "docker.io")? */
bool registry_credential_fits(StrView pattern, StrView host, StrView path);
/* Kubernetes' order of those that fit: patterns descending, so that longer paths come first. For
 * qsort(). */
int registry_credential_cmp(const void *a, const void *b);

/* A file's credentials; its texts are in the arena. `name` is for errors. Also a map of registries
 * alone, as in Secrets of the type kubernetes.io/dockercfg. ERR_INVALID names the file, the
 * registry and what is wrong. */
typedef struct AuthHelper {
    StrView host;   /* empty: for all others (credsStore) */
    StrView helper; /* "pass": the program docker-credential-pass */
} AuthHelper;
typedef struct AuthFile {
    RegistryCredential *items;
    unsigned len;
    AuthHelper *helpers;
    unsigned n_helpers;
} AuthFile;
int auth_file_parse(StrView text, const char *name, Arena *a, AuthFile *ret, Err *err) NODISCARD;
/* ERR_NOT_FOUND: there is no such file; ERR_SYS. */
int auth_file_load(const char *path, Arena *a, AuthFile *ret, Err *err) NODISCARD;

/* Asks the helper that the file names for `host`, if it names one: *ret_found tells whether it
 * knew. Blocks while the helper runs. ERR_SYS: it cannot be run; ERR_PROTO: its answer is none. */
int auth_file_ask_helper(const AuthFile *f, StrView host, Arena *a, RegistryCredential *ret,
                         bool *ret_found, Err *err) NODISCARD;

/* Where credentials lie by default, most important first: $REGISTRY_AUTH_FILE alone, or
 * $XDG_RUNTIME_DIR/containers/auth.json, $XDG_CONFIG_HOME (~/.config)/containers/auth.json and
 * $DOCKER_CONFIG or ~/.docker/config.json; NULL-terminated, in the arena. */
int auth_files_default(Arena *a, const char ***ret, unsigned *ret_n, Err *err) NODISCARD;
