/* api_pools.c - /api/v1/scrape_pools/config and targets/relabel_steps: one scrape pool's section of
 * the configuration, and what its relabelling does. */
#include "codec/json.h"
#include "monitor/web/internal.h"

/* A parameter that must be there; false: the call is answered. */
static bool needed(Call *c, const char *name, StrView *ret)
{
    *ret = call_param(c, sv_cstr(name));
    return ret->len || api_error(c, API_BAD_DATA, "no %s parameter provided", name);
}

static bool pool_failed(Call *c, const Err *err)
{
    return api_error(c, err->code == ERR_NOT_FOUND ? API_BAD_DATA : API_INTERNAL,
                     "error retrieving scrape config: %s", err->msg);
}

static int find_pool(Call *c, StrView pool, Buf *yaml, Err *err)
{
    const WebParts *p = &c->web->opt.parts;
    return p->pool_config ? p->pool_config(p->ctx, pool, yaml, err)
                          : err_set(err, ERR_NOT_FOUND, 0, "there are no scrape pools");
}

void serve_scrape_pool_config(Call *c)
{
    _cleanup_buf_ Buf yaml = BUF_INIT;
    StrView pool;
    Err err = { 0 };
    if (!needed(c, "scrapePool", &pool))
        return;
    if (find_pool(c, pool, &yaml, &err) < 0) {
        pool_failed(c, &err);
        return;
    }
    api_begin(c);
    buf_sv(&c->out, SV("{\"yaml\":"));
    json_put_text(&c->out, buf_view(&yaml));
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}

/* {"name":"value",…} */
static bool labels_param(Call *c, Labels *ret)
{
    Value v;
    Err err = { 0 };
    LabelsBuilder b;
    StrView text;
    if (!needed(c, "labels", &text))
        return false;
    if (json_decode(text, &c->arena, NULL, &v, &err) < 0)
        return api_error(c, API_BAD_DATA, "error parsing labels: %s", err.msg);
    if (!value_is(&v, VALUE_MAP))
        return api_error(c, API_BAD_DATA, "error parsing labels: expected an object");
    labels_builder_init(&b, &c->arena, (Labels){ 0 });
    value_map_foreach (m, &v) {
        if (!value_is(&m->val, VALUE_STRING))
            return api_error(c, API_BAD_DATA, "error parsing labels: %.*s: expected a string",
                             SV_FMT(m->key));
        labels_builder_set(&b, m->key, value_str(&m->val));
    }
    return labels_builder_take(&b, ret) ||
           api_error(c, API_BAD_DATA, "error parsing labels: more than %d", LABELS_MAX);
}

void serve_relabel_steps(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    StrView pool;
    Labels labels;
    Err err = { 0 };
    if (!needed(c, "scrapePool", &pool) || !labels_param(c, &labels))
        return;
    api_begin(c);
    buf_sv(&c->out, SV("{\"steps\":"));
    int r = p->relabel_steps ? p->relabel_steps(p->ctx, pool, labels, &c->out, &err)
                             : err_set(&err, ERR_NOT_FOUND, 0, "there are no scrape pools");
    if (r < 0) {
        pool_failed(c, &err);
        return;
    }
    buf_putc(&c->out, '}');
    api_end(c, NULL, 0, NULL, 0);
}
