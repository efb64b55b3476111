/* respond.h - every answer goes through these: Status objects in Kubernetes' words, and objects as
 * they are stored. */
#pragma once

#include "api/errors.h"
#include "apiserver/call.h"

/* The Status reasons of metav1.StatusReason with their HTTP codes. */
typedef enum Reason {
    REASON_BAD_REQUEST,
    REASON_UNAUTHORIZED,
    REASON_FORBIDDEN,
    REASON_NOT_FOUND,
    REASON_METHOD_NOT_ALLOWED,
    REASON_NOT_ACCEPTABLE,
    REASON_CONFLICT,
    REASON_ALREADY_EXISTS,
    REASON_EXPIRED,
    REASON_TOO_LARGE,
    REASON_UNSUPPORTED_MEDIA_TYPE,
    REASON_INVALID,
    REASON_TOO_MANY_REQUESTS,
    REASON_INTERNAL,
    REASON_SERVICE_UNAVAILABLE,
    REASON_TIMEOUT,
    REASON_MAX
} Reason;

/* The call's memory is full: answers that and returns true. Asked before every answer and every
 * commit; those of this header ask themselves. */
bool respond_exhausted(ApiCall *x);
void respond_status(ApiCall *x, Reason reason, const char *fmt, ...) PRINTF(3, 4);
void respond_not_found(ApiCall *x); /* `pods "web" not found` */
void respond_exists(ApiCall *x, StrView name);
void respond_conflict(ApiCall *x, const char *why); /* NULL: modified by somebody else */
void respond_forbidden(ApiCall *x, const char *fmt, ...)
    PRINTF(2, 3); /* text behind "is forbidden: " */
void respond_invalid(ApiCall *x, StrView name, const ApiErrors *errors);
/* The same for the parameters of the request: `kind` of meta.k8s.io, "ListOptions". */
void respond_invalid_options(ApiCall *x, const char *kind, const ApiErrors *errors);
void respond_with_causes(ApiCall *x, Reason reason, StrView message, const Value *causes);
void respond_err(ApiCall *x, const Err *err);  /* maps the code to a reason */
void respond_nomem(ApiCall *x);                /* as if respond_exhausted() had found it */
void respond_success(ApiCall *x, StrView uid); /* Status: Success, after a deletion */
void respond_json(ApiCall *x, int status, StrView json);
void respond_value(ApiCall *x, int status, const Value *v); /* in the type asked for */
/* An object as stored; takes a reference of its own. Form and type as asked for. */
void respond_object(ApiCall *x, int status, ObjectRev *o);
/* The error that another answered for this call into an Outcome. */
void respond_outcome(ApiCall *x, const Outcome *o);
/* A Warning header (RFC 7234) beside the answer that is still to come; no more than 2 KiB of it. */
void respond_warning(ApiCall *x, StrView text);
/* Status object as text, for ERROR events of watches. */
StrView status_text(Arena *a, Reason reason, StrView message);
