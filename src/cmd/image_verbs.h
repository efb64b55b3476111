/* image_verbs.h - what the files of `knarr image` share: a file per family of verbs. */
#pragma once

#include "cmd/flags.h"
#include "image/image.h"

typedef struct ImageArgs {
    const char *data_dir, *name;
    const char *creds, *authfile, *platform, *registries, *policy;
    bool tls_verify, quiet;
    uint64_t stall_s; /* 0: the usual */
    char **rest;
    int n_rest;
} ImageArgs;

typedef int ImageVerbFn(ImageStore *s, const ImageArgs *args); /* the exit code */

enum { IMAGE_ID_DIGITS = 13, IMAGE_SIZE_TEXT = 24 };

/* "knarr image: …" on standard error; 1. */
int image_fail(const Err *err);
const char *image_size_text(uint64_t bytes, char buf[static IMAGE_SIZE_TEXT]);
const char *image_short_id(const ImageInfo *info, char buf[static IMAGE_ID_DIGITS + 1]);

/* knarr_image_registry.c */
ImageVerbFn image_pull_verb, image_push_verb;
/* knarr_image_show.c */
ImageVerbFn image_list_verb, image_inspect_verb;
