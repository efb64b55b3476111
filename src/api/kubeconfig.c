/* kubeconfig.c - where an API server is and who we are to it, from a kubeconfig file.
 *
 * The format is clientcmd/v1's Config: named clusters, users and contexts, of which one context is
 * picked. Users that need a helper program (exec, auth-provider) are refused by name. */
#include "api/kubeconfig.h"

#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
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

/* The entry called `name` of a list like {name: x, cluster: {...}}; its `inner` part. */
static const Value *find_named(const Value *root, StrView list, StrView name, StrView inner)
{
    value_list_foreach (it, value_get(root, list))
        if (sv_eq(value_str(value_get(it, SV("name"))), name))
            return value_get(it, inner);
    return NULL;
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

/* Either inline (`data`, base64) or a file's content. */
static int read_pem(const Value *v, StrView data, StrView file, const char *dir, Buf *out, Err *err)
{
    StrView inline_data = value_str(value_get(v, data)), name = value_str(value_get(v, file));
    if (inline_data.len > 0) {
        if (base64_decode(BASE64_STD, inline_data, out) < 0)
            return err_set(err, ERR_INVALID, 0, "%.*s is not base64", SV_FMT(data));
        return 0;
    }
    if (name.len == 0)
        return 0;
    _cleanup_free_ char *path = join(dir, name);
    if (!path)
        return err_set(err, ERR_INVALID, 0, "%.*s '%.*s' needs an absolute path", SV_FMT(file),
                       SV_FMT(name));
    int r = file_read(AT_FDCWD, path, KUBECONFIG_SIZE_MAX, out);
    return r < 0 ? err_neg(err, r, "read %.*s '%s'", SV_FMT(file), path) : 0;
}

static int parse_port(StrView s, uint16_t fallback, uint16_t *ret)
{
    uint64_t n = fallback;
    if (s.len > 0 && (sv_to_u64(s, &n) < 0 || n == 0 || n > 65535))
        return -1;
    *ret = (uint16_t)n;
    return 0;
}

/* "https://host:port/prefix", "http://…", "https://[::1]:6443", "unix:/path" */
static int parse_server(StrView url, KubeConfig *c, Err *err)
{
    StrView rest = url, authority, path, host, port;
    if (sv_starts(url, SV("unix:/"))) {
        c->host = dup_sv(url);
        c->prefix = strdup("");
        return c->host && c->prefix ? 0 : err_nomem(err);
    }
    c->tls = sv_starts(url, SV("https://"));
    if (!c->tls && !sv_starts(url, SV("http://")))
        return err_set(err, ERR_INVALID, 0, "the server '%.*s' is not an http or https URL",
                       SV_FMT(url));
    rest = sv_skip(url, c->tls ? 8 : 7);
    sv_cut(rest, '/', &authority, &path);
    while (sv_ends(path, SV("/")))
        path.len--;
    if (sv_starts(authority, SV("["))) {
        ssize_t end = sv_find_char(authority, ']');
        if (end < 0)
            return err_set(err, ERR_INVALID, 0, "the server '%.*s' has a bad address", SV_FMT(url));
        host = sv_n(authority.ptr + 1, (size_t)end - 1);
        port = sv_skip(authority, (size_t)end + 1);
        if (port.len > 0 && port.ptr[0] == ':')
            port = sv_skip(port, 1);
    } else {
        sv_cut(authority, ':', &host, &port);
    }
    if (host.len == 0 || parse_port(port, c->tls ? 443 : 80, &c->port) < 0)
        return err_set(err, ERR_INVALID, 0, "the server '%.*s' has a bad address", SV_FMT(url));
    c->host = dup_sv(host);
    if (asprintf(&c->prefix, "%s%.*s", path.len ? "/" : "", SV_FMT(path)) < 0)
        c->prefix = NULL;
    return c->host && c->prefix ? 0 : err_nomem(err);
}

static int parse_cluster(const Value *v, const char *dir, KubeConfig *c, Err *err)
{
    int r = parse_server(value_str(value_get(v, SV("server"))), c, err);
    if (r == 0)
        r = read_pem(v, SV("certificate-authority-data"), SV("certificate-authority"), dir, &c->ca,
                     err);
    if (r < 0)
        return r;
    StrView name = value_str(value_get(v, SV("tls-server-name")));
    if (name.len > 0 && !(c->server_name = dup_sv(name)))
        return err_nomem(err);
    c->insecure = value_bool_or(value_get(v, SV("insecure-skip-tls-verify")), false);
    return 0;
}

static int parse_user(const Value *v, const char *dir, KubeConfig *c, Err *err)
{
    if (value_get(v, SV("exec")) || value_get(v, SV("auth-provider")))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "users with exec or auth-provider are not supported");
    int r =
        read_pem(v, SV("client-certificate-data"), SV("client-certificate"), dir, &c->cert, err);
    if (r == 0)
        r = read_pem(v, SV("client-key-data"), SV("client-key"), dir, &c->key, err);
    if (r < 0)
        return r;
    StrView token = value_str(value_get(v, SV("token")));
    StrView file = value_str(value_get(v, SV("tokenFile")));
    if (token.len > 0 && !(c->token = dup_sv(token)))
        return err_nomem(err);
    if (file.len > 0 && !(c->token_file = join(dir, file)))
        return err_set(err, ERR_INVALID, 0, "tokenFile '%.*s' needs an absolute path",
                       SV_FMT(file));
    return 0;
}

static int parse_document(const Value *root, const char *dir, const char *context, KubeConfig *c,
                          Err *err)
{
    StrView name = context ? sv_cstr(context) : value_str(value_get(root, SV("current-context")));
    const Value *ctx = find_named(root, SV("contexts"), name, SV("context"));
    if (!ctx)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no context '%.*s'", SV_FMT(name));
    StrView cluster = value_str(value_get(ctx, SV("cluster")));
    StrView user = value_str(value_get(ctx, SV("user")));
    StrView ns = value_str(value_get(ctx, SV("namespace")));
    const Value *cv = find_named(root, SV("clusters"), cluster, SV("cluster"));
    if (!cv)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no cluster '%.*s'", SV_FMT(cluster));
    c->ns = dup_sv(ns.len ? ns : SV("default"));
    if (!c->ns)
        return err_nomem(err);
    int r = parse_cluster(cv, dir, c, err);
    if (r < 0 || user.len == 0)
        return r;
    const Value *uv = find_named(root, SV("users"), user, SV("user"));
    if (!uv)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no user '%.*s'", SV_FMT(user));
    return parse_user(uv, dir, c, err);
}

int kube_config_parse(StrView text, const char *base_dir, const char *context, KubeConfig *ret,
                      Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    Value root;
    KubeConfig c = { 0 };
    if (text.len > KUBECONFIG_SIZE_MAX)
        return err_set(err, ERR_LIMIT, 0, "the kubeconfig is too large");
    int r = yaml_decode(text, &a, NULL, &root, NULL, err);
    if (r == 0)
        r = parse_document(&root, base_dir, context, &c, err);
    if (r < 0) {
        kube_config_free(&c);
        return r;
    }
    *ret = c;
    return 0;
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
    r = kube_config_parse(buf_view(&text), dir, context, ret, err);
    return r < 0 ? err_wrap(err, "kubeconfig '%s'", path) : 0;
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
