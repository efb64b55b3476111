/* pull_record.h - who may use an image that was pulled: a file for each image that this node has
 * pulled, DATA_DIR/node/pulled/HEX (of its configuration's digest, which names its content).
 *
 * An image without a record was brought by hand and is for everyone, as Kubernetes has it for
 * preloaded ones (imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages). A record is
 * written before anybody uses the image; one that cannot be read lets nobody in without asking the
 * registry again. */
#pragma once

#include "base/list.h"
#include "image/image.h"

/* Whose rights an image was pulled with. */
typedef struct PullRight {
    StrView uid, ns, name; /* of the Secret */
    StrView hash;          /* of its credential, in hexadecimal: another Secret with the same one is
                              as good */
} PullRight;

typedef struct PullRecord {
    bool exists;
    bool everyone; /* it was pulled without credentials, or with the node's own */
    LIST(PullRight) rights;
} PullRecord;

enum { PULL_DIR_SIZE = 1024 - DIGEST_SIZE }; /* of a buffer for the folder's path */
/* Where the records of a node lie; returns buf. */
char *pull_record_dir(const char *data_dir, char buf[static PULL_DIR_SIZE]);
/* No file: !exists. A damaged one: exists, and nobody may. Texts are in the arena. ERR_NOMEM. */
int pull_record_read(const char *dir, const Digest *image, Arena *a, PullRecord *ret,
                     Err *err) NODISCARD;
/* Adds a right, or with NULL: everyone. Makes the folder; waits for others who add. */
int pull_record_add(const char *dir, const Digest *image, const PullRight *right,
                    Err *err) NODISCARD;
/* Whether somebody who has this right may use it. */
bool pull_record_allows(const PullRecord *r, const PullRight *right);
/* The image is used: the record's time says when it was the last time. Without a record nothing. */
void pull_record_touch(const char *dir, const Digest *image);
/* Removes the records of images that are not in the store any more; another time, while images come
 * into it. */
int pull_record_sweep(const char *dir, ImageStore *s, Err *err) NODISCARD;
