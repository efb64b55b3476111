/* image_ref.h - names of images: "nginx", "quay.io/org/app:v1", "app@sha256:…".
 * Grammar and normalisation are those of distribution's `reference` package, as docker, containerd
 * and the kubelet apply them: docker.io is the default registry, library/ its default folder,
 * latest the default tag where there is no digest. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum {
    IMAGE_REF_NAME_MAX = 255, /* domain and path together */
    IMAGE_REF_TAG_MAX = 128,
    DIGEST_SIZE = 72, /* "sha256:" + 64 + NUL */
    IMAGE_REF_SIZE = 2 * (IMAGE_REF_NAME_MAX + 1) + IMAGE_REF_TAG_MAX + 1 + DIGEST_SIZE,
};

/* A content address: only SHA-256, in lower case, always terminated. */
typedef struct Digest {
    char text[DIGEST_SIZE];
} Digest;

static inline const char *digest_hex(const Digest *d) /* the 64 digits behind "sha256:" */
{
    return d->text + 7;
}
/* ERR_INVALID for bad syntax, ERR_UNSUPPORTED for another algorithm. */
int digest_parse(StrView text, Digest *ret, Err *err) NODISCARD;
/* From the 32 bytes of a hash. */
void digest_from_bytes(const uint8_t sum[static 32], Digest *ret);
static inline bool digest_eq(const Digest *a, const Digest *b)
{
    return strcmp(a->text, b->text) == 0;
}

typedef struct ImageRef {
    char domain[IMAGE_REF_NAME_MAX + 1]; /* "docker.io", "localhost:5000" */
    char path[IMAGE_REF_NAME_MAX + 1];   /* "library/nginx" */
    char tag[IMAGE_REF_TAG_MAX + 1];     /* empty only if there is a digest */
    Digest digest;                       /* empty text: none */
} ImageRef;

/* Parses what a user or a pod spec wrote. ERR_INVALID with a sentence that quotes the text. */
int image_ref_parse(StrView text, ImageRef *ret_ref, Err *err) NODISCARD;

/* The full form: "docker.io/library/nginx:latest", "quay.io/a/b@sha256:…". Returns buf. */
char *image_ref_format(const ImageRef *ref, char buf[static IMAGE_REF_SIZE]);
/* Domain and path alone: "docker.io/library/nginx". Returns buf. */
char *image_ref_repository(const ImageRef *ref, char buf[static IMAGE_REF_SIZE]);
