/* env.c - environment variables of a container, in Kubernetes' order: service links, envFrom, env;
 * later ones win. Values may use $(NAME) of what stands before them. */
#include <stdarg.h>
#include <stdio.h>

#include "api/quantity.h"
#include "base/encode.h"
#include "codec/json.h"
#include "kubelet/internal.h"

static bool name_is(const char *entry, StrView name)
{
    return strncmp(entry, name.ptr, name.len) == 0 && entry[name.len] == '=';
}

static int put(StringList *env, Arena *a, StrView name, StrView value, Err *err)
{
    const char *text = arena_printf(a, "%.*s=%.*s", SV_FMT(name), SV_FMT(value)).ptr;
    if (!text)
        return err_nomem(err);
    vec_foreach (e, env) {
        if (name_is(*e, name)) {
            *e = text;
            return 0;
        }
    }
    return vec_push(env, text) ? 0 : err_nomem(err);
}

static bool lookup(const StringList *env, StrView name, StrView *ret)
{
    for (size_t i = 0; i < env->len; i++)
        if (name_is(env->items[i], name)) {
            *ret = sv_cstr(env->items[i] + name.len + 1);
            return true;
        }
    return false;
}

StrView env_expand(StrView text, const StringList *env, Arena *a)
{
    if (sv_find_char(text, '$') < 0)
        return text;
    _cleanup_buf_ Buf out = BUF_INIT;
    for (size_t i = 0; i < text.len; i++) {
        StrView rest = sv_skip(text, i);
        ssize_t close = sv_starts(rest, SV("$(")) ? sv_find_char(rest, ')') : -1;
        StrView value;
        if (sv_starts(rest, SV("$$"))) { /* an escaped $ */
            buf_putc(&out, '$');
            i++;
        } else if (close > 0 && lookup(env, sv_n(rest.ptr + 2, (size_t)close - 2), &value)) {
            buf_sv(&out, value);
            i += (size_t)close;
        } else if (close > 0) { /* of nothing: it stays, and what is in it too */
            buf_sv(&out, sv_head(rest, (size_t)close + 1));
            i += (size_t)close;
        } else
            buf_putc(&out, text.ptr[i]);
    }
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

/* ---- fields of the pod ---- */

/* As Go's %q writes it. */
static void put_quoted(Buf *out, StrView text)
{
    static const char escapes[] = "abtnvfr"; /* from 7 on */
    buf_putc(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c >= 7 && c <= 13)
            buf_printf(out, "\\%c", escapes[c - 7]);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

static int by_key(const void *a, const void *b)
{
    return sv_cmp((*(const Member *const *)a)->key, (*(const Member *const *)b)->key);
}

/* A line for each member, in the order of their names. */
static StrView map_text(const Value *map, Arena *a)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    uint32_t n = 0;
    const Member **list = arena_array(a, const Member *, value_len(map) + 1);
    if (!list)
        return SV_NULL;
    value_map_foreach (m, map)
        list[n++] = m;
    qsort(list, n, sizeof *list, by_key);
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&out, "%s%.*s=", i ? "\n" : "", SV_FMT(list[i]->key));
        put_quoted(&out, value_str(&list[i]->val));
    }
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

/* metadata.labels['key'] */
static bool subscript(StrView path, StrView prefix, StrView *ret_key)
{
    if (!sv_starts(path, prefix) || !sv_ends(path, SV("']")) || path.len < prefix.len + 4)
        return false;
    StrView rest = sv_skip(path, prefix.len);
    if (!sv_starts(rest, SV("['")))
        return false;
    *ret_key = sv_n(rest.ptr + 2, rest.len - 4);
    return true;
}

int field_ref_value(const SetupJob *job, StrView path, StrView *ret, Err *err)
{
    static const struct {
        StrView field;
        const char *path;
    } direct[] = {
        { SV_INIT("metadata.name"), "metadata.name" },
        { SV_INIT("metadata.namespace"), "metadata.namespace" },
        { SV_INIT("metadata.uid"), "metadata.uid" },
        { SV_INIT("spec.nodeName"), "spec.nodeName" },
        { SV_INIT("spec.serviceAccountName"), "spec.serviceAccountName" },
    };
    Arena *a = (Arena *)&job->arena;
    StrView key;
    for (size_t i = 0; i < ARRAY_SIZE(direct); i++)
        if (sv_eq(direct[i].field, path)) {
            *ret = value_path_str(&job->pod, direct[i].path);
            return 0;
        }
    if (sv_eq(path, SV("status.hostIP")) || sv_eq(path, SV("status.hostIPs")))
        *ret = sv_cstr(job->k->cfg.node_ip);
    else if (sv_eq(path, SV("status.podIP")) || sv_eq(path, SV("status.podIPs")))
        *ret = sv_cstr(job->pod_ip);
    else if (sv_eq(path, SV("metadata.labels")) || sv_eq(path, SV("metadata.annotations")))
        *ret = map_text(value_get(value_get(&job->pod, SV("metadata")), sv_skip(path, 9)), a);
    else if (subscript(path, SV("metadata.labels"), &key))
        *ret = value_str(value_get(value_path(&job->pod, "metadata.labels"), key));
    else if (subscript(path, SV("metadata.annotations"), &key))
        *ret = value_str(value_get(value_path(&job->pod, "metadata.annotations"), key));
    else
        return err_set(err, ERR_INVALID, 0, "fieldPath '%.*s' is not supported", SV_FMT(path));
    if (!ret->ptr)
        *ret = SV("");
    return 0;
}

/* Without a limit the container may use what the node has. */
static int64_t node_capacity(bool cpu)
{
    if (cpu)
        return sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

int resource_field_value(const Value *pod, const Value *ref, const Value *container, Arena *a,
                         StrView *ret, Err *err)
{
    StrView kind, name, resource = value_str(value_get(ref, SV("resource")));
    sv_cut(resource, '.', &kind, &name);
    bool cpu = sv_eq(name, SV("cpu"));
    const Value *v = value_get(value_get(value_get(container, SV("resources")), kind), name);
    ApiQuantity q, divisor = api_quantity_of(1, API_QUANTITY_DECIMAL_SI);
    const Value *div = value_get(ref, SV("divisor"));
    if ((!sv_eq(kind, SV("limits")) && !sv_eq(kind, SV("requests"))) ||
        (v && api_quantity_from(v, &q, err) < 0))
        return err_set(err, ERR_INVALID, 0, "resourceFieldRef '%.*s' is not supported",
                       SV_FMT(resource));
    if (!v && sv_eq(kind, SV("limits")) && (cpu || sv_eq(name, SV("memory")))) {
        q = api_quantity_of(node_capacity(cpu), API_QUANTITY_DECIMAL_SI);
        if (cpu)
            q.nano /= 1000;
    } else if (!v)
        q = api_quantity_of(0, API_QUANTITY_DECIMAL_SI);
    if (div && (api_quantity_from(div, &divisor, err) < 0))
        return err_wrap(err, "resourceFieldRef.divisor");
    if (divisor.nano <= 0)
        divisor = api_quantity_of(1, API_QUANTITY_DECIMAL_SI);
    __int128 n = (q.nano + divisor.nano - 1) / divisor.nano;
    *ret = arena_printf(a, "%lld", (long long)n);
    return ret->ptr ? 0 : err_nomem(err);
}

/* ---- sources ---- */

static int missing(Err *err, const char *kind, StrView name, StrView key)
{
    if (key.len)
        return err_set(err, ERR_NOT_FOUND, 0, "couldn't find key %.*s in %s %.*s", SV_FMT(key),
                       kind, SV_FMT(name));
    return err_set(err, ERR_NOT_FOUND, 0, "%s \"%.*s\" not found", kind, SV_FMT(name));
}

static StrView secret_text(Arena *a, StrView b64)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    return base64_decode(BASE64_STD, b64, &raw) < 0 ? SV("") : arena_sv(a, buf_view(&raw));
}

/* 1: there, 0: absent and optional. */
static int key_ref(StartJob *job, const char *kind, const Value *ref, StrView *ret, Err *err)
{
    StrView name = value_str(value_get(ref, SV("name"))),
            key = value_str(value_get(ref, SV("key")));
    bool optional = value_bool_or(value_get(ref, SV("optional")), false),
         secret = strcmp(kind, "secret") == 0;
    Arena *a = &job->base.arena;
    Value obj;
    if (!resource_get(&job->base.resources, kind, name, a, &obj))
        return optional ? 0 : missing(err, kind, name, SV_NULL);
    const Value *v = value_get(value_get(&obj, SV("data")), key);
    if (!v)
        return optional ? 0 : missing(err, kind, name, key);
    *ret = secret ? secret_text(a, value_str(v)) : value_str(v);
    return 1;
}

static int add_from(StartJob *job, const Value *from, StringList *env, Err *err)
{
    static const struct {
        StrView member;
        const char *kind;
    } kinds[] = { { SV_INIT("configMapRef"), "configmap" }, { SV_INIT("secretRef"), "secret" } };
    Arena *a = &job->base.arena;
    StrView prefix = value_str(value_get(from, SV("prefix")));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const Value *ref = value_get(from, kinds[i].member);
        Value obj;
        if (!ref)
            continue;
        StrView name = value_str(value_get(ref, SV("name")));
        if (!resource_get(&job->base.resources, kinds[i].kind, name, a, &obj)) {
            if (value_bool_or(value_get(ref, SV("optional")), false))
                continue;
            return missing(err, kinds[i].kind, name, SV_NULL);
        }
        value_map_foreach (m, value_get(&obj, SV("data"))) {
            StrView text = i == 1 ? secret_text(a, value_str(&m->val)) : value_str(&m->val);
            int r =
                put(env, a, arena_printf(a, "%.*s%.*s", SV_FMT(prefix), SV_FMT(m->key)), text, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int add_one(StartJob *job, const Value *container, const Value *item, StringList *env,
                   Err *err)
{
    Arena *a = &job->base.arena;
    StrView name = value_str(value_get(item, SV("name"))), text = SV("");
    const Value *from = value_get(item, SV("valueFrom"));
    int r = 1;
    if (!from)
        text = env_expand(value_str(value_get(item, SV("value"))), env, a);
    else if (value_get(from, SV("fieldRef")))
        r = field_ref_value(&job->base, value_path_str(from, "fieldRef.fieldPath"), &text, err) < 0
                ? -ERR_INVALID
                : 1;
    else if (value_get(from, SV("resourceFieldRef")))
        r = resource_field_value(&job->base.pod, value_get(from, SV("resourceFieldRef")), container,
                                 a, &text, err) < 0
                ? -ERR_INVALID
                : 1;
    else if (value_get(from, SV("configMapKeyRef")))
        r = key_ref(job, "configmap", value_get(from, SV("configMapKeyRef")), &text, err);
    else if (value_get(from, SV("secretKeyRef")))
        r = key_ref(job, "secret", value_get(from, SV("secretKeyRef")), &text, err);
    else
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "env %.*s: this kind of valueFrom is not supported by this node",
                       SV_FMT(name));
    return r <= 0 ? r : put(env, a, name, text.ptr ? text : SV(""), err);
}

int env_build(StartJob *job, const Value *container, const ImageConfig *img, StringList *ret,
              Err *err)
{
    Arena *a = &job->base.arena;
    int r = 0;
    for (uint32_t i = 0; i < img->env.len && r == 0; i++) {
        StrView name, value;
        sv_cut(sv_cstr(img->env.items[i]), '=', &name, &value);
        r = put(ret, a, name, value, err);
    }
    value_list_foreach (entry, &job->service_env) {
        StrView name, value;
        sv_cut(value_str(entry), '=', &name, &value);
        if (r == 0)
            r = put(ret, a, name, value, err);
    }
    value_list_foreach (from, value_get(container, SV("envFrom"))) {
        if (r == 0)
            r = add_from(job, from, ret, err);
    }
    value_list_foreach (item, value_get(container, SV("env"))) {
        if (r == 0)
            r = add_one(job, container, item, ret, err);
    }
    StrView have;
    if (r == 0 && !lookup(ret, SV("PATH"), &have))
        r = put(ret, a, SV("PATH"),
                SV("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), err);
    if (r == 0)
        r = put(ret, a, SV("HOSTNAME"),
                value_path_str(&job->base.pod, "spec.hostname").len
                    ? value_path_str(&job->base.pod, "spec.hostname")
                    : value_path_str(&job->base.pod, "metadata.name"),
                err);
    return r;
}

/* ---- service links: {SVC}_SERVICE_HOST and its relatives ---- */

static void add_link(Value *list, Arena *a, const char *fmt, ...) PRINTF(3, 4);
static void add_link(Value *list, Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    StrView s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    value_push(a, list, value_sv(s));
}

static const char *env_name(Arena *a, StrView service)
{
    char *s = arena_cstr(a, service);
    for (char *p = s; p && *p; p++)
        *p = (char)(*p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    return s ? s : "";
}

static void link_service(Value *list, Arena *a, const Value *svc)
{
    const char *name = env_name(a, value_path_str(svc, "metadata.name"));
    StrView ip = value_path_str(svc, "spec.clusterIP");
    bool first = true;
    if (!ip.len || sv_eq(ip, SV("None")))
        return;
    value_list_foreach (p, value_path(svc, "spec.ports")) {
        long long port = (long long)value_int_or(value_get(p, SV("port")), 0);
        StrView port_name = value_str(value_get(p, SV("name"))),
                proto = value_str(value_get(p, SV("protocol")));
        const char *low = sv_eq(proto, SV("UDP")) ? "udp" : "tcp",
                   *up = sv_eq(proto, SV("UDP")) ? "UDP" : "TCP";
        if (first) {
            add_link(list, a, "%s_SERVICE_HOST=%.*s", name, SV_FMT(ip));
            add_link(list, a, "%s_SERVICE_PORT=%lld", name, port);
            add_link(list, a, "%s_PORT=%s://%.*s:%lld", name, low, SV_FMT(ip), port);
            first = false;
        }
        if (port_name.len)
            add_link(list, a, "%s_SERVICE_PORT_%s=%lld", name, env_name(a, port_name), port);
        add_link(list, a, "%s_PORT_%lld_%s=%s://%.*s:%lld", name, port, up, low, SV_FMT(ip), port);
        add_link(list, a, "%s_PORT_%lld_%s_PROTO=%s", name, port, up, low);
        add_link(list, a, "%s_PORT_%lld_%s_PORT=%lld", name, port, up, port);
        add_link(list, a, "%s_PORT_%lld_%s_ADDR=%.*s", name, port, up, SV_FMT(ip));
    }
}

Value service_links(Kubelet *k, StrView ns, Arena *a)
{
    Value list = value_list();
    size_t pos = 0;
    for (ApiObject *o; (o = informer_next(k->services, &pos));) {
        Value svc;
        bool api = sv_eq(o->ns, SV("default")) && sv_eq(o->name, SV("kubernetes"));
        if (!api && !sv_eq(o->ns, ns))
            continue;
        StrView text = arena_sv(a, o->json);
        if (text.ptr && json_decode(text, a, NULL, &svc, NULL) == 0)
            link_service(&list, a, &svc);
    }
    return list;
}
