/* scheduler.h - binds pods to nodes: filters, scores, binding through the API (kube-scheduler's
 * default profile). */
#pragma once

#include "api/client.h"
#include "net/loop.h"

typedef struct Scheduler Scheduler;

/* Watches nodes and pods and binds what has no node and names `default-scheduler`. on_synced (may
 * be NULL) is called once when the first state is complete. `api` must outlive the scheduler. */
int scheduler_new(Loop *l, ApiClient *api, void (*on_synced)(void *ctx), void *ctx, Scheduler **ret,
                  Err *err) NODISCARD;
Scheduler *scheduler_free(Scheduler *s); /* always NULL */
