/* plugin.c - environment and configuration in, result or error object out. */
#include "cni/plugin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "codec/json.h"

enum { CONFIG_MAX = 1024 * 1024, IPAM_TIMEOUT_MS = 60000 };

static const CniPlugin *const plugins[] = { &cni_bridge, &cni_loopback, &cni_host_local,
                                            &cni_portmap };

int cni_fail(CniCall *c, CniCode code, Err *err, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->code = code;
    return err_set(err, ERR_INVALID, 0, "%s", text);
}

static const CniPlugin *find_plugin(StrView name)
{
    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++)
        if (sv_eq(name, sv_cstr(plugins[i]->name)))
            return plugins[i];
    return NULL;
}

/* What cannot be told on standard output is told on standard error: a runtime shows both. */
static int print(const Value *v)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    json_encode(v, &out);
    buf_putc(&out, '\n');
    int r = out.failed ? -ENOMEM : fd_write_full(STDOUT_FILENO, out.ptr, out.len);
    if (r < 0)
        fprintf(stderr, "write to standard output: %s: %.*s\n", strerror(-r),
                SV_FMT(buf_view(&out)));
    return r < 0 ? 1 : 0;
}

static int print_error(CniCall *c, const Err *err)
{
    Value v = value_map();
    value_set(c->arena, &v, SV("cniVersion"), value_sv(c->version.len ? c->version : SV("1.1.0")));
    value_set(c->arena, &v, SV("code"), value_int(c->code));
    value_set(c->arena, &v, SV("msg"), value_sv(sv_cstr(err->msg)));
    print(&v);
    return 1;
}

static int print_version(CniCall *c)
{
    static const char *const all[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
    Value v = value_map(), list = value_list();
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        value_push(c->arena, &list, value_sv(sv_cstr(all[i])));
    value_set(c->arena, &v, SV("cniVersion"), value_sv(c->version.len ? c->version : SV("1.1.0")));
    value_set(c->arena, &v, SV("supportedVersions"), list);
    return print(&v);
}

/* ---- reading what is asked ---- */

static const char *env_or_empty(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

static int read_config(CniCall *c, Err *err)
{
    Buf text = BUF_INIT;
    int r = fd_read_all(STDIN_FILENO, CONFIG_MAX, &text);
    StrView copy = arena_sv(c->arena, buf_view(&text));
    buf_free(&text);
    if (r < 0)
        return cni_fail(c, CNI_ERR_IO, err, "read network configuration from standard input: %s",
                        strerror(-r));
    if (!copy.ptr)
        return err_nomem(err);
    if (json_decode(copy, c->arena, &cni_json, &c->config, err) < 0) {
        c->code = CNI_ERR_DECODE;
        return err_wrap(err, "network configuration");
    }
    c->version = value_str(value_get(&c->config, SV("cniVersion")));
    return 0;
}

static bool valid_container_id(const char *id)
{
    for (const char *p = id; *p; p++) {
        bool alnum =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!alnum && (p == id || !strchr("._-", *p)))
            return false;
    }
    return *id != 0;
}

/* Which variables each command needs (specification, section "Parameters"). */
static int check_env(CniCall *c, Err *err)
{
    bool add_or_check = strcmp(c->command, "ADD") == 0 || strcmp(c->command, "CHECK") == 0;
    bool del = strcmp(c->command, "DEL") == 0;
    if ((add_or_check || del) && !valid_container_id(c->container_id))
        return cni_fail(c, CNI_ERR_ENV, err, "CNI_CONTAINERID: '%s' is no container ID",
                        c->container_id);
    if (add_or_check && !*c->netns)
        return cni_fail(c, CNI_ERR_ENV, err, "CNI_NETNS: expected the path of a network namespace");
    if ((add_or_check || del) && (!*c->ifname || strlen(c->ifname) > 15 || strchr(c->ifname, '/')))
        return cni_fail(c, CNI_ERR_ENV, err,
                        "CNI_IFNAME: '%s' is no name for a link of 1 to 15 characters", c->ifname);
    return 0;
}

static int check_config(CniCall *c, Err *err)
{
    if (!cni_version_known(c->version))
        return cni_fail(
            c, CNI_ERR_VERSION, err,
            "cniVersion '%.*s' is not known; expected 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0",
            SV_FMT(sv_head(c->version, 40)));
    StrView name = value_str(value_get(&c->config, SV("name")));
    char text[256];
    if (!sv_copy_cstr(name, text, sizeof text) || strchr(text, '/') || !valid_container_id(text))
        return cni_fail(c, CNI_ERR_CONFIG, err, "name: '%.*s' is no network name",
                        SV_FMT(sv_head(name, 100)));
    return 0;
}

/* ---- running ---- */

static int run_plain(const CniPlugin *p, CniCall *c, const char *command, Err *err)
{
    const struct {
        const char *command;
        int (*fn)(CniCall *c, Err *err);
    } rows[] = {
        { "DEL", p->del }, { "CHECK", p->check }, { "GC", p->gc }, { "STATUS", p->status }
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].command, command) == 0)
            return rows[i].fn ? rows[i].fn(c, err) : 0;
    return cni_fail(
        c, CNI_ERR_ENV, err,
        "CNI_COMMAND: '%s' is no command; expected ADD, DEL, CHECK, GC, STATUS or VERSION",
        command);
}

/* An ADD of whose result nobody learns did not happen. */
static int run_add(const CniPlugin *p, CniCall *c)
{
    CniResult result = { .routes = value_list(), .dns = value_map() };
    Err err = { 0 };
    if (p->add(c, &result, &err) < 0)
        return print_error(c, &err);
    Value v = cni_result_value(&result, c->version, c->arena);
    int code = print(&v);
    if (code && p->del && p->del(c, &err) < 0)
        fprintf(stderr, "undo ADD: %s\n", err.msg);
    return code;
}

static int run_call(const CniPlugin *p, CniCall *c)
{
    Err err = { 0 };
    if (strcmp(c->command, "VERSION") == 0)
        return read_config(c, &err) < 0 ? print_error(c, &err) : print_version(c);
    if (check_env(c, &err) < 0 || read_config(c, &err) < 0 || check_config(c, &err) < 0)
        return print_error(c, &err);
    if (strcmp(c->command, "ADD") == 0)
        return run_add(p, c);
    return run_plain(p, c, c->command, &err) < 0 ? print_error(c, &err) : 0;
}

int cni_plugin_main(int argc, char **argv)
{
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc ? argv[0] : "";
    const CniPlugin *p = find_plugin(sv_cstr(name));
    if (!p) {
        fprintf(
            stderr,
            "knarr-cni: '%s' names no plugin; link this program as one of: bridge, host-local, loopback, portmap\n",
            name);
        return 2;
    }
    if (!getenv("CNI_COMMAND")) {
        fprintf(stderr,
                "CNI %s plugin (knarr " KNARR_VERSION
                ")\nCNI protocol versions supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
                p->name);
        return 0;
    }
    Arena arena;
    arena_init(&arena, ARENA_DEFAULT_LIMIT);
    CniCall c = { .arena = &arena,
                  .code = CNI_ERR_PLUGIN,
                  .command = env_or_empty("CNI_COMMAND"),
                  .container_id = env_or_empty("CNI_CONTAINERID"),
                  .netns = env_or_empty("CNI_NETNS"),
                  .ifname = env_or_empty("CNI_IFNAME"),
                  .args = env_or_empty("CNI_ARGS"),
                  .path = env_or_empty("CNI_PATH") };
    int r = run_call(p, &c);
    arena_free(&arena);
    return r;
}

/* ---- IPAM ---- */

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* Finds the program of an IPAM type on CNI_PATH; *ret_own when it is this one. */
static int find_ipam(CniCall *c, StrView *ret_type, char *buf, size_t size, bool *ret_own, Err *err)
{
    StrView rest = sv_cstr(c->path), dir, type = value_path_str(&c->config, "ipam.type");
    if (!type.len || sv_find_char(type, '/') >= 0)
        return cni_fail(c, CNI_ERR_CONFIG, err, "ipam.type: '%.*s' names no plugin",
                        SV_FMT(sv_head(type, 60)));
    *ret_type = type;
    while (sv_next(&rest, ':', &dir)) {
        int n = snprintf(buf, size, "%.*s/%.*s", SV_FMT(dir), SV_FMT(type));
        if (n > 0 && (size_t)n < size && access(buf, X_OK) == 0) {
            *ret_own = find_plugin(type) && same_file(buf, "/proc/self/exe");
            return 0;
        }
    }
    return cni_fail(c, CNI_ERR_CONFIG, err, "ipam.type: no program '%.*s' in CNI_PATH '%s'",
                    SV_FMT(type), c->path);
}

static int exec_ipam(CniCall *c, const char *program, const char *command, Value *ret, Err *err)
{
    const char *const argv[] = { program, NULL };
    _cleanup_buf_ Buf in = BUF_INIT, out = { .limit = CONFIG_MAX };
    int status;
    json_encode(&c->config, &in);
    setenv("CNI_COMMAND", command, 1);
    int r = proc_run(argv, NULL, buf_view(&in), IPAM_TIMEOUT_MS, &out, NULL, &status);
    setenv("CNI_COMMAND", c->command, 1);
    if (r < 0)
        return err_neg(err, r, "run IPAM plugin %s", program);
    StrView text = arena_sv(c->arena, buf_view(&out));
    Value v = value_map();
    if (text.len && json_decode(text, c->arena, NULL, &v, err) < 0)
        return err_wrap(err, "answer of IPAM plugin %s", program);
    if (status != 0) {
        c->code = (CniCode)value_int_or(value_get(&v, SV("code")), CNI_ERR_PLUGIN);
        return err_set(err, ERR_INVALID, 0, "%.*s", SV_FMT(value_str(value_get(&v, SV("msg")))));
    }
    *ret = v;
    return 0;
}

int cni_bind(CniCall *c, const Type *t, void *obj, Err *err)
{
    Binder b = {
        .file = "network configuration", .arena = c->arena, .format = &cni_format, .err = err
    };
    int r = bind_struct(&b, t, obj, &c->config);
    if (r < 0)
        c->code = CNI_ERR_CONFIG;
    return r;
}

int cni_ipam_add(CniCall *c, CniResult *ret, Err *err)
{
    char program[4096];
    StrView type;
    bool own = false;
    Value v;
    int r = find_ipam(c, &type, program, sizeof program, &own, err);
    if (r < 0)
        return r;
    if (own)
        return find_plugin(type)->add(c, ret, err);
    if ((r = exec_ipam(c, program, "ADD", &v, err)) < 0)
        return r;
    return cni_result_parse(&v, c->arena, ret, err);
}

int cni_ipam_run(CniCall *c, const char *command, Err *err)
{
    char program[4096];
    StrView type;
    bool own = false;
    Value ignored;
    int r = find_ipam(c, &type, program, sizeof program, &own, err);
    if (r < 0)
        return r;
    return own ? run_plain(find_plugin(type), c, command, err)
               : exec_ipam(c, program, command, &ignored, err);
}
