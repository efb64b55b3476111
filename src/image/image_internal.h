/* image_internal.h - what the files of this folder share. */
#pragma once

#include "base/macros.h"
#include "codec/value.h"
#include "image/image.h"
#include "image/image_blob.h"

struct ImageStore {
    char *dir;      /* absolute */
    char *unpacker; /* path of knarr-unpack */
    int dir_fd, blobs_fd, layers_fd, tmp_fd, pins_fd;
    uint64_t layer_bytes_max;
    uint32_t layer_entries_max;
};

/* Takes `file` in the store's directory with flock(2); blocks unless LOCK_NB is in `how`. A fresh
 * open file description each time, so threads of one process exclude each other as well. */
int store_lock(ImageStore *s, const char *file, int how, int *ret_fd, Err *err) NODISCARD;

/* The index, decoded into `a`; an empty one if there is none. */
int store_index_load(ImageStore *s, Arena *a, Value *ret_index, Err *err) NODISCARD;
int store_index_save(ImageStore *s, const Value *index, Err *err) NODISCARD;

/* A JSON document of the store, verified and decoded; text and tree live in the arena. */
int store_json(ImageStore *s, const Digest *d, size_t limit, Arena *a, Value *ret,
               Err *err) NODISCARD;

/* The digests that a manifest names. */
typedef struct ManifestLayer {
    Digest digest;
    uint64_t size;
} ManifestLayer;
typedef struct Manifest {
    Digest digest, config;
    uint64_t config_size;
    ManifestLayer *layers; /* bottom first */
    uint32_t layers_len;
} Manifest;
/* From JSON, or from the blob of that digest, verified. Texts are in the arena. ERR_INVALID names
 * what is wrong with it; ERR_NOT_FOUND, ERR_CORRUPT, ERR_LIMIT (IMAGE_MANIFEST_MAX). */
int manifest_parse(const Value *doc, Arena *a, Manifest *ret, Err *err) NODISCARD;
int manifest_load(ImageStore *s, const Digest *d, Arena *a, Manifest *ret, Err *err) NODISCARD;
/* Fills `ret` from the JSON of an image configuration. */
int image_config_parse(const Value *doc, Arena *a, ImageConfig *ret, Err *err) NODISCARD;

/* Digest and size of a descriptor object. */
int descriptor_parse(const Value *v, Digest *ret_digest, uint64_t *ret_size, Err *err) NODISCARD;

enum { INDEX_DEPTH_MAX = 4 }; /* indexes within indexes */

/* Whether the digest in a reference stands for this manifest: it is the manifest's own, or that of
 * an index in the store (verified) which lists the manifest, also through further indexes. `fn`
 * (may be NULL) is told the digests of those indexes when there is such a way. */
typedef void DigestFn(void *ctx, const Digest *index);
bool store_digest_leads_to(ImageStore *s, const Digest *from, const Digest *manifest, DigestFn *fn,
                           void *ctx);

/* The reference that an entry of the index carries; empty: none. */
StrView store_entry_name(const Value *entry);
/* ERR_CORRUPT when `name` holds a digest that does not stand for the manifest. */
int store_name_check(ImageStore *s, const Digest *manifest, const ImageRef *name,
                     Err *err) NODISCARD;
/* Sets the index's entry for `name`, if it passes that check, under the lock; image_tag() without
 * its hold. */
int store_name_set(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err) NODISCARD;
/* Unpacks every layer of the manifest that is missing; the caller holds gc.lock shared. */
int store_unpack(ImageStore *s, const Manifest *m, const ImageConfig *c, Err *err) NODISCARD;

/* Runs knarr-unpack on one blob and puts the result at layers/HEX. */
int layer_unpack(ImageStore *s, const Digest *blob, const Digest *diff_id, Err *err) NODISCARD;
