/* image_gc.h - the images that this node has: shown in node.status.images, and removed when the
 * disk is full: those that were pulled and that nothing uses, the longest unused first. What was
 * brought by hand stays, for nothing can bring it again. */
#pragma once

#include "codec/value.h"
#include "image/image.h"

typedef struct Kubelet Kubelet;
typedef struct ImageKeeper ImageKeeper;

enum { NODE_IMAGES_MAX = 50 }; /* nodeStatusMaxImages */

/* Looks at once, every minute, and when image_keeper_look() says so. ERR_NOMEM. */
int image_keeper_new(Kubelet *k, ImageKeeper **ret, Err *err) NODISCARD;
ImageKeeper *image_keeper_free(ImageKeeper *g); /* always NULL */
void image_keeper_look(ImageKeeper *g);         /* images have changed; NULL is fine */
/* The list of node.status.images in the arena, as of the last look; false: not yet known. */
bool image_keeper_list(const ImageKeeper *g, Arena *a, Value *ret);

/* The pure part: from what is in the store, the largest first. */
Value node_images(const ImageInfo *list, size_t n, Arena *a);
