/* discovery.c - /version, /api, /apis and what is in them, classic and aggregated
 * (apidiscovery.k8s.io/v2), health, and the OpenID documents of the token issuer. All from the
 * table of kinds. */
#include "apiserver/handlers.h"
#include "apiserver/respond.h"
#include "apiserver/token.h"
#include "codec/json.h"

static Value strings(Arena *a, const StrView *items, unsigned n)
{
    Value v = value_list();
    for (unsigned i = 0; i < n; i++)
        value_push(a, &v, value_sv(items[i]));
    return v;
}

static Value verbs_value(Arena *a, uint32_t verbs)
{
    /* kubectl prints them in this order, which is the alphabet's. */
    static const uint32_t order[] = { API_CREATE, API_DELETE, API_DELETECOLLECTION, API_GET,
                                      API_LIST,   API_PATCH,  API_UPDATE,           API_WATCH };
    Value v = value_list();
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        if (verbs & order[i])
            value_push(a, &v, value_sv(api_verb_name(order[i])));
    return v;
}

static void set(Arena *a, Value *map, StrView key, StrView val)
{
    value_set(a, map, key, value_sv(val));
}

static bool same_group(const ApiResource *r, StrView group, StrView version)
{
    return sv_eq(r->group, group) && sv_eq(r->version, version);
}

static bool group_served(const ApiKinds *k, StrView group, StrView version)
{
    size_t at = 0;
    for (const ApiGroupVersion *gv; (gv = api_kinds_next_version(k, &at));)
        if (sv_eq(gv->group, group) && sv_eq(gv->version, version))
            return true;
    return false;
}

/* ---- classic ---- */

static Value resource_value(Arena *a, const ApiResource *r)
{
    Value v = value_map();
    set(a, &v, SV("name"), r->plural);
    set(a, &v, SV("singularName"), r->singular);
    value_set(a, &v, SV("namespaced"), value_bool(r->namespaced));
    set(a, &v, SV("kind"), r->kind);
    value_set(a, &v, SV("verbs"), verbs_value(a, r->verbs));
    if (r->n_short_names)
        value_set(a, &v, SV("shortNames"), strings(a, r->short_names, r->n_short_names));
    if (r->n_categories)
        value_set(a, &v, SV("categories"), strings(a, r->categories, r->n_categories));
    return v;
}

static Value sub_value(Arena *a, const ApiResource *r, const ApiSubresource *s)
{
    Value v = value_map();
    set(a, &v, SV("name"), arena_printf(a, "%.*s/%.*s", SV_FMT(r->plural), SV_FMT(s->name)));
    set(a, &v, SV("singularName"), SV(""));
    value_set(a, &v, SV("namespaced"), value_bool(r->namespaced));
    if (!sv_eq(s->kind, r->kind)) {
        set(a, &v, SV("group"), s->kind_group);
        set(a, &v, SV("version"), s->kind_version);
    }
    set(a, &v, SV("kind"), s->kind);
    value_set(a, &v, SV("verbs"), verbs_value(a, s->verbs));
    return v;
}

static Value resource_list(const ApiKinds *k, Arena *a, StrView group, StrView version)
{
    Value v = value_map(), list = value_list();
    set(a, &v, SV("kind"), SV("APIResourceList"));
    set(a, &v, SV("apiVersion"), SV("v1"));
    set(a, &v, SV("groupVersion"),
        group.len ? arena_printf(a, "%.*s/%.*s", SV_FMT(group), SV_FMT(version)) : version);
    size_t at = 0;
    for (const ApiResource *r; (r = api_kinds_next(k, &at));) {
        if (!same_group(r, group, version))
            continue;
        value_push(a, &list, resource_value(a, r));
        for (unsigned s = 0; s < r->n_subs; s++)
            value_push(a, &list, sub_value(a, r, &r->subs[s]));
    }
    value_set(a, &v, SV("resources"), list);
    return v;
}

static Value version_value(Arena *a, StrView group, StrView version)
{
    Value v = value_map();
    set(a, &v, SV("groupVersion"), arena_printf(a, "%.*s/%.*s", SV_FMT(group), SV_FMT(version)));
    set(a, &v, SV("version"), version);
    return v;
}

static Value group_value(const ApiKinds *k, Arena *a, StrView group)
{
    Value v = value_map(), versions = value_list();
    set(a, &v, SV("name"), group);
    size_t at = 0;
    for (const ApiGroupVersion *gv; (gv = api_kinds_next_version(k, &at));)
        if (sv_eq(gv->group, group))
            value_push(a, &versions, version_value(a, group, gv->version));
    value_set(a, &v, SV("versions"), versions);
    if (value_len(&versions))
        value_set(a, &v, SV("preferredVersion"), *value_at(&versions, 0));
    return v;
}

/* Calls fn once for each served group other than the core, in order of preference. */
static void each_group(const ApiKinds *k, Arena *a, Value *list,
                       Value (*fn)(const ApiKinds *k, Arena *a, StrView group))
{
    StrView last = SV_NULL;
    size_t at = 0;
    for (const ApiGroupVersion *gv; (gv = api_kinds_next_version(k, &at));) {
        if (!gv->group.len || sv_eq(gv->group, last))
            continue;
        value_push(a, list, fn(k, a, gv->group));
        last = gv->group;
    }
}

static Value group_list(const ApiKinds *k, Arena *a)
{
    Value v = value_map(), list = value_list();
    set(a, &v, SV("kind"), SV("APIGroupList"));
    set(a, &v, SV("apiVersion"), SV("v1"));
    each_group(k, a, &list, group_value);
    value_set(a, &v, SV("groups"), list);
    return v;
}

static Value core_versions(Arena *a, StrView address)
{
    Value v = value_map(), list = value_list(), cidrs = value_list(), cidr = value_map();
    set(a, &v, SV("kind"), SV("APIVersions"));
    value_push(a, &list, value_sv(SV("v1")));
    value_set(a, &v, SV("versions"), list);
    set(a, &cidr, SV("clientCIDR"), SV("0.0.0.0/0"));
    set(a, &cidr, SV("serverAddress"), address);
    value_push(a, &cidrs, cidr);
    value_set(a, &v, SV("serverAddressByClientCIDRs"), cidrs);
    return v;
}

/* ---- aggregated ---- */

static Value kind_value(Arena *a, StrView group, StrView version, StrView kind)
{
    Value v = value_map();
    set(a, &v, SV("group"), group);
    set(a, &v, SV("version"), version);
    set(a, &v, SV("kind"), kind);
    return v;
}

static Value aggregated_resource(Arena *a, const ApiResource *r)
{
    Value v = value_map(), subs = value_list();
    set(a, &v, SV("resource"), r->plural);
    value_set(a, &v, SV("responseKind"), kind_value(a, r->group, r->version, r->kind));
    set(a, &v, SV("scope"), r->namespaced ? SV("Namespaced") : SV("Cluster"));
    set(a, &v, SV("singularResource"), r->singular);
    value_set(a, &v, SV("verbs"), verbs_value(a, r->verbs));
    if (r->n_short_names)
        value_set(a, &v, SV("shortNames"), strings(a, r->short_names, r->n_short_names));
    if (r->n_categories)
        value_set(a, &v, SV("categories"), strings(a, r->categories, r->n_categories));
    for (unsigned i = 0; i < r->n_subs; i++) {
        const ApiSubresource *s = &r->subs[i];
        Value sub = value_map();
        set(a, &sub, SV("subresource"), s->name);
        value_set(a, &sub, SV("responseKind"),
                  kind_value(a, s->kind_group, s->kind_version, s->kind));
        value_set(a, &sub, SV("verbs"), verbs_value(a, s->verbs));
        value_push(a, &subs, sub);
    }
    if (r->n_subs)
        value_set(a, &v, SV("subresources"), subs);
    return v;
}

static Value aggregated_version(const ApiKinds *k, Arena *a, StrView group, StrView version)
{
    Value v = value_map(), list = value_list();
    set(a, &v, SV("version"), version);
    size_t at = 0;
    for (const ApiResource *r; (r = api_kinds_next(k, &at));)
        if (same_group(r, group, version))
            value_push(a, &list, aggregated_resource(a, r));
    value_set(a, &v, SV("resources"), list);
    set(a, &v, SV("freshness"), SV("Current"));
    return v;
}

static Value aggregated_group(const ApiKinds *k, Arena *a, StrView group)
{
    Value v = value_map(), meta = value_map(), versions = value_list();
    if (group.len)
        set(a, &meta, SV("name"), group);
    value_set(a, &meta, SV("creationTimestamp"), value_null());
    value_set(a, &v, SV("metadata"), meta);
    size_t at = 0;
    for (const ApiGroupVersion *gv; (gv = api_kinds_next_version(k, &at));)
        if (sv_eq(gv->group, group))
            value_push(a, &versions, aggregated_version(k, a, group, gv->version));
    value_set(a, &v, SV("versions"), versions);
    return v;
}

static void respond_aggregated(ApiCall *x, bool core)
{
    Value v = value_map(), items = value_list();
    set(x->arena, &v, SV("kind"), SV("APIGroupDiscoveryList"));
    set(x->arena, &v, SV("apiVersion"), SV("apidiscovery.k8s.io/v2"));
    value_set(x->arena, &v, SV("metadata"), value_map());
    if (core)
        value_push(x->arena, &items, aggregated_group(x->kinds, x->arena, SV("")));
    else
        each_group(x->kinds, x->arena, &items, aggregated_group);
    value_set(x->arena, &v, SV("items"), items);
    _cleanup_buf_ Buf out = BUF_INIT;
    json_encode(&v, &out);
    if (out.failed)
        respond_nomem(x);
    else if (!respond_exhausted(x))
        http_respond(x->req, 200,
                     SV("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
                     buf_view(&out));
}

static bool wants_aggregated(ApiCall *x)
{
    StrView accept = http_header(x->req, SV("accept"));
    return sv_find(accept, SV("v=v2;as=APIGroupDiscoveryList")) >= 0 ||
           sv_find(accept, SV("as=APIGroupDiscoveryList;v=v2;")) >= 0;
}

static void respond_version(ApiCall *x)
{
    respond_json(
        x, 200,
        SV("{\"major\":\"1\",\"minor\":\"35\",\"emulationMajor\":\"1\",\"emulationMinor\":\"35\","
           "\"minCompatibilityMajor\":\"1\",\"minCompatibilityMinor\":\"34\",\"gitVersion\":\"v1.35.0+knarr.1\","
           "\"gitCommit\":\"" GIT_COMMIT
           "\",\"gitTreeState\":\"clean\",\"buildDate\":\"1970-01-01T00:00:00Z\",\"goVersion\":\"\","
           "\"compiler\":\"gcc\",\"platform\":\"linux/amd64\"}"));
}

static bool respond_group_path(ApiCall *x, StrView rest)
{
    StrView group, version;
    sv_cut(rest, '/', &group, &version);
    if (sv_ends(version, SV("/")))
        version = sv_head(version, version.len - 1);
    if (!group.len || sv_find_char(version, '/') >= 0)
        return false;
    Value v;
    if (version.len) {
        if (!group_served(x->kinds, group, version))
            return false;
        v = resource_list(x->kinds, x->arena, group, version);
    } else {
        v = group_value(x->kinds, x->arena, group);
        if (!value_len(value_get(&v, SV("versions"))))
            return false;
        set(x->arena, &v, SV("kind"), SV("APIGroup"));
        set(x->arena, &v, SV("apiVersion"), SV("v1"));
    }
    respond_value(x, 200, &v);
    return true;
}

static void respond_issuer(ApiCall *x)
{
    StrView iss = token_issuer(x->srv->tokens);
    StrView text = arena_printf(
        x->arena,
        "{\"issuer\":\"%.*s\",\"jwks_uri\":\"https://%.*s/openid/v1/jwks\",\"response_types_supported\":"
        "[\"id_token\"],\"subject_types_supported\":[\"public\"],"
        "\"id_token_signing_alg_values_supported\":[\"ES256\"]}",
        SV_FMT(iss), SV_FMT(x->req->authority));
    respond_json(x, 200, text);
}

/* What verifies service accounts' tokens elsewhere: OpenID's discovery document, and the keys. */
static bool respond_issuer_path(ApiCall *x)
{
    StrView path = x->req->path, jwks;
    Err err = { 0 };
    if (sv_eq(path, SV("/.well-known/openid-configuration")))
        respond_issuer(x);
    else if (!sv_eq(path, SV("/openid/v1/jwks")))
        return false;
    else if (token_jwks(x->srv->tokens, x->arena, &jwks, &err) < 0)
        respond_err(x, &err);
    else if (!respond_exhausted(x))
        http_respond(x->req, 200, SV("application/jwk-set+json"), jwks);
    return true;
}

/* kubectl asks for the list of custom kinds before it applies a list of any kind, and fails without
 * an answer. There are none; discovery does not name the group. */
static bool respond_custom_kinds(ApiCall *x)
{
    if (!sv_eq(x->group, SV("apiextensions.k8s.io")) || !sv_eq(x->version, SV("v1")) ||
        !sv_eq(x->resource, SV("customresourcedefinitions")) || !sv_eq(x->verb, SV("list")))
        return false;
    Snapshot *sn = store_snapshot(x->srv->store);
    StrView text =
        arena_printf(x->arena,
                     "{\"kind\":\"CustomResourceDefinitionList\",\"apiVersion\":"
                     "\"apiextensions.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"%llu\"},"
                     "\"items\":[]}",
                     (unsigned long long)snapshot_revision(sn));
    snapshot_unref(sn);
    respond_json(x, 200, text);
    return true;
}

/* Whether the client takes discovery in no form that there is: a Table of it, say. */
static bool wants_other_forms_only(ApiCall *x)
{
    StrView accept = http_header(x->req, SV("accept")), range;
    bool any = false;
    while (sv_next(&accept, ',', &range)) {
        if (sv_find(range, SV("as=")) < 0 || sv_find(range, SV("as=APIGroupDiscoveryList")) >= 0)
            return false;
        any = true;
    }
    return any;
}

bool discovery_handle(ApiCall *x)
{
    StrView path = x->req->path;
    if (path.len > 1 && sv_ends(path, SV("/")))
        path = sv_head(path, path.len - 1);
    if (!sv_eq(x->req->method, SV("GET")) && !sv_eq(x->req->method, SV("HEAD")))
        return false;
    Value v;
    if (sv_eq(path, SV("/version")))
        respond_version(x);
    else if (sv_starts(path, SV("/api")) && wants_other_forms_only(x))
        respond_status(
            x, REASON_NOT_ACCEPTABLE,
            "only the following media types are accepted: application/json, application/yaml");
    else if (sv_eq(path, SV("/api")) || sv_eq(path, SV("/apis"))) {
        bool core = path.len == 4;
        http_set_header(x->req, SV("Vary"), SV("Accept"), NULL);
        if (wants_aggregated(x)) {
            respond_aggregated(x, core);
            return true;
        }
        v = core ? core_versions(x->arena, x->req->authority) : group_list(x->kinds, x->arena);
        respond_value(x, 200, &v);
    } else if (sv_eq(path, SV("/api/v1"))) {
        v = resource_list(x->kinds, x->arena, SV(""), SV("v1"));
        respond_value(x, 200, &v);
    } else if (sv_starts(path, SV("/apis/")) && !x->is_resource)
        return respond_group_path(x, sv_skip(path, 6));
    else
        return respond_custom_kinds(x) || respond_issuer_path(x);
    return true;
}
