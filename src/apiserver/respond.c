/* respond.c - answers: Status objects in Kubernetes' words, and objects spliced from stored bytes.
 *
 * The head of an object, which depends on who asks, is made here; the rest is sent as it lies in
 * the cache. */
#include "apiserver/respond.h"

#include "apiserver/object.h"
#include "apiserver/table.h"
#include "codec/json.h"
#include "codec/yaml.h"

static const struct {
    StrView name;
    int code;
} reasons[REASON_MAX] = {
    [REASON_BAD_REQUEST] = { SV_INIT("BadRequest"), 400 },
    [REASON_UNAUTHORIZED] = { SV_INIT("Unauthorized"), 401 },
    [REASON_FORBIDDEN] = { SV_INIT("Forbidden"), 403 },
    [REASON_NOT_FOUND] = { SV_INIT("NotFound"), 404 },
    [REASON_METHOD_NOT_ALLOWED] = { SV_INIT("MethodNotAllowed"), 405 },
    [REASON_NOT_ACCEPTABLE] = { SV_INIT("NotAcceptable"), 406 },
    [REASON_CONFLICT] = { SV_INIT("Conflict"), 409 },
    [REASON_ALREADY_EXISTS] = { SV_INIT("AlreadyExists"), 409 },
    [REASON_EXPIRED] = { SV_INIT("Expired"), 410 },
    [REASON_TOO_LARGE] = { SV_INIT("RequestEntityTooLarge"), 413 },
    [REASON_UNSUPPORTED_MEDIA_TYPE] = { SV_INIT("UnsupportedMediaType"), 415 },
    [REASON_INVALID] = { SV_INIT("Invalid"), 422 },
    [REASON_TOO_MANY_REQUESTS] = { SV_INIT("TooManyRequests"), 429 },
    [REASON_INTERNAL] = { SV_INIT("InternalError"), 500 },
    [REASON_SERVICE_UNAVAILABLE] = { SV_INIT("ServiceUnavailable"), 503 },
    [REASON_TIMEOUT] = { SV_INIT("Timeout"), 504 },
};

/* An answer that the call's arena has no room for gets so much more, once. */
enum { ANSWER_RESERVE = 64 * 1024 };

static void respond_starved(ApiCall *x)
{
    if (x->outcome) {
        x->outcome->code = 429;
        return;
    }
    http_respond(
        x->req, 429, SV("application/json"),
        SV("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":"
           "\"the server is out of memory\",\"reason\":\"TooManyRequests\",\"code\":429}"));
}

bool respond_exhausted(ApiCall *x)
{
    Arena *a = x->arena;
    if (!a->failed)
        return false;
    if (x->starved) {
        respond_starved(x);
        return true;
    }
    bool full = a->used > a->limit / 2; /* else the machine has no memory */
    size_t limit = a->limit;
    x->starved = true;
    a->failed = false;
    a->limit += ANSWER_RESERVE;
    if (full)
        respond_status(x, REASON_TOO_LARGE,
                       "Request entity too large: it needs more than %zu bytes of memory", limit);
    else
        respond_status(x, REASON_TOO_MANY_REQUESTS, "the server is out of memory");
    return true;
}

static Value status_value(Arena *a, Reason reason, StrView message, const Value *details)
{
    Value v = value_map();
    value_set(a, &v, SV("kind"), value_sv(SV("Status")));
    value_set(a, &v, SV("apiVersion"), value_sv(SV("v1")));
    value_set(a, &v, SV("metadata"), value_map());
    value_set(a, &v, SV("status"), value_sv(SV("Failure")));
    value_set(a, &v, SV("message"), value_sv(message));
    value_set(a, &v, SV("reason"), value_sv(reasons[reason].name));
    if (details)
        value_set(a, &v, SV("details"), *details);
    value_set(a, &v, SV("code"), value_int(reasons[reason].code));
    return v;
}

StrView status_text(Arena *a, Reason reason, StrView message)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Value v = status_value(a, reason, message, NULL);
    json_encode(&v, &out);
    return arena_sv(a, buf_view(&out));
}

static Value details_value(ApiCall *x, StrView name)
{
    Value d = value_map();
    if (name.len)
        value_set(x->arena, &d, SV("name"), value_sv(name));
    if (x->group.len)
        value_set(x->arena, &d, SV("group"), value_sv(x->group));
    if (x->resource.len)
        value_set(x->arena, &d, SV("kind"), value_sv(x->resource));
    return d;
}

static void send_status(ApiCall *x, Reason reason, StrView message, const Value *details)
{
    Value v = status_value(x->arena, reason, message, details);
    if (x->type == OUTPUT_PROTOBUF)
        x->type = OUTPUT_JSON; /* clients read the content type */
    respond_value(x, reasons[reason].code, &v);
}

void respond_status(ApiCall *x, Reason reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView message = arena_vprintf(x->arena, fmt, ap);
    va_end(ap);
    send_status(x, reason, message, NULL);
}

/* "pods" or "deployments.apps" */
static StrView qualified(ApiCall *x)
{
    return x->group.len ? arena_printf(x->arena, "%.*s.%.*s", SV_FMT(x->resource), SV_FMT(x->group))
                        : x->resource;
}

void respond_not_found(ApiCall *x)
{
    StrView q = qualified(x);
    Value d = details_value(x, x->name);
    send_status(x, REASON_NOT_FOUND,
                arena_printf(x->arena, "%.*s \"%.*s\" not found", SV_FMT(q), SV_FMT(x->name)), &d);
}

void respond_exists(ApiCall *x, StrView name)
{
    StrView q = qualified(x);
    Value d = details_value(x, name);
    send_status(x, REASON_ALREADY_EXISTS,
                arena_printf(x->arena, "%.*s \"%.*s\" already exists", SV_FMT(q), SV_FMT(name)),
                &d);
}

void respond_conflict(ApiCall *x, const char *why)
{
    StrView q = qualified(x);
    Value d = details_value(x, x->name);
    if (!why)
        why =
            "the object has been modified; please apply your changes to the latest version and try again";
    send_status(x, REASON_CONFLICT,
                arena_printf(x->arena, "Operation cannot be fulfilled on %.*s \"%.*s\": %s",
                             SV_FMT(q), SV_FMT(x->name), why),
                &d);
}

void respond_forbidden(ApiCall *x, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView why = arena_vprintf(x->arena, fmt, ap), q = qualified(x);
    va_end(ap);
    Value d = details_value(x, x->name);
    StrView message =
        x->name.len ? arena_printf(x->arena, "%.*s \"%.*s\" is forbidden: %.*s", SV_FMT(q),
                                   SV_FMT(x->name), SV_FMT(why))
                    : arena_printf(x->arena, "%.*s is forbidden: %.*s", SV_FMT(q), SV_FMT(why));
    send_status(x, REASON_FORBIDDEN, message, &d);
}

static Value causes_value(Arena *a, const ApiErrors *errors)
{
    Value list = value_list();
    for (size_t i = 0; i < errors->len; i++) {
        _cleanup_buf_ Buf body = BUF_INIT;
        api_error_body(&errors->items[i], &body);
        Value c = value_map();
        value_set(a, &c, SV("reason"), value_sv(api_error_reason(errors->items[i].type)));
        value_set(a, &c, SV("message"), value_sv(arena_sv(a, buf_view(&body))));
        value_set(a, &c, SV("field"), value_sv(errors->items[i].path));
        value_push(a, &list, c);
    }
    return list;
}

static void respond_invalid_as(ApiCall *x, StrView group, StrView kind, StrView name,
                               const ApiErrors *errors)
{
    StrView q = group.len ? arena_printf(x->arena, "%.*s.%.*s", SV_FMT(kind), SV_FMT(group)) : kind;
    Value d = value_map();
    value_set(x->arena, &d, SV("name"), value_sv(name));
    if (group.len)
        value_set(x->arena, &d, SV("group"), value_sv(group));
    value_set(x->arena, &d, SV("kind"), value_sv(kind));
    value_set(x->arena, &d, SV("causes"), causes_value(x->arena, errors));
    _cleanup_buf_ Buf text_buf = BUF_INIT;
    api_errors_text(errors, &text_buf);
    StrView text = buf_view(&text_buf);
    send_status(x, REASON_INVALID,
                arena_printf(x->arena, "%.*s \"%.*s\" is invalid: %.*s", SV_FMT(q), SV_FMT(name),
                             SV_FMT(text)),
                &d);
}

void respond_invalid(ApiCall *x, StrView name, const ApiErrors *errors)
{
    respond_invalid_as(x, x->group, x->res->kind, name, errors);
}

void respond_invalid_options(ApiCall *x, const char *kind, const ApiErrors *errors)
{
    respond_invalid_as(x, SV("meta.k8s.io"), sv_cstr(kind), SV(""), errors);
}

void respond_with_causes(ApiCall *x, Reason reason, StrView message, const Value *causes)
{
    Value d = details_value(x, x->name);
    value_set(x->arena, &d, SV("causes"), *causes);
    send_status(x, reason, message, &d);
}

void respond_err(ApiCall *x, const Err *err)
{
    static const Reason map[ERR_MAX] = {
        [ERR_NONE] = REASON_INTERNAL,
        [ERR_SYS] = REASON_INTERNAL,
        [ERR_NOMEM] = REASON_TOO_MANY_REQUESTS,
        [ERR_INVALID] = REASON_BAD_REQUEST,
        [ERR_NOT_FOUND] = REASON_NOT_FOUND,
        [ERR_EXISTS] = REASON_ALREADY_EXISTS,
        [ERR_CONFLICT] = REASON_CONFLICT,
        [ERR_DENIED] = REASON_FORBIDDEN,
        [ERR_UNAUTHENTICATED] = REASON_UNAUTHORIZED,
        [ERR_LIMIT] = REASON_TOO_LARGE,
        [ERR_BUSY] = REASON_TOO_MANY_REQUESTS,
        [ERR_TIMEOUT] = REASON_TIMEOUT,
        [ERR_GONE] = REASON_EXPIRED,
        [ERR_UNSUPPORTED] = REASON_BAD_REQUEST,
        [ERR_PROTO] = REASON_INTERNAL,
        [ERR_CORRUPT] = REASON_INTERNAL,
        [ERR_CLOSED] = REASON_SERVICE_UNAVAILABLE,
    };
    Reason reason = map[err->code];
    if (reason == REASON_INTERNAL)
        respond_status(x, reason, "Internal error occurred: %s", err->msg);
    else
        respond_status(x, reason, "%s", err->msg);
}

void respond_nomem(ApiCall *x)
{
    x->arena->failed = true;
    respond_exhausted(x);
}

void respond_success(ApiCall *x, StrView uid)
{
    Value v = value_map(), d = details_value(x, x->name);
    if (uid.len)
        value_set(x->arena, &d, SV("uid"), value_sv(uid));
    value_set(x->arena, &v, SV("kind"), value_sv(SV("Status")));
    value_set(x->arena, &v, SV("apiVersion"), value_sv(SV("v1")));
    value_set(x->arena, &v, SV("metadata"), value_map());
    value_set(x->arena, &v, SV("status"), value_sv(SV("Success")));
    value_set(x->arena, &v, SV("details"), d);
    respond_value(x, 200, &v);
}

void respond_json(ApiCall *x, int status, StrView json)
{
    if (respond_exhausted(x))
        return;
    http_respond(x->req, status, SV("application/json"), json);
}

void respond_value(ApiCall *x, int status, const Value *v)
{
    if (respond_exhausted(x))
        return;
    if (x->outcome) {
        x->outcome->code = status;
        if (status >= 300)
            json_encode(v, &x->outcome->status);
        return;
    }
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    if (x->type == OUTPUT_YAML) {
        if (yaml_encode(v, &out, &err) < 0)
            out.failed = true;
    } else
        json_encode(v, &out);
    if (out.failed)
        respond_starved(x);
    else
        http_respond(x->req, status,
                     x->type == OUTPUT_YAML ? SV("application/yaml") : SV("application/json"),
                     buf_view(&out));
}

void respond_outcome(ApiCall *x, const Outcome *o)
{
    Value v;
    if (!o->status.len)
        respond_starved(x);
    else if (x->type == OUTPUT_YAML &&
             json_decode(buf_view(&o->status), x->arena, NULL, &v, NULL) == 0)
        respond_value(x, o->code, &v);
    else
        http_respond(x->req, o->code, SV("application/json"), buf_view(&o->status));
}

/* ---- objects ---- */

static void release_object(void *ctx)
{
    object_rev_unref(ctx);
}

static void respond_stored(ApiCall *x, int status, ObjectRev *o)
{
    _cleanup_buf_ Buf head = BUF_INIT;
    StrView rest = object_open(x->res, o, o->mod_rev, false, &head);
    StrView h = arena_sv(x->arena, buf_view(&head));
    if (head.failed || !h.ptr) {
        respond_starved(x);
        return;
    }
    HttpPiece pieces[] = { { h.ptr, h.len }, { rest.ptr, rest.len } };
    http_respond_pieces(x->req, status, SV("application/json"), pieces, 2, release_object,
                        object_rev_ref(o));
}

static void encode_partial(const ObjectRev *o, Buf *out)
{
    buf_sv(out,
           SV("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":"
              "{\"resourceVersion\":\""));
    buf_u64(out, o->mod_rev);
    buf_sv(out, SV("\","));
    buf_sv(out, sv_skip(object_metadata_text(o), 1));
    buf_putc(out, '}');
}

static void respond_yaml(ApiCall *x, int status, ObjectRev *o)
{
    Value v;
    Err err = { 0 };
    if (object_decode(x->res, o, x->arena, &v, &err) < 0)
        respond_err(x, &err);
    else
        respond_value(x, status, &v);
}

void respond_object(ApiCall *x, int status, ObjectRev *o)
{
    if (respond_exhausted(x))
        return;
    if (x->outcome) {
        x->outcome->code = status;
        return;
    }
    _cleanup_buf_ Buf out = BUF_INIT;
    if (x->form == OUTPUT_OBJECT && x->type != OUTPUT_YAML) {
        respond_stored(x, status, o);
        return;
    }
    if (x->form == OUTPUT_OBJECT) {
        respond_yaml(x, status, o);
        return;
    }
    if (x->form == OUTPUT_PARTIAL)
        encode_partial(o, &out);
    else {
        StrView rv = arena_printf(x->arena, "%llu", (unsigned long long)o->mod_rev);
        table_encode(x, &o, 1, rv, SV_NULL, true, &out);
    }
    if (out.failed)
        respond_starved(x);
    else
        respond_json(x, status, buf_view(&out));
}

void respond_warning(ApiCall *x, StrView text)
{
    enum { WARNING_MAX = 2048 };
    _cleanup_buf_ Buf header = BUF_INIT;
    buf_sv(&header, SV("299 - "));
    json_encode_string(sv_head(text, WARNING_MAX), &header);
    if (!header.failed)
        http_set_header(x->req, SV("Warning"), buf_view(&header), NULL);
}
