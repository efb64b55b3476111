/* registry.h - images from registries and to them: the OCI distribution specification 1.1, which is
 * also what Docker's registries speak.
 *
 * A Registry is a client on one loop, with one store of images and one configuration. Everything is
 * called on the loop's thread and nothing there waits: files, hashes, credential helpers and
 * unpacking are work of the loop's pool. Pulls of one client share what they download: a blob is
 * asked for once, and pulls of other processes into the same store wait for it. What a pull that
 * ended early has downloaded stays in the store's tmp/ until the next collection of garbage, and
 * the next pull carries on behind it.
 *
 * To add a source of credentials: a file beside registry_auth.c that fills RegistryCredentials. */
#pragma once

#include "image/image.h"
#include "image/image_policy.h"
#include "image/registry_auth.h"
#include "image/registry_config.h"
#include "net/loop.h"

enum {
    REGISTRY_PARALLEL = 4,            /* downloads of one pull at a time */
    REGISTRY_TRIES = 4,               /* of a request that fails without progress */
    REGISTRY_STALL_MS = 60 * 1000,    /* without progress for so long, a connection is broken */
    REGISTRY_SPEED_MIN = 1024,        /* bytes a second that are progress */
    REGISTRY_RETRY_AFTER_MAX_S = 120, /* longer than that is not waited for (429, 503) */
    REGISTRY_REDIRECTS_MAX = 10,
};

typedef struct Registry Registry;
typedef struct RegistryPull RegistryPull;
typedef struct RegistryPush RegistryPush;

/* `store` and `config` must live until `gone` of registry_free(). ERR_NOMEM. */
int registry_new(Loop *l, ImageStore *store, const RegistryConfig *config, Registry **ret,
                 Err *err) NODISCARD;
/* Cancels what is under way, without events. Fine inside a `done`. `gone` (NULL: nobody asks, the
 * loop ends before store and configuration) is called on the loop once no thread of the pool uses
 * these any more, from inside when none does. Always NULL. */
Registry *registry_free(Registry *r, LoopFn *gone, void *ctx);

/* What a pull or push needs of its caller; views are copied. All zero: this machine's platform, the
 * limits above, certificates are checked. */
typedef struct RegistryOptions {
    const RegistryCredential *credentials; /* those that fit are tried in Kubernetes' order */
    unsigned n_credentials;
    /* Files like docker's config.json, which are read for each pull, the first that names the
     * registry counts; their credential helpers are run. */
    const char *const *auth_files;
    unsigned n_auth_files;
    StrView os, architecture, variant; /* empty: this machine's */
    bool insecure;     /* certificates are not checked, and clear text is tried after TLS */
    uint32_t stall_ms; /* 0: REGISTRY_STALL_MS */
    uint32_t retry_after_max_s; /* 0: REGISTRY_RETRY_AFTER_MAX_S */
} RegistryOptions;

typedef enum RegistryBlobState {
    REGISTRY_WAITING,  /* for its turn, or for another process that downloads it */
    REGISTRY_MOVING,   /* bytes come or go */
    REGISTRY_RETRYING, /* after a broken connection, or because the registry asked to wait */
    REGISTRY_UNPACKING,
    REGISTRY_DONE,   /* downloaded (and, of a layer, unpacked), or uploaded */
    REGISTRY_EXISTS, /* was there already */
} RegistryBlobState;

/* A blob of the image that comes or goes. The first one, index 0, is the configuration, the others
 * are the layers, bottom first. */
typedef struct RegistryProgress {
    unsigned index, count;
    Digest digest;
    uint64_t bytes, total;
    RegistryBlobState state;
} RegistryProgress;
/* Whenever one of its numbers has changed, `bytes` at most some times a second. Must not end the
 * pull or push. */
typedef void RegistryProgressFn(void *ctx, const RegistryProgress *p);

typedef struct RegistryPulled {
    Digest manifest;  /* of the image, which is in the store under the name that was asked for */
    Digest resolved;  /* what the name meant at the registry: the manifest's, or that of an index */
    StrView endpoint; /* who had it: "https://registry-1.docker.io/v2" */
} RegistryPulled;

/* Once, unless cancelled, later than registry_pull(), on the loop and never inside another callback
 * of the client. `pulled` is NULL when there is an error; everything is gone after it.
 * ERR_NOT_FOUND: no registry has it (or nothing for the platform); ERR_UNAUTHENTICATED, ERR_DENIED:
 * not for these credentials; ERR_BUSY: 429 or 5xx to the end; ERR_SYS, ERR_TIMEOUT, ERR_CLOSED: no
 * registry can be reached; ERR_CORRUPT: a digest does not match; ERR_PROTO, ERR_INVALID,
 * ERR_UNSUPPORTED, ERR_LIMIT: what came is no image that can be used. */
typedef void RegistryPullFn(void *ctx, const RegistryPulled *pulled, const Err *err);

/* For whom a pull is, where not everybody may have all that the store has: a registry names by
 * digest what it wants, and who knows a digest need not have the right to what it stands for. So
 * what may not be reused comes from the registry once more, and is checked, layers down to their
 * diff-ids. The functions are called in the pool. */
typedef struct RegistryGuard {
    StrView trust; /* copied: pulls of one repository with equal texts share what they download */
    bool (*may_reuse)(void *ctx, const Digest *d); /* a blob or a diff-id that may be there already;
                                                      NULL: no guard */
    /* Before the image has its name. */
    int (*admit)(void *ctx, const Digest *config, Err *err);
    void (*free)(void *ctx);
    void *ctx; /* the pull's own, once registry_pull() has begun it */
} RegistryGuard;

typedef struct RegistryPullSpec {
    ImageRef ref;
    RegistryOptions options;
    RegistryGuard guard;
    /* What it forbids, and what has not the signatures that it wants, is ERR_DENIED, and nothing of
     * it is kept. NULL: everything may be pulled. Must outlive the pull. */
    const ImagePolicy *policy;
    RegistryProgressFn *progress; /* NULL: nobody looks */
    RegistryPullFn *done;
    void *ctx;
} RegistryPullSpec;

/* Begins a pull: manifest, blobs, layers unpacked as they arrive, then the name. `spec` is copied.
 * ERR_NOMEM, ERR_INVALID: nothing was begun. */
int registry_pull(Registry *r, const RegistryPullSpec *spec, RegistryPull **ret,
                  Err *err) NODISCARD;
/* No more events. Downloads that others wait for go on. Always NULL; NULL is fine. */
RegistryPull *registry_pull_cancel(RegistryPull *p);

typedef void RegistryPushFn(void *ctx, const Digest *manifest, const Err *err);

typedef struct RegistryPushSpec {
    Digest manifest; /* of an image in the store */
    ImageRef to;     /* its tag, or its digest when it is the manifest's */
    RegistryOptions options;
    RegistryProgressFn *progress;
    RegistryPushFn *done;
    void *ctx;
} RegistryPushSpec;

/* Begins a push: blobs that the registry has not got, then the manifest. Never to a mirror. As
 * registry_pull(). */
int registry_push(Registry *r, const RegistryPushSpec *spec, RegistryPush **ret,
                  Err *err) NODISCARD;
RegistryPush *registry_push_cancel(RegistryPush *p);
