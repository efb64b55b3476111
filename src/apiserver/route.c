/* route.c - from a raw request to the function that answers it.
 *
 * Order as in kube-apiserver's chain: parse the path into verb and resource, authenticate,
 * authorise, negotiate the form of the answer, dispatch. */
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/log.h"

bool user_in_group(const User *u, StrView group)
{
    for (unsigned i = 0; i < u->n_groups; i++)
        if (sv_eq(u->groups[i], group))
            return true;
    return false;
}

/* Takes the next path segment; empty at the end. */
static StrView segment(StrView *rest)
{
    StrView s = SV_NULL;
    while (rest->len && rest->ptr[0] == '/')
        *rest = sv_skip(*rest, 1);
    sv_next(rest, '/', &s);
    return s;
}

static StrView resource_verb(const Exchange *x)
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

/* exec, attach, port-forward and proxy open a stream whatever the method: all of them need
 * "create". */
static void fix_streaming_verb(Exchange *x)
{
    if (sv_eq(x->resource, SV("pods")) &&
        (sv_eq(x->sub, SV("exec")) || sv_eq(x->sub, SV("attach")) ||
         sv_eq(x->sub, SV("portforward"))))
        x->verb = SV("create");
}

/* /api/v1/namespaces/NS/pods/NAME/SUB and /apis/GROUP/VERSION/… */
static void parse_path(Exchange *x)
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
    if (!sv_eq(x->verb, SV("watch")))
        x->verb = resource_verb(x);
    fix_streaming_verb(x);
    x->res = api_resource_find(x->group, x->version, x->resource);
    if (x->res && !x->res->served)
        x->res = NULL;
    if (x->res && !x->res->namespaced && !sv_eq(x->resource, SV("namespaces")))
        x->ns = SV_NULL;
}

/* One media range of an Accept header: type, and the parameters that matter. */
static bool accept_range(Exchange *x, StrView range)
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
    if (sv_eq(as, SV("Table")))
        x->form = OUTPUT_TABLE;
    else if (sv_eq(as, SV("PartialObjectMetadata")) || sv_eq(as, SV("PartialObjectMetadataList")))
        x->form = OUTPUT_PARTIAL;
    else if (as.len)
        return false;
    x->type = yaml ? OUTPUT_YAML : OUTPUT_JSON;
    return true;
}

static bool negotiate(Exchange *x)
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
static void respond_denied(Exchange *x)
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
    void (*fn)(Exchange *x);
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

static void respond_unknown(Exchange *x)
{
    respond_status(x, REASON_NOT_FOUND, "the server could not find the requested resource");
}

static void dispatch_resource(Exchange *x)
{
    if (x->res->namespaced && !x->ns.len && x->name.len) {
        respond_unknown(x);
        return;
    }
    if (!x->res->stored) {
        if (!review_handle(x))
            respond_unknown(x);
        return;
    }
    if (x->sub.len && !sv_eq(x->sub, SV("status"))) {
        if (!subresource_handle(x) && !node_link_handle(x))
            respond_unknown(x);
        return;
    }
    if (x->res->namespaced && !x->ns.len && sv_eq(x->verb, SV("create"))) {
        respond_status(x, REASON_METHOD_NOT_ALLOWED,
                       "the server does not allow this method on the requested resource");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (sv_eq(verbs[i].verb, x->verb) && (x->res->verbs & verbs[i].bit)) {
            verbs[i].fn(x);
            return;
        }
    respond_status(x, REASON_METHOD_NOT_ALLOWED,
                   "the server does not allow this method on the requested resource");
}

/* Names become parts of store keys and of texts that end at a NUL: what no object can be called is
 * refused here, before any use. Kubernetes' rule for path segments (ValidatePathSegmentName), and
 * no control characters, which no kind's names may hold. */
static bool names_are_sound(Exchange *x)
{
    const StrView names[] = { x->ns, x->name };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        bool sound = !sv_eq(names[i], SV(".")) && !sv_eq(names[i], SV(".."));
        for (size_t at = 0; sound && at < names[i].len; at++) {
            unsigned char c = (unsigned char)names[i].ptr[at];
            sound = c >= 0x20 && c != 0x7f && c != '%';
        }
        if (!sound) {
            respond_status(
                x, REASON_BAD_REQUEST,
                "the %s in the URL's path is not one that an object can have: it may not "
                "be \".\" or \"..\", nor hold \"%%\" or control characters",
                i == 0 ? "namespace" : "name");
            return false;
        }
    }
    return true;
}

static void dispatch(Exchange *x)
{
    StrView dry;
    if (http_query(x->req, SV("dryRun"), &dry)) {
        if (!sv_eq(dry, SV("All")) && dry.len) {
            respond_status(x, REASON_BAD_REQUEST,
                           "dryRun: Unsupported value: \"%.*s\": supported values: \"All\"",
                           SV_FMT(dry));
            return;
        }
        x->dry_run = dry.len > 0;
    }
    if (x->res) {
        if (!negotiate(x)) {
            respond_status(
                x, REASON_NOT_ACCEPTABLE,
                "only the following media types are accepted: application/json, application/yaml");
            return;
        }
        dispatch_resource(x);
    } else if (!discovery_handle(x) && !openapi_handle(x) && !health_handle(x))
        respond_unknown(x);
}

static void route_request(void *ctx, HttpReq *req)
{
    Exchange *x = arena_new(req->arena, Exchange);
    if (!x) {
        http_respond(req, 503, SV("text/plain"), SV("out of memory\n"));
        return;
    }
    x->srv = ctx;
    x->req = req;
    x->arena = req->arena;
    req->user = x;
    Err err = { 0 };
    if (req->body_too_large) {
        respond_status(x, REASON_TOO_LARGE, "Request entity too large: limit is %d", BODY_MAX);
        return;
    }
    parse_path(x);
    if (authenticate(x, &err) < 0) {
        log_debug("unauthenticated request: %s", err.msg);
        respond_status(x, REASON_UNAUTHORIZED, "Unauthorized");
        return;
    }
    if (x->is_resource && !names_are_sound(x))
        return;
    if (!impersonate(x))
        return;
    Access access = { .user = &x->user,
                      .verb = x->verb,
                      .is_resource = x->is_resource,
                      .group = x->group,
                      .version = x->version,
                      .resource = x->resource,
                      .sub = x->sub,
                      .ns = x->ns,
                      .name = x->name,
                      .path = req->path };
    if (!authorize(x->srv, &access)) {
        respond_denied(x);
        return;
    }
    dispatch(x);
}

uint16_t apiserver_port(const ApiServer *s)
{
    return http_server_port(s->http);
}

static int start_parts(ApiServer *s, const ApiServerConfig *cfg, Err *err)
{
    int r;
    if ((r = token_signer_new(cfg->token_key, cfg->issuer, &s->tokens, err)) < 0 ||
        (r = rbac_new(s->store, &s->rbac, err)) < 0 ||
        (r = services_new(s->store, cfg->service_cidr,
                          cfg->node_port_min ? cfg->node_port_min : 30000,
                          cfg->node_port_max ? cfg->node_port_max : 32767, &s->services, err)) <
            0 ||
        (r = bootstrap_objects(s, cfg, err)) < 0 || (r = hub_new(s, &s->hub, err)) < 0 ||
        (r = node_links_new(s, cfg, &s->nodes, err)) < 0)
        return r;
    TlsConfig tls_cfg = { .cert_chain = cfg->cert_chain,
                          .key = cfg->key,
                          .ca = cfg->client_ca,
                          .client_auth = TLS_CLIENT_ASK,
                          .alpn_h2 = true };
    TlsContext *tls = NULL;
    if ((r = tls_context_new_server(&tls_cfg, &tls, err)) < 0)
        return r;
    HttpServerConfig http = {
        .tls = tls, .handler = route_request, .ctx = s, .body_max = BODY_MAX
    };
    r = http_server_new(s->loop, cfg->listen, &http, &s->http, err);
    tls_context_unref(tls);
    return r;
}

int apiserver_new(Loop *loop, const ApiServerConfig *cfg, ApiServer **ret, Err *err)
{
    ApiServer *s = calloc(1, sizeof *s);
    char *ca = strndup(cfg->client_ca.ptr, cfg->client_ca.len);
    if (!s || !ca) {
        free(s);
        free(ca);
        return err_nomem(err);
    }
    s->loop = loop;
    s->store = cfg->store;
    s->client_ca = sv_cstr(ca);
    s->advertise_port = cfg->advertise_port;
    int r = start_parts(s, cfg, err);
    if (r < 0) {
        apiserver_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

ApiServer *apiserver_free(ApiServer *s)
{
    if (!s)
        return NULL;
    http_server_free(s->http);
    node_links_free(s->nodes);
    hub_free(s->hub);
    services_free(s->services);
    rbac_free(s->rbac);
    token_signer_free(s->tokens);
    openapi_cache_free(s->openapi);
    free((char *)s->client_ca.ptr);
    free(s);
    return NULL;
}
