/* kubeconfig.c - where an API server is and who we are to it, from a kubeconfig file.
 *
 * The format is clientcmd/v1's Config: named clusters, users and contexts, of which one context is
 * picked. Users that need a helper program (exec, auth-provider) are refused by name. */
#include "api/kubeconfig.h"

#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "codec/bind.h"
#include "codec/yaml.h"

#define POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

void kube_config_free(KubeConfig *c)
{
    free(c->host);
    free(c->prefix);
    free(c->server_name);
    buf_free(&c->ca);
    buf_free(&c->cert);
    buf_free(&c->key);
    free(c->token);
    free(c->token_file);
    free(c->user_agent);
    free(c->ns);
    *c = (KubeConfig){ 0 };
}

static char *dup_sv(StrView s)
{
    return strndup(s.ptr ? s.ptr : "", s.len);
}

/* ---- the file as it is ---- */

typedef struct KubeCluster {
    StrView server, ca, ca_data, server_name;
    bool insecure;
    const Value *at; /* where it stands */
} KubeCluster;

typedef struct KubeUser {
    StrView cert, cert_data, key, key_data, token, token_file;
    const Value *exec, *auth_provider;
    const Value *at;
} KubeUser;

typedef struct KubeContext {
    StrView cluster, user, ns;
} KubeContext;

typedef struct NamedCluster {
    StrView name;
    KubeCluster cluster;
} NamedCluster;
typedef struct NamedUser {
    StrView name;
    KubeUser user;
} NamedUser;
typedef struct NamedContext {
    StrView name;
    KubeContext context;
} NamedContext;

typedef struct KubeFile {
    StrView current;
    LIST(NamedCluster) clusters;
    LIST(NamedUser) users;
    LIST(NamedContext) contexts;
} KubeFile;

static int keep_cluster(Binder *b, void *obj, const Value *v)
{
    ((KubeCluster *)obj)->at = v;
    return 0;
}

static int keep_user(Binder *b, void *obj, const Value *v)
{
    ((KubeUser *)obj)->at = v;
    return 0;
}

#define TYPE(what, T, fields, check)                                                               \
    {                                                                                              \
        what, sizeof(T), fields, ARRAY_SIZE(fields), NULL, check                                   \
    }

static const Field cluster_fields[] = {
    BIND(KubeCluster, "server", TEXT, server),
    BIND(KubeCluster, "certificate-authority", TEXT, ca),
    BIND(KubeCluster, "certificate-authority-data", TEXT, ca_data),
    BIND(KubeCluster, "tls-server-name", TEXT, server_name),
    BIND(KubeCluster, "insecure-skip-tls-verify", BOOL, insecure),
};
static const Type type_cluster = TYPE("Cluster", KubeCluster, cluster_fields, keep_cluster);
static const Field user_fields[] = {
    BIND(KubeUser, "client-certificate", TEXT, cert),
    BIND(KubeUser, "client-certificate-data", TEXT, cert_data),
    BIND(KubeUser, "client-key", TEXT, key),
    BIND(KubeUser, "client-key-data", TEXT, key_data),
    BIND(KubeUser, "token", TEXT, token),
    BIND(KubeUser, "tokenFile", TEXT, token_file),
    BIND(KubeUser, "exec", VALUE, exec),
    BIND(KubeUser, "auth-provider", VALUE, auth_provider),
};
static const Type type_user = TYPE("AuthInfo", KubeUser, user_fields, keep_user);
static const Field context_fields[] = {
    BIND(KubeContext, "cluster", TEXT, cluster),
    BIND(KubeContext, "user", TEXT, user),
    BIND(KubeContext, "namespace", TEXT, ns),
};
static const Type type_context = TYPE("Context", KubeContext, context_fields, NULL);
static const Field named_cluster_fields[] = {
    BIND(NamedCluster, "name", TEXT, name),
    BIND_SUB(NamedCluster, "cluster", STRUCT, cluster, type_cluster),
};
static const Type type_named_cluster =
    TYPE("NamedCluster", NamedCluster, named_cluster_fields, NULL);
static const Field named_user_fields[] = {
    BIND(NamedUser, "name", TEXT, name),
    BIND_SUB(NamedUser, "user", STRUCT, user, type_user),
};
static const Type type_named_user = TYPE("NamedAuthInfo", NamedUser, named_user_fields, NULL);
static const Field named_context_fields[] = {
    BIND(NamedContext, "name", TEXT, name),
    BIND_SUB(NamedContext, "context", STRUCT, context, type_context),
};
static const Type type_named_context =
    TYPE("NamedContext", NamedContext, named_context_fields, NULL);
static const Field file_fields[] = {
    BIND(KubeFile, "current-context", TEXT, current),
    BIND_SUB(KubeFile, "clusters", LIST, clusters, type_named_cluster),
    BIND_SUB(KubeFile, "users", LIST, users, type_named_user),
    BIND_SUB(KubeFile, "contexts", LIST, contexts, type_named_context),
};
static const Type type_file = TYPE("Config", KubeFile, file_fields, NULL);

/* Keys of other programs (preferences, extensions) stand beside ours. */
static const BindFormat format = { .typed = true, .lenient = true };

/* ---- what is taken of it ---- */

/* One entry while it is read: its place is in errors, and folder names are relative to `dir`. */
typedef struct Place {
    Binder *b;
    const char *dir;
    const Value *at;
    BindFrame list, item, inner;
} Place;

static void enter(Place *p, Binder *b, const char *dir, const char *list, size_t index,
                  const char *inner, const Value *at)
{
    *p = (Place){ .b = b, .dir = dir, .at = at };
    p->list = (BindFrame){ .key = sv_cstr(list) };
    p->item = (BindFrame){ .up = &p->list, .index = (unsigned)index, .is_item = true };
    p->inner = (BindFrame){ .up = &p->item, .key = sv_cstr(inner) };
    b->frame = &p->inner;
}

static char *join(const char *dir, StrView file)
{
    char *s = NULL;
    if (sv_starts(file, SV("/")))
        return dup_sv(file);
    if (!dir)
        return NULL;
    return asprintf(&s, "%s/%.*s", dir, SV_FMT(file)) < 0 ? NULL : s;
}

/* Either inline (base64) or a file's content; `key` names the file, KEY-data the text. */
static int read_pem(Place *p, const char *key, StrView data, StrView file, Buf *out)
{
    char data_key[64];
    if (data.len > 0) {
        snprintf(data_key, sizeof data_key, "%s-data", key);
        return base64_decode(BASE64_STD, data, out) < 0
                   ? bind_fail_key(p->b, p->at, data_key, "it is not base64")
                   : 0;
    }
    if (file.len == 0)
        return 0;
    _cleanup_free_ char *path = join(p->dir, file);
    if (!path)
        return bind_fail_key(p->b, p->at, key, "'%.*s' needs an absolute path", SV_FMT(file));
    int r = file_read(AT_FDCWD, path, KUBECONFIG_SIZE_MAX, out);
    return r < 0 ? err_neg(p->b->err, r, "%s: %s: read '%s'", p->b->file, key, path) : 0;
}

static int parse_port(StrView s, uint16_t fallback, uint16_t *ret)
{
    uint64_t n = fallback;
    if (s.len > 0 && (sv_to_u64(s, &n) < 0 || n == 0 || n > 65535))
        return -1;
    *ret = (uint16_t)n;
    return 0;
}

static int bad_address(Place *p, StrView url)
{
    return bind_fail_key(p->b, p->at, "server", "'%.*s' has a bad address",
                         SV_FMT(sv_head(url, 200)));
}

/* "https://host:port/prefix", "http://…", "https://[::1]:6443", "unix:/path" */
static int parse_server(Place *p, StrView url, KubeConfig *c)
{
    StrView rest = url, authority, path, host, port;
    if (sv_starts(url, SV("unix:/"))) {
        c->host = dup_sv(url);
        c->prefix = strdup("");
        return c->host && c->prefix ? 0 : err_nomem(p->b->err);
    }
    c->tls = sv_starts(url, SV("https://"));
    if (!c->tls && !sv_starts(url, SV("http://")))
        return bind_fail_key(p->b, p->at, "server", "'%.*s' is not an http or https URL",
                             SV_FMT(sv_head(url, 200)));
    rest = sv_skip(url, c->tls ? 8 : 7);
    sv_cut(rest, '/', &authority, &path);
    while (sv_ends(path, SV("/")))
        path.len--;
    if (sv_starts(authority, SV("["))) {
        ssize_t end = sv_find_char(authority, ']');
        if (end < 0)
            return bad_address(p, url);
        host = sv_n(authority.ptr + 1, (size_t)end - 1);
        port = sv_skip(authority, (size_t)end + 1);
        if (port.len > 0 && port.ptr[0] == ':')
            port = sv_skip(port, 1);
    } else {
        sv_cut(authority, ':', &host, &port);
    }
    if (host.len == 0 || parse_port(port, c->tls ? 443 : 80, &c->port) < 0)
        return bad_address(p, url);
    c->host = dup_sv(host);
    if (asprintf(&c->prefix, "%s%.*s", path.len ? "/" : "", SV_FMT(path)) < 0)
        c->prefix = NULL;
    return c->host && c->prefix ? 0 : err_nomem(p->b->err);
}

static int parse_cluster(Place *p, const KubeCluster *v, KubeConfig *c)
{
    int r = parse_server(p, v->server, c);
    if (r == 0)
        r = read_pem(p, "certificate-authority", v->ca_data, v->ca, &c->ca);
    if (r < 0)
        return r;
    if (v->server_name.len > 0 && !(c->server_name = dup_sv(v->server_name)))
        return err_nomem(p->b->err);
    c->insecure = v->insecure;
    return 0;
}

static int parse_user(Place *p, const KubeUser *v, KubeConfig *c)
{
    if (v->exec || v->auth_provider)
        return bind_fail_key(p->b, p->at, v->exec ? "exec" : "auth-provider",
                             "users with exec or auth-provider are not supported");
    int r = read_pem(p, "client-certificate", v->cert_data, v->cert, &c->cert);
    if (r == 0)
        r = read_pem(p, "client-key", v->key_data, v->key, &c->key);
    if (r < 0)
        return r;
    if (v->token.len > 0 && !(c->token = dup_sv(v->token)))
        return err_nomem(p->b->err);
    if (v->token_file.len > 0 && !(c->token_file = join(p->dir, v->token_file)))
        return bind_fail_key(p->b, p->at, "tokenFile", "'%.*s' needs an absolute path",
                             SV_FMT(v->token_file));
    return 0;
}

static int missing(Binder *b, const char *what, StrView name)
{
    return err_set(b->err, ERR_NOT_FOUND, 0, "%s: there is no %s '%.*s'", b->file, what,
                   SV_FMT(sv_head(name, 200)));
}

/* The entry of a list whose name it is; NULL: there is none. */
#define FIND(list, wanted)                                                                         \
    ({                                                                                             \
        __typeof__((list).items + 0) found_ = NULL;                                                \
        for (unsigned i_ = 0; !found_ && i_ < (list).len; i_++)                                    \
            if (sv_eq((list).items[i_].name, (wanted)))                                            \
                found_ = &(list).items[i_];                                                        \
        found_;                                                                                    \
    })

static int take(Binder *b, const KubeFile *f, const char *dir, const char *context, KubeConfig *c)
{
    StrView name = context ? sv_cstr(context) : f->current;
    const NamedContext *ctx = FIND(f->contexts, name);
    if (!ctx)
        return missing(b, "context", name);
    const KubeContext *x = &ctx->context;
    const NamedCluster *cluster = FIND(f->clusters, x->cluster);
    if (!cluster)
        return missing(b, "cluster", x->cluster);
    if (!(c->ns = dup_sv(x->ns.len ? x->ns : SV("default"))))
        return err_nomem(b->err);
    Place p;
    enter(&p, b, dir, "clusters", (size_t)(cluster - f->clusters.items), "cluster",
          cluster->cluster.at);
    int r = parse_cluster(&p, &cluster->cluster, c);
    b->frame = NULL;
    if (r < 0 || x->user.len == 0)
        return r;
    const NamedUser *user = FIND(f->users, x->user);
    if (!user)
        return missing(b, "user", x->user);
    enter(&p, b, dir, "users", (size_t)(user - f->users.items), "user", user->user.at);
    r = parse_user(&p, &user->user, c);
    b->frame = NULL;
    return r;
}

static int parse(StrView text, const char *name, const char *dir, const char *context,
                 KubeConfig *ret, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    Binder b = { .file = name, .arena = &a, .format = &format, .err = err };
    KubeFile f = { 0 };
    Value root;
    KubeConfig c = { 0 };
    if (text.len > KUBECONFIG_SIZE_MAX)
        return err_set(err, ERR_LIMIT, 0, "%s: the kubeconfig is too large", name);
    int r = yaml_decode(text, &a, NULL, &root, NULL, err);
    if (r < 0)
        err_wrap(err, "%s", name);
    else if ((r = bind_struct(&b, &type_file, &f, &root)) == 0)
        r = take(&b, &f, dir, context, &c);
    if (r < 0) {
        kube_config_free(&c);
        return r;
    }
    *ret = c;
    return 0;
}

int kube_config_parse(StrView text, const char *base_dir, const char *context, KubeConfig *ret,
                      Err *err)
{
    return parse(text, "kubeconfig", base_dir, context, ret, err);
}

int kube_config_load(const char *path, const char *context, KubeConfig *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, KUBECONFIG_SIZE_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read kubeconfig '%s'", path);
    StrView p = sv_cstr(path);
    ssize_t slash = sv_rfind_char(p, '/');
    _cleanup_free_ char *dir =
        slash < 0 ? strdup(".") : dup_sv(sv_head(p, slash ? (size_t)slash : 1));
    if (!dir)
        return err_nomem(err);
    return parse(buf_view(&text), path, dir, context, ret, err);
}

int kube_config_in_cluster(KubeConfig *ret, Err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    KubeConfig c = { .tls = true };
    if (!host || !port || parse_port(sv_cstr(port), 443, &c.port) < 0)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "not inside a cluster: KUBERNETES_SERVICE_HOST and _PORT "
                       "are not set");
    _cleanup_buf_ Buf ns = BUF_INIT;
    int r = file_read(AT_FDCWD, POD_DIR "/ca.crt", KUBECONFIG_SIZE_MAX, &c.ca);
    if (r < 0) {
        kube_config_free(&c);
        return err_neg(err, r, "read " POD_DIR "/ca.crt");
    }
    bool has_ns = file_read(AT_FDCWD, POD_DIR "/namespace", 1024, &ns) == 0;
    StrView name = has_ns ? sv_trim(buf_view(&ns)) : SV("");
    c.host = strdup(host);
    c.prefix = strdup("");
    c.token_file = strdup(POD_DIR "/token");
    c.ns = dup_sv(name.len ? name : SV("default"));
    if (!c.host || !c.prefix || !c.token_file || !c.ns) {
        kube_config_free(&c);
        return err_nomem(err);
    }
    *ret = c;
    return 0;
}
