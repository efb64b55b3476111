/* pull_secrets.h - the credentials of a pod's imagePullSecrets that fit an image. */
#pragma once

#include "codec/value.h"
#include "image/registry_auth.h"
#include "kubelet/pull_record.h"

enum {
    PULL_SECRETS_MAX = 64,     /* of a pod; others are not looked at */
    PULL_CREDENTIALS_MAX = 64, /* in them that fit the image; others are not tried */
};

typedef struct PullCredential {
    RegistryCredential auth;
    PullRight right;
} PullCredential;
typedef struct PullCredentials {
    LIST(PullCredential) fits; /* in Kubernetes' order */
    unsigned cap;
} PullCredentials;

/* Adds the credentials of a Secret (of type kubernetes.io/dockerconfigjson or dockercfg) that fit
 * the image, each credential once. Texts are in the arena. ERR_INVALID says what is wrong with it;
 * ERR_NOMEM. */
int pull_secret_read(const Value *secret, const ImageRef *ref, Arena *a, PullCredentials *to,
                     Err *err) NODISCARD;
/* Once all are there. */
void pull_secrets_sort(PullCredentials *c);
