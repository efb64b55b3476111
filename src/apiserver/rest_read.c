/* rest_read.c - get and list.
 *
 * A list is a walk over one immutable snapshot: with limit, the continue token names the revision
 * and the next key, so that all pages show one state. Items are sent as they lie in the cache. */
#include <stdio.h>

#include "apiserver/convert.h"
#include "apiserver/handlers.h"
#include "apiserver/list_stream.h"
#include "apiserver/object.h"
#include "apiserver/options.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "apiserver/yaml_answer.h"
#include "base/encode.h"
#include "base/vec.h"
#include "codec/gzip.h"
#include "codec/json.h"

enum { GZIP_MIN = 128 * 1024 };

ObjectRev *current_object(ApiCall *x, Snapshot *sn)
{
    if (!registry_key(x->res, call_scope(x), x->name, x->key)) {
        respond_not_found(x);
        return NULL;
    }
    ObjectRev *o = snapshot_get(sn, sv_cstr(x->key));
    if (!o)
        respond_not_found(x);
    return o;
}

int read_revision(ApiCall *x, uint64_t *ret, Err *err)
{
    StrView text;
    *ret = 0;
    if (http_query(x->req, SV("resourceVersion"), &text) && text.len && sv_to_u64(text, ret) < 0)
        return err_set(err, ERR_INVALID, 0, "resourceVersion: Invalid value: \"%.*s\"",
                       SV_FMT(sv_head(text, 64)));
    return 0;
}

bool is_too_new(const ApiCall *x, uint64_t rev)
{
    return rev > store_revision(x->srv->store);
}

void respond_too_new(ApiCall *x, uint64_t rev)
{
    Value cause = value_map(), causes = value_list();
    value_set(x->arena, &cause, SV("reason"), value_sv(SV("ResourceVersionTooLarge")));
    value_set(x->arena, &cause, SV("message"), value_sv(SV("Too large resource version")));
    value_push(x->arena, &causes, cause);
    respond_with_causes(
        x, REASON_TIMEOUT,
        arena_printf(x->arena, "Timeout: Too large resource version: %llu, current: %llu",
                     (unsigned long long)rev, (unsigned long long)store_revision(x->srv->store)),
        &causes);
}

/* The newest state, which is not older than any that has been. */
void rest_get(ApiCall *x)
{
    Err err = { 0 };
    uint64_t rev;
    if (read_revision(x, &rev, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (is_too_new(x, rev)) {
        respond_too_new(x, rev);
        return;
    }
    Snapshot *sn = store_snapshot(x->srv->store);
    ObjectRev *o = current_object(x, sn);
    if (o && x->type == OUTPUT_YAML && x->form == OUTPUT_OBJECT) {
        _cleanup_buf_ Buf json = BUF_INIT;
        object_encode(x->res, o, o->mod_rev, false, &json);
        answer_yaml(x, &json);
    } else if (o)
        respond_object(x, 200, o);
    snapshot_unref(sn);
}

/* ---- selectors ---- */

int filter_parse(ApiCall *x, Filter *ret, Err *err)
{
    StrView text;
    *ret = (Filter){ .stored = convert_stored(x->res) };
    int r = 0;
    if (http_query(x->req, SV("labelSelector"), &text) && text.len &&
        (r = selector_parse(text, x->arena, &ret->labels, err)) < 0)
        return r;
    if (http_query(x->req, SV("fieldSelector"), &text) && text.len)
        r = field_selector_parse(text, x->res, x->arena, &ret->fields, err);
    if (r == 0)
        r = convert_field_terms(x->res, &ret->fields, x->arena, err);
    return r == 0 && x->arena->failed ? err_nomem(err) : r; /* a selector may not just be missing */
}

bool filter_empty(const Filter *f)
{
    return !f->labels.n_terms && !f->fields.n_terms && !f->labels.nothing && !f->fields.nothing;
}

bool filter_match(const Filter *f, const ObjectRev *o)
{
    if (f->labels.nothing || f->fields.nothing)
        return false;
    for (uint32_t i = 0; i < f->labels.n_terms; i++) {
        bool found;
        Value v = value_sv(attrs_label(o->attrs, f->labels.terms[i].key, &found));
        if (!selector_term_matches(&f->labels.terms[i], found ? &v : NULL))
            return false;
    }
    for (uint32_t i = 0; i < f->fields.n_terms; i++) {
        Value v = value_sv(attrs_field(f->stored, o, f->fields.terms[i].key));
        if (!selector_term_matches(&f->fields.terms[i], &v))
            return false;
    }
    return true;
}

/* ---- list ---- */

typedef struct List {
    Snapshot *sn;
    StrView prefix, from; /* from: first key of this page */
    Filter filter;
    uint64_t limit;  /* 0: none */
    uint64_t wanted; /* the revision that is asked for; 0: any */
    VEC(ObjectRev *) objs;
    StrView next_key;  /* where the next page starts; empty: this is the last one */
    int64_t remaining; /* -1: not known */
} List;

static int parse_continue(ApiCall *x, StrView token, List *l, uint64_t *ret_rev, Err *err)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    Value v;
    int64_t rev;
    if (base64_decode(BASE64_URL, token, &raw) < 0 ||
        json_decode(arena_sv(x->arena, buf_view(&raw)), x->arena, NULL, &v, NULL) < 0 ||
        !(rev = value_int_or(value_get(&v, SV("rv")), 0)) ||
        !sv_starts(value_str(value_get(&v, SV("start"))), l->prefix))
        return err_set(err, ERR_INVALID, 0,
                       "continue key is not valid: it was not issued for this list");
    l->from = value_str(value_get(&v, SV("start")));
    *ret_rev = rev < 0 ? 0 : (uint64_t)rev; /* 0: of the state as it is then */
    return 0;
}

static StrView make_continue(ApiCall *x, StrView start, int64_t rev)
{
    _cleanup_buf_ Buf json = BUF_INIT, out = BUF_INIT;
    Value v = value_map();
    value_set(x->arena, &v, SV("v"), value_sv(SV("meta.k8s.io/v1")));
    value_set(x->arena, &v, SV("rv"), value_int(rev));
    value_set(x->arena, &v, SV("start"), value_sv(start));
    json_encode(&v, &json);
    base64_encode(BASE64_URL, buf_view(&json), &out);
    return arena_sv(x->arena, buf_view(&out));
}

/* Chooses the snapshot that resourceVersion, resourceVersionMatch and continue ask for. Our cache
 * is always the newest durable state, so "not older than" is met at once. -ERR_TIMEOUT without
 * words: what is `wanted` is yet to come. */
static int choose_snapshot(ApiCall *x, List *l, Err *err)
{
    StrView match = SV_NULL, token = SV_NULL;
    uint64_t rev;
    int r = read_revision(x, &rev, err);
    if (r < 0)
        return r;
    http_query(x->req, SV("resourceVersionMatch"), &match);
    bool exact = sv_eq(match, SV("Exact")) || (l->limit && rev && !match.len);
    if (http_query(x->req, SV("continue"), &token) && token.len) {
        if (rev)
            return err_set(err, ERR_INVALID, 0,
                           "specifying resource version is not allowed when using continue");
        if ((r = parse_continue(x, token, l, &rev, err)) < 0)
            return r;
        exact = true;
    }
    l->wanted = rev;
    if (is_too_new(x, rev))
        return -ERR_TIMEOUT;
    if (exact && rev)
        return store_snapshot_at(x->srv->store, rev, &l->sn, err);
    l->sn = store_snapshot(x->srv->store);
    return 0;
}

static int collect(ApiCall *x, List *l, Err *err)
{
    SnapshotIter it;
    snapshot_iter(l->sn, l->prefix, l->from, &it);
    bool filtered = !filter_empty(&l->filter);
    l->remaining = -1;
    for (ObjectRev *o; (o = snapshot_next(&it));) {
        if (filtered && !filter_match(&l->filter, o))
            continue;
        if (l->limit && l->objs.len == l->limit) {
            l->next_key = o->key;
            break;
        }
        if (!vec_push(&l->objs, o))
            return err_nomem(err);
    }
    if (l->next_key.len && !filtered) {
        size_t before = 0;
        SnapshotIter rest;
        snapshot_iter(l->sn, l->prefix, l->next_key, &rest);
        while (snapshot_next(&rest))
            before++;
        l->remaining = (int64_t)before;
    }
    return 0;
}

bool gzip_wanted(const ApiCall *x, size_t len)
{
    return len >= GZIP_MIN && sv_find(http_header(x->req, SV("accept-encoding")), SV("gzip")) >= 0;
}

void set_gzip_headers(ApiCall *x)
{
    http_set_header(x->req, SV("Content-Encoding"), SV("gzip"), NULL);
    http_set_header(x->req, SV("Vary"), SV("Accept-Encoding"), NULL);
}

void respond_large(ApiCall *x, StrView content_type, StrView json)
{
    _cleanup_buf_ Buf zipped = BUF_INIT;
    if (gzip_wanted(x, json.len) && gzip_pack(json, &zipped)) {
        set_gzip_headers(x);
        json = buf_view(&zipped);
    }
    http_respond(x->req, 200, content_type, json);
}

/* YAML is made of the whole tree. */
static void send_yaml(ApiCall *x, const ListAnswer *l)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    if (!list_encode(x, l, LIST_YAML_MAX, &out))
        respond_status(x, REASON_TOO_LARGE,
                       "the list is larger than %d bytes, too large for YAML: ask for JSON, or for "
                       "pages with limit",
                       LIST_YAML_MAX);
    else
        answer_yaml(x, &out);
}

static void send_list(ApiCall *x, List *l)
{
    ListAnswer answer = {
        .sn = l->sn,
        .objs = l->objs.items,
        .n = l->objs.len,
        .rv = arena_printf(x->arena, "%llu", (unsigned long long)snapshot_revision(l->sn)),
        .cont = l->next_key.len ? make_continue(x, l->next_key, (int64_t)snapshot_revision(l->sn))
                                : SV_NULL,
        .remaining = l->remaining,
    };
    _cleanup_buf_ Buf out = BUF_INIT;
    if (respond_exhausted(x)) /* it would lack an option, or say that nothing follows */
        return;
    if (x->type == OUTPUT_YAML)
        send_yaml(x, &answer);
    else if (!list_encode(x, &answer, LIST_WHOLE_MAX, &out) && list_stream(x, &answer)) {
        l->objs.items = NULL; /* the stream's, as is the snapshot */
        l->sn = NULL;
    } else if (!out.failed && !x->arena->failed)
        respond_large(x, SV("application/json"), buf_view(&out));
    else
        respond_nomem(x);
}

/* The state that the pages were to show is no longer kept: the token in the answer goes on with the
 * present one, for who can live with that. */
static void respond_expired(ApiCall *x, StrView from)
{
    Value v = value_null();
    StrView text = status_text(
        x->arena, REASON_EXPIRED,
        SV("The provided continue parameter is too old to display a consistent list result. You "
           "can start a new list without the continue parameter, or use the continue token in this "
           "response to retrieve the remainder of the results. Continuing with the provided token "
           "results in an inconsistent list - objects that were created, modified, or deleted "
           "between the time the first chunk was returned and now may show up in the list."));
    if (json_decode(text, x->arena, NULL, &v, NULL) == 0)
        value_set_path(x->arena, &v, "metadata.continue", value_sv(make_continue(x, from, -1)));
    respond_value(x, 410, &v);
}

void rest_list(ApiCall *x)
{
    List l = { 0 };
    Err err = { 0 };
    StrView text;
    char prefix[STORE_KEY_MAX];
    if (!registry_key(x->res, call_scope(x), SV_NULL, prefix)) {
        respond_status(x, REASON_NOT_FOUND, "the server could not find the requested resource");
        return;
    }
    l.prefix = sv_cstr(prefix);
    if (!options_of_list(x))
        return;
    if (http_query(x->req, SV("limit"), &text) && text.len && sv_to_u64(text, &l.limit) < 0) {
        respond_status(x, REASON_BAD_REQUEST, "limit: Invalid value: \"%.*s\"",
                       SV_FMT(sv_head(text, 64)));
        return;
    }
    int r;
    if ((r = filter_parse(x, &l.filter, &err)) < 0 || (r = choose_snapshot(x, &l, &err)) < 0 ||
        (r = collect(x, &l, &err)) < 0) {
        if (r == -ERR_GONE && l.from.len)
            respond_expired(x, l.from);
        else if (r == -ERR_TIMEOUT)
            respond_too_new(x, l.wanted);
        else
            respond_err(x, &err);
    } else
        send_list(x, &l);
    vec_free(&l.objs);
    snapshot_unref(l.sn);
}
