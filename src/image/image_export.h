/* image_export.h - images of the store as files for others. */
#pragma once

#include "image/image.h"

/* Writes images to "docker-archive:FILE" (as `docker save`: layers as plain tars),
 * "oci-archive:FILE" or "oci:DIR" (an image layout; images that are in it stay, one of the same
 * name is replaced). A file appears whole or not at all. Blobs are checked on the way. `names` are
 * what each image is called there, one per image. Blocks. ERR_INVALID: `dest` is none of these;
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_SYS. */
int image_export(ImageStore *s, const ImageInfo *images, const char *const *names, size_t n,
                 const char *dest, Err *err) NODISCARD;
