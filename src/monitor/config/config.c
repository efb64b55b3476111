/* config.c - loads a configuration: text to structs (bind.c), checks (check.c), names of files
 * joined to the folder of the file that names them, environment in external labels, and the files
 * of scrape_config_files. Everything lies in one arena that goes with the last reference. */
#include "monitor/config/config.h"

#include <glob.h>
#include <stdio.h>

#include "base/file.h"
#include "base/vec.h"
#include "codec/yaml.h"
#include "monitor/config/types.h"

typedef struct Holder {
    Config config; /* first: a Config is its holder */
    Arena arena;
    unsigned refs;
    VEC(ScrapeFile *) files;
} Holder;

static Holder *holder(Config *c)
{
    return (Holder *)c;
}

static void free_rule(void *ctx, void *obj)
{
    relabel_rule_free(obj);
}

Config *config_ref(Config *c)
{
    holder(c)->refs++;
    return c;
}

Config *config_unref(Config *c)
{
    Holder *h = c ? holder(c) : NULL;
    if (!h || --h->refs > 0)
        return NULL;
    bind_visit(&type_config, &h->config, &type_rule, free_rule, NULL);
    vec_foreach (f, &h->files)
        bind_visit(&type_scrape_files, *f, &type_rule, free_rule, NULL);
    vec_free(&h->files);
    arena_free(&h->arena);
    free(h);
    return NULL;
}

/* ---- names of files ---- */

typedef struct Joiner {
    Arena *arena;
    StrView dir;
    bool failed;
} Joiner;

static void join(Joiner *j, StrView *path)
{
    if (sv_empty(*path) || path->ptr[0] == '/' || sv_empty(j->dir))
        return;
    StrView joined = arena_printf(j->arena, "%.*s/%.*s", SV_FMT(j->dir), SV_FMT(*path));
    if (!joined.ptr)
        j->failed = true;
    else
        *path = joined;
}

static void join_list(Joiner *j, StrList *list)
{
    for (unsigned i = 0; i < list->len; i++)
        join(j, &list->items[i]);
}

static void join_tls(void *ctx, void *obj)
{
    FetchTls *t = obj;
    join(ctx, &t->ca_file);
    join(ctx, &t->cert_file);
    join(ctx, &t->key_file);
}

static void join_http(void *ctx, void *obj)
{
    FetchOptions *h = obj;
    if (h->basic_auth) {
        join(ctx, &h->basic_auth->username_file);
        join(ctx, &h->basic_auth->password_file);
    }
    if (h->authorization)
        join(ctx, &h->authorization->credentials_file);
    if (h->oauth2)
        join(ctx, &h->oauth2->client_secret_file);
    for (unsigned i = 0; i < h->headers.len; i++)
        join_list(ctx, &h->headers.items[i].files);
}

static void join_discovery(void *ctx, void *obj)
{
    ConfigDiscovery *d = obj;
    for (unsigned i = 0; i < d->files.len; i++)
        join_list(ctx, &d->files.items[i].files);
    for (unsigned i = 0; i < d->kubernetes.len; i++)
        join(ctx, &d->kubernetes.items[i].kubeconfig_file);
}

static void join_scrape(void *ctx, void *obj)
{
    join(ctx, &((ConfigScrape *)obj)->scrape_failure_log_file);
}

static void join_all(Joiner *j, const Type *t, void *obj)
{
    bind_visit(t, obj, &type_tls, join_tls, j);
    bind_visit(t, obj, &type_http, join_http, j);
    bind_visit(t, obj, &type_discovery, join_discovery, j);
    bind_visit(t, obj, &type_scrape, join_scrape, j);
}

/* ---- external labels: $VAR and ${VAR} from the environment, $$ for a dollar ---- */

static void expand_env(StrView s, Buf *out)
{
    while (s.len) {
        ssize_t at = sv_find_char(s, '$');
        if (at < 0)
            break;
        buf_append(out, s.ptr, (size_t)at);
        s = sv_skip(s, (size_t)at + 1);
        size_t n = 0, used;
        StrView name;
        ssize_t close_at = s.len && s.ptr[0] == '{' ? sv_find_char(s, '}') : -1;
        if (close_at > 0) {
            name = sv_n(s.ptr + 1, (size_t)close_at - 1);
            used = (size_t)close_at + 1;
        } else {
            while (n < s.len &&
                   (s.ptr[n] == '_' || (s.ptr[n] >= '0' && s.ptr[n] <= '9') ||
                    (s.ptr[n] >= 'a' && s.ptr[n] <= 'z') || (s.ptr[n] >= 'A' && s.ptr[n] <= 'Z')))
                n++;
            if (!n && s.len && s.ptr[0] == '$')
                n = 1;
            name = sv_head(s, n);
            used = n;
        }
        char text[256];
        const char *value = sv_copy_cstr(name, text, sizeof text) ? getenv(text) : NULL;
        if (sv_eq(name, SV("$")))
            buf_putc(out, '$');
        else if (sv_empty(name))
            buf_putc(out, '$');
        else if (value)
            buf_sv(out, sv_cstr(value));
        s = sv_skip(s, used);
    }
    buf_sv(out, s);
}

static int expand_external(Arena *a, Labels *l, Err *err)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, (Labels){ 0 });
    for (unsigned i = 0; i < l->len; i++) {
        StrView value = l->items[i].value;
        if (sv_find_char(value, '$') >= 0) {
            _cleanup_buf_ Buf out = BUF_INIT;
            expand_env(value, &out);
            value = out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
            if (!value.ptr)
                return err_nomem(err);
        }
        labels_builder_set(&b, l->items[i].name, value);
    }
    return labels_builder_take(&b, l) ? 0 : err_nomem(err);
}

/* ---- jobs ---- */

static int add_job(Holder *h, const ConfigScrape *s, const char *name, Err *err)
{
    Config *c = &h->config;
    for (unsigned i = 0; i < c->jobs.len; i++)
        if (sv_eq(c->jobs.items[i]->job_name, s->job_name))
            return err_set(err, ERR_INVALID, 0,
                           "%s: found multiple scrape configs with job name \"%.*s\"", name,
                           SV_FMT(s->job_name));
    const ConfigScrape **grown =
        arena_realloc(&h->arena, c->jobs.items, c->jobs.len * sizeof *grown,
                      (c->jobs.len + 1u) * sizeof *grown);
    if (!grown)
        return err_nomem(err);
    grown[c->jobs.len++] = s;
    c->jobs.items = grown;
    return 0;
}

static int load_scrape_file(Holder *h, const char *path, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    ScrapeFile *f = arena_new(&h->arena, ScrapeFile);
    char *name = arena_cstr(&h->arena, sv_cstr(path));
    Value doc;
    int r;

    if (!f || !name || !vec_push(&h->files, f))
        return err_nomem(err);
    if ((r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text)) < 0)
        return err_neg(err, r, "read the scrape config file '%s'", path);
    if ((r = bind_document(buf_view(&text), name, &h->arena, &doc, err)) < 0)
        return r;
    Binder b = { .file = name, .arena = &h->arena, .format = &config_bind_format, .err = err };
    if ((r = bind_struct(&b, &type_scrape_files, f, &doc)) < 0)
        return r;
    Joiner j = { .arena = &h->arena, .dir = path_dir(name) };
    join_all(&j, &type_scrape_files, f);
    if (j.failed)
        return err_nomem(err);
    for (unsigned i = 0; i < f->scrape.len; i++) {
        const Value *v = value_at(value_get(&doc, SV("scrape_configs")), i);
        if ((r = config_finish_scrape(&b, &h->config.global, &f->scrape.items[i], v)) < 0 ||
            (r = add_job(h, &f->scrape.items[i], name, err)) < 0)
            return r;
    }
    return 0;
}

static int load_pattern(Holder *h, StrView pattern, Err *err)
{
    glob_t found = { 0 };
    char *text = arena_cstr(&h->arena, pattern);
    int r = text ? 0 : err_nomem(err);
    if (r < 0)
        return r;
    switch (glob(text, 0, NULL, &found)) {
    case 0:
        if (found.gl_pathc > CONFIG_FILES_MAX)
            r = err_set(err, ERR_LIMIT, 0, "scrape_config_files: '%s' names more than %d files",
                        text, CONFIG_FILES_MAX);
        for (size_t i = 0; r >= 0 && i < found.gl_pathc; i++)
            r = load_scrape_file(h, found.gl_pathv[i], err);
        break;
    case GLOB_NOMATCH:
        break;
    default:
        r = err_errno(err, "error retrieving scrape config files for \"%s\"", text);
    }
    globfree(&found);
    return r;
}

static int fill(Holder *h, StrView text, const char *name, StrView dir, const ConfigOptions *opt,
                Err *err)
{
    Config *c = &h->config;
    Binder b = { .file = name, .arena = &h->arena, .format = &config_bind_format, .err = err };
    Value doc;
    int r;

    if ((r = bind_document(text, name, &h->arena, &doc, err)) < 0 ||
        (r = bind_struct(&b, &type_config, c, &doc)) < 0)
        return r;
    if (!value_is(value_get(&doc, SV("global")), VALUE_MAP) &&
        (r = type_global.check(&b, &c->global, NULL)) < 0)
        return r; /* an absent section has its defaults, too */
    if (!c->runtime.gogc)
        c->runtime.gogc = 75;
    if ((r = config_finish(&b, c, &doc, opt)) < 0 ||
        (r = expand_external(&h->arena, &c->global.external_labels, err)) < 0)
        return r;
    StrView folder = arena_sv(&h->arena, dir);
    if (!folder.ptr)
        return err_nomem(err);
    Joiner j = { .arena = &h->arena, .dir = folder };
    join_all(&j, &type_config, c);
    join(&j, &c->global.query_log_file);
    join(&j, &c->global.scrape_failure_log_file);
    join_list(&j, &c->rule_files);
    join_list(&j, &c->scrape_config_files);
    if (j.failed)
        return err_nomem(err);
    for (unsigned i = 0; i < c->scrape.len; i++)
        if ((r = add_job(h, &c->scrape.items[i], name, err)) < 0)
            return r;
    for (unsigned i = 0; i < c->scrape_config_files.len; i++)
        if ((r = load_pattern(h, c->scrape_config_files.items[i], err)) < 0)
            return r;
    return 0;
}

int config_parse(StrView text, const char *name, StrView dir, const ConfigOptions *opt,
                 Config **ret, Err *err)
{
    Holder *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    h->refs = 1;
    arena_init(&h->arena, 1024u * 1024 * 1024);
    int r = fill(h, text, name, dir, opt, err);
    if (r < 0) {
        config_unref(&h->config);
        return r;
    }
    *ret = &h->config;
    return 0;
}

int config_load(const char *path, const ConfigOptions *opt, Config **ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read the configuration '%s'", path);
    return config_parse(buf_view(&text), path, path_dir(path), opt, ret, err);
}

static bool equal(const Type *type, const void *x, const void *y)
{
    _cleanup_arena_ Arena a;
    BindShow how = { .arena = &a, .secrets = true };
    Value vx, vy;
    arena_init(&a, 1024u * 1024 * 1024);
    return bind_show(&how, type, x, &vx) && bind_show(&how, type, y, &vy) && value_equal(&vx, &vy);
}

bool config_scrape_equal(const ConfigScrape *x, const ConfigScrape *y)
{
    return equal(&type_scrape, x, y);
}

bool config_alertmanager_equal(const ConfigAlertmanager *x, const ConfigAlertmanager *y)
{
    return equal(&type_alertmanager, x, y);
}

static bool section_text(const Type *type, const void *obj, Buf *out)
{
    _cleanup_arena_ Arena a;
    BindShow how = { .arena = &a, .secrets = true };
    Value v;
    arena_init(&a, 64u * 1024 * 1024);
    return bind_show(&how, type, obj, &v) && yaml_encode(&v, out, NULL) == 0 && !out->failed;
}

bool config_remote_write_text(const ConfigRemoteWrite *w, Buf *out)
{
    return section_text(&type_remote_write, w, out);
}

bool config_remote_read_text(const ConfigRemoteRead *r, Buf *out)
{
    return section_text(&type_remote_read, r, out);
}

static int show_yaml(const Type *type, const void *obj, Buf *out, Err *err)
{
    _cleanup_arena_ Arena a;
    Value v;
    arena_init(&a, 1024u * 1024 * 1024);
    BindShow how = { .arena = &a };
    return bind_show(&how, type, obj, &v) ? yaml_encode(&v, out, err) : err_nomem(err);
}

int config_format(const Config *c, Buf *out, Err *err)
{
    return show_yaml(&type_config, c, out, err);
}

int config_scrape_format(const ConfigScrape *job, Buf *out, Err *err)
{
    return show_yaml(&type_scrape, job, out, err);
}

static void http_defaults(FetchOptions *h)
{
    memset(h, 0, sizeof *h);
    type_http.init(h);
}

int config_load_http(const char *path, Arena *a, FetchOptions *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Value doc = value_null();
    int r;
    http_defaults(ret);
    if (!path)
        return 0;
    char *name = arena_cstr(a, sv_cstr(path));
    if (!name)
        return err_nomem(err);
    if ((r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text)) < 0)
        return err_neg(err, r, "read the HTTP configuration '%s'", path);
    if (sv_empty(sv_trim(buf_view(&text))))
        return 0;
    if ((r = bind_document(buf_view(&text), name, a, &doc, err)) < 0)
        return r;
    Binder b = { .file = name, .arena = a, .format = &config_bind_format, .err = err };
    Joiner j = { .arena = a, .dir = path_dir(name) };
    if ((r = bind_struct(&b, &type_http, ret, &doc)) < 0 ||
        (r = config_check_http(&b, ret, &doc)) < 0)
        return r;
    bind_visit(&type_http, ret, &type_tls, join_tls, &j);
    bind_visit(&type_http, ret, &type_http, join_http, &j);
    return j.failed ? err_nomem(err) : 0;
}
