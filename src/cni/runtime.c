/* runtime.c - plugin chains as in the specification's sections 3 and 4. */
#include "cni/runtime.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "codec/json.h"

enum { CONFIG_MAX = 1024 * 1024, PLUGIN_TIMEOUT_MS = 60000, PLUGINS_MAX = 16, ENV_MAX = 4096 };

struct CniNetwork {
    Arena arena;
    StrView name, version;
    Value plugins; /* list of maps */
};

/* Of a list, or of the one plugin of a configuration without a list. */
typedef struct NetworkConf {
    StrView name, version, type;
    const Value *plugins;
} NetworkConf;

static const Field network_fields[] = {
    BIND(NetworkConf, "name", TEXT, name),
    BIND(NetworkConf, "cniVersion", TEXT, version),
    BIND(NetworkConf, "type", TEXT, type),
    BIND(NetworkConf, "plugins", VALUE, plugins),
};
static const Type type_network = { "NetConf", sizeof(NetworkConf), network_fields,
                                   ARRAY_SIZE(network_fields) };

static int check_type(Binder *b, const Value *plugin, StrView type)
{
    if (!type.len || sv_find_char(type, '/') >= 0)
        return bind_fail_key(b, plugin, "type", "'%.*s' names no plugin",
                             SV_FMT(sv_head(type, 60)));
    return 0;
}

static int check_plugins(CniNetwork *n, Binder *b, const Value *list)
{
    BindFrame frame = { .key = SV("plugins") }, item = { .up = &frame, .is_item = true };
    NetworkConf one;
    int r = 0;
    b->frame = &frame;
    if (list->kind != VALUE_LIST || !list->len || list->len > PLUGINS_MAX)
        return bind_fail(b, list, "expected 1 to %d of them", PLUGINS_MAX);
    n->plugins = *list;
    value_list_foreach (p, list) {
        b->frame = &item;
        if ((r = bind_struct(b, &type_network, &one, p)) < 0 ||
            (r = check_type(b, p, one.type)) < 0)
            return r;
        item.index++;
    }
    b->frame = NULL;
    return 0;
}

static int set_up(CniNetwork *n, const Value *v, const char *where, Err *err)
{
    Binder b = { .file = where, .arena = &n->arena, .format = &cni_format, .err = err };
    NetworkConf conf = { 0 };
    int r = bind_struct(&b, &type_network, &conf, v);
    if (r < 0)
        return r;
    if (!conf.name.len)
        return bind_fail_key(&b, v, "name", "expected the network's name");
    if (!cni_version_known(conf.version))
        return bind_fail_key(&b, v, "cniVersion", "'%.*s' is not known; expected 0.3.0 to 1.1.0",
                             SV_FMT(sv_head(conf.version, 40)));
    n->name = conf.name;
    n->version = conf.version;
    if (conf.plugins)
        return check_plugins(n, &b, conf.plugins);
    n->plugins = value_list();
    if ((r = check_type(&b, v, conf.type)) < 0)
        return r;
    return value_push(&n->arena, &n->plugins, *v) ? 0 : err_nomem(err);
}

int cni_network_parse(StrView text, const char *where, CniNetwork **ret, Err *err)
{
    CniNetwork *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    arena_init(&n->arena, ARENA_DEFAULT_LIMIT);
    Value v;
    StrView copy = arena_sv(&n->arena, text);
    int r = copy.ptr ? json_decode(copy, &n->arena, &cni_json, &v, err) : err_nomem(err);
    if (r < 0)
        err_wrap(err, "%s", where);
    else
        r = set_up(n, &v, where, err);
    if (r < 0) {
        cni_network_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

int cni_network_load(const char *path, CniNetwork **ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, CONFIG_MAX, &text);
    return r < 0 ? err_neg(err, r, "read '%s'", path)
                 : cni_network_parse(buf_view(&text), path, ret, err);
}

CniNetwork *cni_network_free(CniNetwork *n)
{
    if (n)
        arena_free(&n->arena);
    free(n);
    return NULL;
}

StrView cni_network_name(const CniNetwork *n)
{
    return n->name;
}

/* ---- one plugin ---- */

static int find_program(const CniAttachment *at, StrView type, char *buf, size_t size, Err *err)
{
    StrView rest = sv_cstr(at->plugin_path), dir;
    while (sv_next(&rest, ':', &dir)) {
        int n = snprintf(buf, size, "%.*s/%.*s", SV_FMT(dir), SV_FMT(type));
        if (n > 0 && (size_t)n < size && access(buf, X_OK) == 0)
            return 0;
    }
    return err_set(err, ERR_NOT_FOUND, 0, "CNI plugin '%.*s' is not in %s", SV_FMT(type),
                   at->plugin_path);
}

/* The capability arguments that this plugin declares. */
static bool add_capabilities(Arena *a, Value *conf, const CniAttachment *at)
{
    Value runtime = value_map();
    value_map_foreach (m, value_get(conf, SV("capabilities"))) {
        const Value *arg = value_get(at->capability_args, m->key);
        if (value_bool_or(&m->val, false) && arg && !value_set(a, &runtime, m->key, *arg))
            return false;
    }
    value_del(conf, SV("capabilities"));
    return !value_len(&runtime) || value_set(a, conf, SV("runtimeConfig"), runtime);
}

static int plugin_config(const CniNetwork *n, const Value *plugin, const CniAttachment *at,
                         const Value *prev, Arena *a, Buf *out, Err *err)
{
    Value conf;
    if (!value_clone(a, plugin, &conf) || !value_set(a, &conf, SV("name"), value_sv(n->name)) ||
        !value_set(a, &conf, SV("cniVersion"), value_sv(n->version)) ||
        !add_capabilities(a, &conf, at) || (prev && !value_set(a, &conf, SV("prevResult"), *prev)))
        return err_nomem(err);
    json_encode(&conf, out);
    return out->failed ? err_nomem(err) : 0;
}

/* What the plugin said when it failed. */
static int plugin_error(StrView type, StrView out, StrView errout, Arena *a, Err *err)
{
    Value v;
    StrView msg = SV_NULL;
    if (json_decode(out, a, NULL, &v, NULL) == 0)
        msg = value_str(value_get(&v, SV("msg")));
    if (!msg.len)
        msg = sv_trim(errout.len ? errout : out);
    return err_set(err, ERR_SYS, 0, "CNI plugin %.*s: %.*s", SV_FMT(type),
                   SV_FMT(sv_head(msg, 400)));
}

static int run_plugin(const CniNetwork *n, const Value *plugin, const CniAttachment *at,
                      const char *command, const Value *prev, Arena *a, Value *ret, Err *err)
{
    char program[PATH_MAX], env[7][ENV_MAX];
    StrView type = value_str(value_get(plugin, SV("type")));
    _cleanup_buf_ Buf in = BUF_INIT, out = { .limit = CONFIG_MAX }, errout = { .limit = 65536 };
    int r, status;
    if ((r = find_program(at, type, program, sizeof program, err)) < 0 ||
        (r = plugin_config(n, plugin, at, prev, a, &in, err)) < 0)
        return r;
    snprintf(env[0], ENV_MAX, "CNI_COMMAND=%s", command);
    snprintf(env[1], ENV_MAX, "CNI_CONTAINERID=%s", at->container_id);
    snprintf(env[2], ENV_MAX, "CNI_NETNS=%s", at->netns);
    snprintf(env[3], ENV_MAX, "CNI_IFNAME=%s", at->ifname);
    snprintf(env[4], ENV_MAX, "CNI_PATH=%s", at->plugin_path);
    snprintf(env[5], ENV_MAX, "CNI_ARGS=%.*s", SV_FMT(at->args));
    snprintf(env[6], ENV_MAX, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    const char *const argv[] = { program, NULL };
    const char *const envp[] = { env[0], env[1], env[2], env[3], env[4], env[5], env[6], NULL };
    r = proc_run(argv, envp, buf_view(&in), PLUGIN_TIMEOUT_MS, &out, &errout, &status);
    if (r < 0)
        return err_neg(err, r, "run CNI plugin %s", program);
    StrView text = arena_sv(a, buf_view(&out));
    if (status != 0)
        return plugin_error(type, text, buf_view(&errout), a, err);
    if (!ret)
        return 0;
    if (!text.len)
        return err_set(err, ERR_PROTO, 0, "CNI plugin %.*s: no result", SV_FMT(type));
    if (json_decode(text, a, NULL, ret, err) < 0)
        return err_wrap(err, "answer of CNI plugin %.*s", SV_FMT(type));
    return 0;
}

/* ---- the cache, in libcni's layout ---- */

static void cache_path(const CniNetwork *n, const CniAttachment *at, char buf[static PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s/results/%.*s-%s-%s", at->cache_dir, SV_FMT(n->name),
             at->container_id, at->ifname);
}

static int cache_put(const CniNetwork *n, const CniAttachment *at, const Value *result, Arena *a,
                     Err *err)
{
    char path[PATH_MAX], dir[PATH_MAX];
    _cleanup_buf_ Buf text = BUF_INIT;
    Value v = value_map();
    value_set(a, &v, SV("kind"), value_sv(SV("cniCacheV1")));
    value_set(a, &v, SV("containerId"), value_sv(sv_cstr(at->container_id)));
    value_set(a, &v, SV("ifName"), value_sv(sv_cstr(at->ifname)));
    value_set(a, &v, SV("networkName"), value_sv(n->name));
    value_set(a, &v, SV("result"), *result);
    if (at->capability_args)
        value_set(a, &v, SV("capabilityArgs"), *at->capability_args);
    json_encode(&v, &text);
    snprintf(dir, sizeof dir, "%s/results", at->cache_dir);
    cache_path(n, at, path);
    int r = text.failed ? -ENOMEM : mkdir_p(AT_FDCWD, dir, 0700);
    if (r == 0)
        r = file_write_atomic(AT_FDCWD, path, buf_view(&text), 0600, false);
    return r < 0 ? err_neg(err, r, "keep CNI result in '%s'", path) : 0;
}

/* *ret_args: the capability arguments of the ADD, or NULL. 1, 0 when there is no result or a
 * damaged one, or the negative errno of one that cannot be read now. */
static int cache_get(const CniNetwork *n, const CniAttachment *at, Arena *a, Value *ret,
                     const Value **ret_args)
{
    char path[PATH_MAX];
    _cleanup_buf_ Buf text = BUF_INIT;
    Value *v = arena_new(a, Value);
    *ret_args = NULL;
    cache_path(n, at, path);
    if (!v)
        return -ENOMEM;
    int r = file_read(AT_FDCWD, path, CONFIG_MAX, &text);
    if (r < 0)
        return r == -ENOENT || r == -EFBIG ? 0 : r;
    StrView copy = arena_sv(a, buf_view(&text));
    if (!copy.ptr)
        return -ENOMEM;
    if (json_decode(copy, a, NULL, v, NULL) < 0 || !value_get(v, SV("result")))
        return 0;
    *ret = *value_get(v, SV("result"));
    *ret_args = value_get(v, SV("capabilityArgs"));
    return 1;
}

/* ---- the chain ---- */

/* DEL of all plugins, from the last; then the result is forgotten. The first failure is told. */
static int del_chain(const CniNetwork *n, const CniAttachment *at, const Value *prev, Arena *a,
                     Err *err)
{
    char path[PATH_MAX];
    int first = 0;
    for (uint32_t i = value_len(&n->plugins); i-- > 0;) {
        Err own = { 0 };
        int r = run_plugin(n, value_at(&n->plugins, i), at, "DEL", prev, a, NULL, &own);
        if (r < 0 && first == 0) {
            first = r;
            if (err)
                *err = own;
        }
    }
    cache_path(n, at, path);
    if (first == 0 && unlink(path) < 0 && errno != ENOENT)
        return err_errno(err, "remove CNI result '%s'", path);
    return first;
}

int cni_add(const CniNetwork *n, const CniAttachment *at, Arena *a, CniResult *ret, Err *err)
{
    Value result, *prev = NULL;
    int r = 0;
    value_list_foreach (plugin, &n->plugins) {
        Value next;
        if ((r = run_plugin(n, plugin, at, "ADD", prev, a, &next, err)) < 0)
            break;
        result = next;
        prev = &result;
    }
    if (r == 0 && (r = cni_result_parse(&result, a, ret, err)) == 0)
        r = cache_put(n, at, &result, a, err);
    /* The first failure is the one to tell. Plugins learn from the result what to take away. */
    if (r < 0)
        (void)!(prev ? del_chain(n, at, prev, a, NULL) : cni_del(n, at, NULL));
    return r;
}

CniCached cni_cached(const CniNetwork *n, const CniAttachment *at)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    Value result;
    const Value *args;
    char path[PATH_MAX];
    if (cache_get(n, at, &a, &result, &args) > 0)
        return value_len(args) > 0 ? CNI_CACHED_ARGS : CNI_CACHED_PLAIN;
    cache_path(n, at, path);
    return path_exists(AT_FDCWD, path) ? CNI_CACHED_DAMAGED : CNI_CACHED_NOT;
}

int cni_del(const CniNetwork *n, const CniAttachment *asked, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    Value prev;
    const Value *args;
    char path[PATH_MAX];
    CniAttachment own_at = *asked;
    const CniAttachment *at = &own_at;
    int has = cache_get(n, at, &a, &prev, &args);
    if (has < 0) { /* without it a plugin does not know what to take away */
        cache_path(n, at, path);
        return err_neg(err, has, "read CNI result '%s'", path);
    }
    if (!own_at.capability_args)
        own_at.capability_args = args;
    return del_chain(n, at, has ? &prev : NULL, &a, err);
}

int cni_check(const CniNetwork *n, const CniAttachment *asked, Err *err)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    Value prev;
    const Value *args;
    CniAttachment own_at = *asked;
    const CniAttachment *at = &own_at;
    int r = cache_get(n, at, &a, &prev, &args);
    if (r < 0)
        return err_neg(err, r, "read the CNI result of container '%s'", at->container_id);
    if (r == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "container '%s' is not attached to network '%.*s'",
                       at->container_id, SV_FMT(n->name));
    if (!own_at.capability_args)
        own_at.capability_args = args;
    r = 0;
    value_list_foreach (plugin, &n->plugins) {
        if (r == 0)
            r = run_plugin(n, plugin, at, "CHECK", &prev, &a, NULL, err);
    }
    return r;
}
