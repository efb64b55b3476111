/* image.h - the store of images on one machine.
 *
 * One directory in the OCI image layout, plus unpacked layers:
 *   oci-layout, index.json   what images there are: name -> manifest digest
 *   blobs/sha256/HEX         manifests, configs, compressed layers; content-addressed
 *   layers/HEX/              one unpacked layer per diff-id, ready as an overlayfs lower directory
 *   pins/NAME                a manifest digest that something running needs
 *   tmp/                     unfinished work; emptied by image_gc()
 *
 * Every file appears by rename after fsync, so a crash leaves only unreferenced files, which
 * image_gc() removes. Any number of threads and processes may use one store: changes of the index
 * hold `lock`; whoever adds blobs holds `gc.lock` shared, and the collector holds it exclusively.
 *
 * All calls block (disk, and for layers a child process): call them from worker threads or a CLI.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "image/image_ref.h"

enum {
    IMAGE_MANIFEST_MAX = 4 * 1024 * 1024, /* the distribution specification's own limit */
    IMAGE_CONFIG_MAX = 8 * 1024 * 1024,
    IMAGE_INDEX_MAX = 32 * 1024 * 1024,
    IMAGE_LAYERS_MAX = 127, /* docker's limit, and room in overlayfs' option page */
    IMAGE_ARCHIVE_ENTRIES_MAX = 20000,
    LAYER_ENTRIES_MAX = 1000000,
};
#define LAYER_BYTES_MAX (UINT64_C(64) << 30) /* one unpacked layer */
#define IMAGE_BLOB_MAX  (UINT64_C(64) << 30)

typedef struct ImageStoreOptions {
    const char *dir;      /* made if missing */
    const char *unpacker; /* path of knarr-unpack; NULL: beside our own executable, then libexec */
    uint64_t layer_bytes_max;   /* 0: LAYER_BYTES_MAX */
    uint32_t layer_entries_max; /* 0: LAYER_ENTRIES_MAX */
} ImageStoreOptions;

typedef struct ImageStore ImageStore;

/* Opens or creates a store. The caller ends it with image_store_free(). ERR_SYS, ERR_CORRUPT. */
int image_store_open(const ImageStoreOptions *opt, ImageStore **ret_store, Err *err) NODISCARD;
ImageStore *image_store_free(ImageStore *s); /* always NULL */

/* One image. Texts live in the arena that the call was given. */
typedef struct ImageInfo {
    Digest manifest;    /* what "name@sha256:…" means */
    Digest config;      /* the image ID of docker and of the kubelet */
    const char **names; /* full references ("docker.io/library/nginx:1"), NULL-terminated */
    uint32_t names_len;
    uint64_t size;      /* bytes of config and compressed layers */
    int64_t created_ns; /* 0: unknown */
    const char *damage; /* what is wrong with its files, or NULL; then only the names are known */
} ImageInfo;

/* What the image says about running it (OCI image specification, config.md). Lists are
 * NULL-terminated; an absent list has length 0; an absent text is "". */
typedef struct ImageStrings {
    const char **items;
    uint32_t len;
} ImageStrings;

typedef struct ImageConfig {
    ImageStrings entrypoint, cmd, env;
    const char *working_dir, *user, *stop_signal;
    ImageStrings exposed_ports; /* "80/tcp" */
    ImageStrings volumes;       /* absolute paths */
    ImageStrings label_keys, label_values;
    const char *os, *architecture;
    Digest *diff_ids; /* bottom first */
    uint32_t diff_ids_len;
    int64_t created_ns;
} ImageConfig;

/* Imports from "docker-archive:FILE", "oci-archive:FILE", "oci:DIR[:NAME]", or a bare path, whose
 * kind is then found out. Archives may be plain tar, gzip or zstd. `name` replaces the names that
 * the archive carries; SV_NULL keeps them (then there must be one). Digests and diff-ids are
 * verified and all layers unpacked before a name appears; on failure nothing stays behind.
 * `ret_info` describes the (last) image. ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, ERR_CORRUPT (a
 * digest does not match), ERR_SYS. */
int image_import(ImageStore *s, const char *source, StrView name, Arena *a, ImageInfo *ret_info,
                 Err *err) NODISCARD;

/* Gives `name` to a manifest whose blobs are all in the store (see image_blob.h), after verifying
 * and unpacking its layers. A name that meant another image moves. What a registry client calls
 * last. */
int image_add(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err) NODISCARD;

/* Tells `fn` all digests that the image consists of: manifest, configuration, compressed layers and
 * diff-ids; while `fn` returns true. ERR_NOT_FOUND, ERR_CORRUPT, ERR_INVALID. */
typedef bool ImageDigestFn(void *ctx, const Digest *d);
int image_digests(ImageStore *s, const Digest *manifest, ImageDigestFn *fn, void *ctx,
                  Err *err) NODISCARD;

/* All images, each once with its names, sorted by first name; one whose files are damaged says so
 * and hides no other. */
int image_list(ImageStore *s, Arena *a, ImageInfo **ret_list, size_t *ret_len, Err *err) NODISCARD;

/* Finds by reference, by "sha256:…" (manifest or config digest) or by at least 12 hex digits of the
 * image ID. ERR_NOT_FOUND; ERR_CONFLICT if a short ID means several; ERR_CORRUPT for a damaged
 * one. */
int image_get(ImageStore *s, StrView what, Arena *a, ImageInfo *ret_info, Err *err) NODISCARD;

/* What the image says of how it is run; texts are in the arena. ERR_NOT_FOUND, ERR_CORRUPT,
 * ERR_INVALID. */
int image_config(ImageStore *s, const Digest *manifest, Arena *a, ImageConfig *ret_config,
                 Err *err) NODISCARD;

/* Absolute paths of the unpacked layers, bottom first, NULL-terminated; unpacks what is missing.
 * Pin the image first if anything is going to be mounted. */
int image_layers(ImageStore *s, const Digest *manifest, Arena *a, ImageStrings *ret_dirs,
                 Err *err) NODISCARD;

/* Removes one name (a reference), or the whole image with all names (an ID or digest), then what
 * nothing refers to any more. Pinned images keep their blobs and layers until unpinned.
 * ERR_NOT_FOUND. */
int image_rm(ImageStore *s, StrView what, Err *err) NODISCARD;

/* Another name for an image that is there. */
int image_tag(ImageStore *s, const Digest *manifest, const ImageRef *name, Err *err) NODISCARD;

/* Keeps an image's files for a user of them (a pod's UID plus container); the same pin may be set
 * again. `pin` is a file name: no '/', at most 200 bytes. Unpinning what is not there is no error.
 */
int image_pin(ImageStore *s, const char *pin, const Digest *manifest, Err *err) NODISCARD;
int image_unpin(ImageStore *s, const char *pin, Err *err) NODISCARD;

/* Manifests of all pins, in the arena; those that cannot be read are left out. */
int image_pins(ImageStore *s, Arena *a, Digest **ret, size_t *ret_len, Err *err) NODISCARD;

/* Deletes blobs, layers and temporary files that no name and no pin needs; temporary files alone
 * while the manifest of one that is needed cannot be read. Waits for running imports. ret_freed
 * (may be NULL): bytes of deleted blobs. */
int image_gc(ImageStore *s, uint64_t *ret_freed, Err *err) NODISCARD;
