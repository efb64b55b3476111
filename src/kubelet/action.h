/* action.h - one try of a probe, or one run of a hook. */
#pragma once

#include "kubelet/internal.h"

typedef struct Action Action;

/* Exactly once unless freed before, never from inside action_new(); the action stays its owner's,
 * who may free it there. `text` says what failed; with a success what to warn of, or is empty. */
typedef void ActionFn(void *ctx, bool ok, const char *text);

typedef struct ActionOptions {
    const char *name;   /* "probe" or "hook": for the id of a command in the pod … */
    uint64_t number;    /* … which this makes unique */
    bool probe;         /* an HTTP status below 200 or over 399 is a failure */
    int64_t timeout_ms; /* 0: none */
    ActionFn *fn;
    void *ctx;
} ActionOptions;

/* `handler` has httpGet, tcpSocket, exec, grpc or sleep; it is not needed after the call. */
int action_new(Container *c, const Value *handler, const ActionOptions *opt, Action **ret,
               Err *err) NODISCARD;
Action *action_free(Action *a); /* a command is killed; always NULL */

/* The status in a grpc.health.v1.HealthCheckResponse. False: it is no such message. */
bool grpc_health_parse(StrView message, int *ret_status);
