/* route.c - from a raw request to the function that answers it.
 *
 * Order as in kube-apiserver's chain: parse the path into verb and resource, authenticate,
 * authorise, negotiate the form of the answer, dispatch. */
#include "api/validate.h"
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "apiserver/handlers.h"
#include "apiserver/options.h"
#include "apiserver/respond.h"
#include "base/log.h"

/* Takes the next path segment; empty at the end. */
static StrView segment(StrView *rest)
{
    StrView s = SV_NULL;
    while (rest->len && rest->ptr[0] == '/')
        *rest = sv_skip(*rest, 1);
    sv_next(rest, '/', &s);
    return s;
}

static StrView resource_verb(const ApiCall *x)
{
    StrView m = x->req->method;
    if (sv_eq(m, SV("GET")) || sv_eq(m, SV("HEAD"))) {
        if (x->name.len)
            return SV("get");
        return http_query_true(x->req, SV("watch")) ? SV("watch") : SV("list");
    }
    if (sv_eq(m, SV("POST")))
        return SV("create");
    if (sv_eq(m, SV("PUT")))
        return SV("update");
    if (sv_eq(m, SV("PATCH")))
        return SV("patch");
    if (sv_eq(m, SV("DELETE")))
        return x->name.len ? SV("delete") : SV("deletecollection");
    return SV("");
}

/* exec, attach and port-forward open a stream whatever the method: all of them need "create". */
static void fix_streaming_verb(ApiCall *x)
{
    if (sv_eq(x->resource, SV("pods")) &&
        (sv_eq(x->sub, SV("exec")) || sv_eq(x->sub, SV("attach")) ||
         sv_eq(x->sub, SV("portforward"))))
        x->verb = SV("create");
}

/* /api/v1/namespaces/NS/pods/NAME/SUB and /apis/GROUP/VERSION/… */
static void parse_path(ApiCall *x)
{
    StrView rest = x->req->path, first = segment(&rest);
    bool read = sv_eq(x->req->method, SV("GET")) || sv_eq(x->req->method, SV("HEAD"));
    x->verb = read ? SV("get") : SV("post");
    if (sv_eq(x->req->method, SV("PUT")))
        x->verb = SV("put");
    if (sv_eq(first, SV("apis")))
        x->group = segment(&rest);
    else if (!sv_eq(first, SV("api")))
        return;
    x->version = segment(&rest);
    StrView res = segment(&rest);
    if (!res.len)
        return;
    x->is_resource = true;
    if (sv_eq(res, SV("watch"))) { /* the old form of watching */
        res = segment(&rest);
        x->verb = SV("watch");
    }
    if (sv_eq(res, SV("namespaces"))) {
        StrView ns = segment(&rest), next = segment(&rest);
        x->ns = ns;
        if (next.len && !sv_eq(next, SV("status")) && !sv_eq(next, SV("finalize")))
            res = next;
        else { /* the namespace itself */
            x->resource = res;
            x->name = ns;
            x->sub = next;
        }
    }
    if (!x->resource.len) {
        x->resource = res;
        x->name = segment(&rest);
        x->sub = segment(&rest);
    }
    x->beyond = segment(&rest);
    if (!sv_eq(x->verb, SV("watch")))
        x->verb = resource_verb(x);
    fix_streaming_verb(x);
    x->res = api_kinds_find(x->kinds, x->group, x->version, x->resource);
    if (x->res && !x->res->namespaced && !sv_eq(x->resource, SV("namespaces")))
        x->ns = SV_NULL;
}

/* Whether the answer can be a Table or metadata alone: not of a review, a token or an eviction. */
static bool has_other_forms(const ApiCall *x)
{
    return x->res->stored &&
           (!x->sub.len || sv_eq(x->sub, SV("status")) || sv_eq(x->sub, SV("scale")));
}

/* One media range of an Accept header: type, and the parameters that matter. */
static bool accept_range(ApiCall *x, StrView range)
{
    StrView type, params, p, key, val, as = SV_NULL;
    sv_cut(range, ';', &type, &params);
    while (sv_next(&params, ';', &p)) {
        sv_cut(sv_trim(p), '=', &key, &val);
        if (sv_eq(key, SV("as")))
            as = val;
    }
    type = sv_trim(type);
    bool json = sv_eq(type, SV("application/json")) || sv_eq(type, SV("*/*")) ||
                sv_eq(type, SV("application/*"));
    bool yaml = sv_eq(type, SV("application/yaml"));
    if (!json && !yaml)
        return false;
    if (as.len && !has_other_forms(x))
        return false;
    if (sv_eq(as, SV("Table")) && sv_eq(x->verb, SV("watch")) &&
        http_query_true(x->req, SV("sendInitialEvents")))
        return false; /* their end would be hidden in a row */
    if (sv_eq(as, SV("Table")))
        x->form = OUTPUT_TABLE;
    else if (sv_eq(as, SV("PartialObjectMetadata")) || sv_eq(as, SV("PartialObjectMetadataList")))
        x->form = OUTPUT_PARTIAL;
    else if (as.len)
        return false;
    x->type = yaml ? OUTPUT_YAML : OUTPUT_JSON;
    return true;
}

static bool negotiate(ApiCall *x)
{
    StrView accept = http_header(x->req, SV("accept")), range;
    if (!accept.len)
        return true;
    while (sv_next(&accept, ',', &range))
        if (accept_range(x, range))
            return true;
    return false;
}

/* Kubernetes' sentence for what a user may not do. */
static void respond_denied(ApiCall *x)
{
    if (!x->is_resource) {
        respond_status(x, REASON_FORBIDDEN, "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"",
                       SV_FMT(x->user.name), SV_FMT(x->verb), SV_FMT(x->req->path));
        return;
    }
    StrView what = x->sub.len
                       ? arena_printf(x->arena, "%.*s/%.*s", SV_FMT(x->resource), SV_FMT(x->sub))
                       : x->resource;
    StrView where = x->ns.len ? arena_printf(x->arena, "in the namespace \"%.*s\"", SV_FMT(x->ns))
                              : SV("at the cluster scope");
    respond_forbidden(x, "User \"%.*s\" cannot %.*s resource \"%.*s\" in API group \"%.*s\" %.*s",
                      SV_FMT(x->user.name), SV_FMT(x->verb), SV_FMT(what), SV_FMT(x->group),
                      SV_FMT(where));
}

typedef struct VerbRow {
    StrView verb;
    uint32_t bit;
    void (*fn)(ApiCall *x);
} VerbRow;

static const VerbRow verbs[] = {
    { SV_INIT("get"), API_GET, rest_get },
    { SV_INIT("list"), API_LIST, rest_list },
    { SV_INIT("watch"), API_WATCH, rest_watch },
    { SV_INIT("create"), API_CREATE, rest_create },
    { SV_INIT("update"), API_UPDATE, rest_update },
    { SV_INIT("patch"), API_PATCH, rest_patch },
    { SV_INIT("delete"), API_DELETE, rest_delete },
    { SV_INIT("deletecollection"), API_DELETECOLLECTION, rest_delete_collection },
};

static void respond_unknown(ApiCall *x)
{
    respond_status(x, REASON_NOT_FOUND, "the server could not find the requested resource");
}

/* Whether an object of the kind can have the name at all. What an apply would create is told what
 * is wrong with its name, and a proxied name may carry scheme and port. */
static bool name_is_possible(ApiCall *x)
{
    if (!x->name.len || sv_eq(x->sub, SV("proxy")))
        return true;
    return (sv_eq(x->verb, SV("patch")) || name_ok(api_name_format(x->res), x->name)) &&
           (!x->res->namespaced || name_ok(name_dns1123_label, x->ns));
}

static void respond_no_method(ApiCall *x)
{
    respond_status(x, REASON_METHOD_NOT_ALLOWED,
                   "the server does not allow this method on the requested resource");
}

static uint32_t verb_bit(StrView verb)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (sv_eq(verbs[i].verb, verb))
            return verbs[i].bit;
    return 0;
}

/* Whether the verb is for such a path. What has been authorised is the verb with the names in the
 * path: an object must not be made by a right to one name, nor read by that to a subresource which
 * its kind has not, nor anything changed by a right to watch. */
static bool verb_fits(const ApiCall *x, const ApiSubresource *sub)
{
    enum { OF_ALL = API_LIST | API_CREATE | API_DELETECOLLECTION, OF_ONE_OR_ALL = API_WATCH };
    uint32_t bit = verb_bit(x->verb);
    bool reads = sv_eq(x->req->method, SV("GET")) || sv_eq(x->req->method, SV("HEAD"));
    if (bit == API_WATCH && (!reads || sub)) /* its old form is a path of its own */
        return false;
    if (sub) /* the backend says what methods it knows */
        return sv_eq(sub->name, SV("proxy")) || (sub->verbs & bit) != 0;
    return bit & OF_ONE_OR_ALL || !(bit & OF_ALL) == (x->name.len > 0);
}

static void dispatch_resource(ApiCall *x)
{
    const ApiSubresource *sub = x->sub.len ? api_sub_find(x->res, x->sub) : NULL;
    if ((x->res->namespaced && !x->ns.len && x->name.len) || (x->sub.len && !sub) ||
        (x->beyond.len && !sv_eq(x->sub, SV("proxy")))) {
        respond_unknown(x);
        return;
    }
    if (!verb_fits(x, sub)) {
        respond_no_method(x);
        return;
    }
    if (x->res->stored && !name_is_possible(x)) {
        respond_not_found(x);
        return;
    }
    if (!x->res->stored) {
        if (!review_handle(x))
            respond_no_method(x);
        return;
    }
    if (x->sub.len && !sv_eq(x->sub, SV("status"))) {
        if (!subresource_handle(x) && !node_link_handle(x) && !forward_handle(x))
            respond_unknown(x);
        return;
    }
    if (x->res->namespaced && !x->ns.len && sv_eq(x->verb, SV("create"))) {
        respond_no_method(x);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (sv_eq(verbs[i].verb, x->verb) && (x->res->verbs & verbs[i].bit)) {
            verbs[i].fn(x);
            return;
        }
    respond_no_method(x);
}

/* Names become parts of store keys and of texts that end at a NUL: what no object of any kind can
 * be called is refused here, before any use. */
static bool names_are_sound(ApiCall *x)
{
    const struct {
        const char *what;
        StrView name;
    } parts[] = { { "namespace", x->ns }, { "name", x->name } };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        NameFaults faults = { .n = 0 };
        name_path_segment(parts[i].name, &faults);
        if (!faults.n)
            continue;
        respond_status(x, REASON_BAD_REQUEST, "invalid %s in the URL's path: %.*s", parts[i].what,
                       SV_FMT(faults.why[0]));
        return false;
    }
    return true;
}

static void dispatch(ApiCall *x)
{
    bool proxied = x->res && sv_eq(x->sub, SV("proxy")); /* its parameters are the backend's */
    if (x->res && !proxied && !options_of_write(x))
        return;
    if (x->res) {
        if (!proxied && !negotiate(x)) {
            respond_status(
                x, REASON_NOT_ACCEPTABLE,
                "only the following media types are accepted: application/json, application/yaml");
            return;
        }
        if (options_of_table(x))
            dispatch_resource(x);
    } else if (!discovery_handle(x) && !openapi_handle(x) && !health_handle(x) &&
               !metrics_handle(x))
        respond_unknown(x);
}

bool route_streams(void *ctx, HttpReq *req)
{
    ApiLoop *on = ctx;
    ApiCall x = { .req = req, .arena = req->arena, .kinds = on->srv->kinds };
    parse_path(&x);
    return x.res && sv_eq(x.sub, SV("proxy"));
}

static void respond_come_again(ApiCall *x, const char *why)
{
    http_set_header(x->req, SV("Retry-After"), SV("1"), NULL);
    respond_status(x, REASON_TOO_MANY_REQUESTS, "%s", why);
}

void route_request(void *ctx, HttpReq *req)
{
    ApiLoop *on = ctx;
    ApiCall *x = arena_new(req->arena, ApiCall);
    if (x)
        *x = (ApiCall){ .srv = on->srv, .on = on, .req = req, .arena = req->arena };
    if (!x || !call_hold_kinds(x, on->srv->kinds)) {
        http_respond(req, 503, SV("text/plain"), SV("out of memory\n"));
        return;
    }
    req->user = x;
    Err err = { 0 };
    if (req->busy) {
        respond_come_again(x, "too many bytes of requests are on their way: try again");
        return;
    }
    if (req->body_too_large) {
        respond_status(x, REASON_TOO_LARGE, "Request entity too large: limit is %d", BODY_MAX);
        return;
    }
    parse_path(x);
    api_metrics_begin(x);
    if (authenticate(x, &err) < 0) {
        log_debug("unauthenticated request: %s", err.msg);
        respond_status(x, REASON_UNAUTHORIZED, "Unauthorized");
        return;
    }
    if (x->is_resource && !names_are_sound(x))
        return;
    if (!impersonate(x))
        return;
    if (!authorize_call(x, x->verb)) {
        respond_denied(x);
        return;
    }
    api_metrics_running(x);
    if (atomic_load(&x->srv->finishing)) { /* counted before: see apiserver_finish() */
        api_metrics_turned_away(x);
        respond_come_again(x, "The apiserver is shutting down, please try again later.");
        return;
    }
    dispatch(x);
}
