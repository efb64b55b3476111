/* hub.h - a loop's watches' source of events, and who else in the server follows them. */
#pragma once

#include "apiserver/call.h"

/* `ev` is NULL when events have been missed: whatever was derived from them is made anew. */
typedef void HubFn(void *ctx, const StoreEvent *ev);

/* A part of the server that is told of every event of a group (and kind, unless empty), on the
 * loop, before the watches are. */
typedef struct HubSubscriber {
    StrView group, kind;
    HubFn *fn;
    void *ctx;
} HubSubscriber;

/* `subscribers` are copied; at most HUB_SUBSCRIBERS_MAX. */
enum { HUB_SUBSCRIBERS_MAX = 8 };
int hub_new(ApiLoop *on, const HubSubscriber *subscribers, unsigned n, WatchHub **ret,
            Err *err) NODISCARD;
/* Something has been published: from any thread, while the hub is there. */
void hub_wake(WatchHub *h);
WatchHub *hub_free(WatchHub *h);
