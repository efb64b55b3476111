/* pull.h - images for containers, from registries: a pod's secrets, turns, and who may use what is
 * there. On the kubelet's loop.
 *
 * A container that needs its image has one ImageWait, from image_wait_start() to one call of
 * container_image_ready() or container_image_failed(). It asks for the pod's imagePullSecrets anew
 * each time, then looks whether one of them has a right to what is there (pull_record.h), and where
 * not it pulls, with one credential after the other, as Kubernetes does: so it is known which one
 * was good. Few pulls are under way at a time, fairly between namespaces. */
#pragma once

#include "kubelet/pull_record.h"

typedef struct Kubelet Kubelet;
typedef struct KubeletConfig KubeletConfig;
typedef struct Container Container;
typedef struct Puller Puller;
typedef struct ImageWait ImageWait;

/* What a look at the store has shown; its texts are copied. */
typedef enum ImageNeed {
    IMAGE_READY,
    IMAGE_VERIFY, /* it is there, for those whose right is in `record` */
    IMAGE_PULL,
} ImageNeed;

/* Reads the files that say where images come from and which may. ERR_INVALID names file and line;
 * ERR_NOT_FOUND: the configuration names a policy that is not there. */
int puller_new(Kubelet *k, const KubeletConfig *cfg, Puller **ret, Err *err) NODISCARD;
/* Once nobody waits any more: ends what it has on the loop. What jobs may still use stays until
 * puller_free(), when there are none. */
void puller_stop(Puller *p);
Puller *puller_free(Puller *p); /* always NULL */

/* Begins for a container whose image is needed so. May tell the end at once. */
void image_wait_start(Container *c, ImageNeed need, const PullRecord *record);
/* No end is told any more; always NULL, NULL is fine. */
ImageWait *image_wait_cancel(ImageWait *w);

/* run.c. `why` is the waiting reason: "ErrImagePull". */
void container_image_ready(Container *c);
void container_image_failed(Container *c, const char *why, const char *message);
