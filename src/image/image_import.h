/* image_import.h - shared by image_import.c (where bytes come from) and image_formats.c (what they
 * mean). */
#pragma once

#include "base/map.h"
#include "codec/value.h"
#include "image/image.h"

typedef struct Import {
    ImageStore *store;
    Arena *arena;
    int hold;   /* gc.lock, shared */
    int dir_fd; /* of a layout directory; -1: an archive */
    Map staged; /* file name in the archive -> Staged */
    uint32_t entries;
    const ImageRef *name; /* instead of what the archive says; NULL: none */
    const char *select;   /* only the image of this name; NULL: all */
    Digest last;          /* manifest of the image imported last */
    uint32_t done;
} Import;

/* Has the source a file of this name? */
bool import_has(Import *im, const char *name);
/* Makes a file of the source a blob of the store. */
int import_blob_by_name(Import *im, const char *name, Digest *ret, uint64_t *ret_size,
                        Err *err) NODISCARD;
int import_blob_by_digest(Import *im, const Digest *d, uint64_t size, Err *err) NODISCARD;
int import_json(Import *im, const char *name, size_t limit, Value *ret, Err *err) NODISCARD;
/* Verifies, unpacks and names an image all of whose blobs are in the store. */
int import_finish(Import *im, const Digest *manifest, const ImageRef *names, size_t n,
                  Err *err) NODISCARD;

int import_oci(Import *im, Err *err) NODISCARD;    /* from index.json */
int import_docker(Import *im, Err *err) NODISCARD; /* from manifest.json */
