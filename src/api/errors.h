/* errors.h - what is wrong with the fields of an object, in Kubernetes' words.
 *
 * Validation gathers all errors instead of stopping at the first. Each becomes one cause of the 422
 * answer: its path is the cause's field, api_error_reason() its reason, and the body its message.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "codec/value.h"

typedef enum ApiErrorType {
    API_ERROR_NOT_FOUND,
    API_ERROR_REQUIRED,
    API_ERROR_DUPLICATE,
    API_ERROR_INVALID,
    API_ERROR_NOT_SUPPORTED,
    API_ERROR_FORBIDDEN,
    API_ERROR_TOO_LONG,
    API_ERROR_TOO_MANY,
    API_ERROR_TYPE_INVALID,
    API_ERROR_MAX
} ApiErrorType;

typedef struct ApiFieldError {
    ApiErrorType type;
    StrView path; /* "spec.containers[0].name" */
    Value bad;    /* the value, for the types that show it */
    bool has_bad;
    StrView detail; /* may be empty */
} ApiFieldError;

typedef struct ApiErrors {
    Arena *arena; /* holds all texts; set by the caller */
    ApiFieldError *items;
    size_t len, cap;
    bool failed; /* the arena was exhausted: the list is not complete and the object not accepted */
} ApiErrors;

/* A path under construction: a chain of steps on the stack, rendered only when an error is added.
 * ApiPath spec = API_FIELD(NULL, "spec"), c = API_INDEX(&containers, 0), k = API_KEY(&labels, key);
 */
typedef struct ApiPath {
    const struct ApiPath *up;
    StrView name;  /* field or key */
    int64_t index; /* for an item of a list; -1 else */
    bool is_key;
} ApiPath;

#define API_FIELD(parent, lit)   ((ApiPath){ .up = (parent), .name = SV(lit), .index = -1 })
#define API_FIELD_SV(parent, sv) ((ApiPath){ .up = (parent), .name = (sv), .index = -1 })
#define API_INDEX(parent, i)     ((ApiPath){ .up = (parent), .index = (int64_t)(i) })
#define API_KEY(parent, sv)      ((ApiPath){ .up = (parent), .name = (sv), .index = -1, .is_key = true })

/* "spec.containers[0].name", "metadata.labels[app]": in the arena (SV_NULL: exhausted), or
 * appended.
 */
StrView api_path_text(const ApiPath *p, Arena *a);
void api_path_put(const ApiPath *p, Buf *out);

/* Each adds an error at a path, in the words of Kubernetes' field.Error of that type; `bad` is
 * shown and stays the caller's until the errors have been written. Without memory `failed` is set.
 */
void api_required(ApiErrors *e, const ApiPath *p, const char *detail); /* detail may be "" */
void api_invalid(ApiErrors *e, const ApiPath *p, Value bad, const char *fmt, ...) PRINTF(4, 5);
void api_forbidden(ApiErrors *e, const ApiPath *p, const char *fmt, ...) PRINTF(3, 4);
void api_duplicate(ApiErrors *e, const ApiPath *p, Value bad);
void api_not_found(ApiErrors *e, const ApiPath *p, Value bad);
void api_not_supported(ApiErrors *e, const ApiPath *p, Value bad, const StrView *allowed, size_t n);
void api_too_long(ApiErrors *e, const ApiPath *p, int64_t max_bytes);
void api_too_many(ApiErrors *e, const ApiPath *p, int64_t actual, int64_t max_items);

/* "FieldValueRequired" … */
StrView api_error_reason(ApiErrorType t);
/* "Invalid value: -1: must be greater than or equal to 0": the message of a cause. */
void api_error_body(const ApiFieldError *e, Buf *out);
/* All of them as Kubernetes joins them: one "path: body", or "[a, b]"; doubles are left out. */
void api_errors_text(const ApiErrors *e, Buf *out);
