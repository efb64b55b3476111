/* registry_auth.c - see registry_auth.h. The files are containers-auth.json(5), which docker's
 * config.json is in as far as registries are concerned; helpers speak docker-credential-helpers'
 * protocol (`get`, the registry on standard input, JSON on standard output). */
#include "image/registry_auth.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/proc.h"
#include "codec/json.h"

#define DOCKER_HUB SV("index.docker.io")

/* ---- which are for whom ---- */

typedef struct Target {
    StrView host, port, path; /* path with its slash, or empty */
} Target;

static Target target_of(StrView text)
{
    Target t = { 0 };
    ssize_t slash, colon;

    if (sv_starts(text, SV("https://")))
        text = sv_skip(text, 8);
    else if (sv_starts(text, SV("http://")))
        text = sv_skip(text, 7);
    slash = sv_find_char(text, '/');
    t.host = slash < 0 ? text : sv_head(text, (size_t)slash);
    t.path = slash < 0 ? SV("") : sv_skip(text, (size_t)slash);
    if (sv_starts(t.path, SV("/v1/")) || sv_starts(t.path, SV("/v2/")))
        t.path = sv_skip(t.path, 3);
    if (sv_eq(t.path, SV("/")) || sv_eq(t.path, SV("/v1")) || sv_eq(t.path, SV("/v2")))
        t.path = SV("");
    colon = sv_rfind_char(t.host, ':');
    if (colon >= 0 && colon > sv_rfind_char(t.host, ']')) {
        t.port = sv_skip(t.host, (size_t)colon + 1);
        t.host = sv_head(t.host, (size_t)colon);
    }
    if (sv_eq(t.host, SV("docker.io")) || sv_eq(t.host, SV("registry-1.docker.io")))
        t.host = DOCKER_HUB;
    return t;
}

static bool label_fits(StrView glob, StrView label)
{
    char g[256], l[256];

    return sv_copy_cstr(glob, g, sizeof g) && sv_copy_cstr(label, l, sizeof l) &&
           fnmatch(g, l, 0) == 0;
}

bool registry_credential_fits(StrView pattern, StrView host, StrView path)
{
    Target want = target_of(pattern), have = target_of(host);
    StrView glob, label;

    if (sv_empty(want.host) || !sv_eq(want.port, have.port))
        return false;
    for (;;) {
        bool more = sv_cut(want.host, '.', &glob, &want.host);

        if (sv_cut(have.host, '.', &label, &have.host) != more || !label_fits(glob, label))
            return false;
        if (!more)
            break;
    }
    return sv_empty(want.path) || sv_starts(path, sv_skip(want.path, 1));
}

int registry_credential_cmp(const void *a, const void *b)
{
    return sv_cmp(((const RegistryCredential *)b)->pattern,
                  ((const RegistryCredential *)a)->pattern);
}

/* ---- files ---- */

static int text_of(const Value *v, const char *name, StrView host, const char *key, StrView *ret,
                   Err *err)
{
    const Value *t = value_get(v, sv_cstr(key));

    if (!t || t->kind == VALUE_NULL) {
        *ret = SV("");
        return 0;
    }
    if (t->kind != VALUE_STRING)
        return err_set(err, ERR_INVALID, 0, "%s: auths[\"%.*s\"].%s: expected a string", name,
                       SV_FMT(sv_head(host, 100)), key);
    *ret = value_str(t);
    return 0;
}

static int read_entry(const Value *v, const char *name, StrView host, Arena *a,
                      RegistryCredential *ret, Err *err)
{
    RegistryCredential c = { .pattern = host };
    _cleanup_buf_ Buf plain = BUF_INIT;
    StrView auth, all;
    int r;

    if (v->kind != VALUE_MAP)
        return err_set(err, ERR_INVALID, 0, "%s: auths[\"%.*s\"]: expected an object", name,
                       SV_FMT(sv_head(host, 100)));
    if ((r = text_of(v, name, host, "username", &c.username, err)) < 0 ||
        (r = text_of(v, name, host, "password", &c.password, err)) < 0 ||
        (r = text_of(v, name, host, "identitytoken", &c.identity_token, err)) < 0 ||
        (r = text_of(v, name, host, "registrytoken", &c.registry_token, err)) < 0 ||
        (r = text_of(v, name, host, "auth", &auth, err)) < 0)
        return r;
    if (auth.len) {
        if (base64_decode(BASE64_STD, auth, &plain) < 0 || sv_find_char(buf_view(&plain), ':') <= 0)
            return err_set(err, ERR_INVALID, 0,
                           "%s: auths[\"%.*s\"].auth: expected the base64 of USER:PASSWORD", name,
                           SV_FMT(sv_head(host, 100)));
        all = arena_sv(a, buf_view(&plain));
        if (!all.ptr)
            return err_nomem(err);
        sv_cut(all, ':', &c.username, &c.password);
        while (sv_ends(c.password, sv_n("\0", 1))) /* docker pads with NUL bytes */
            c.password.len--;
    }
    *ret = c;
    return 0;
}

static int read_helpers(const Value *doc, const char *name, Arena *a, AuthFile *f, Err *err)
{
    const Value *helpers = value_get(doc, SV("credHelpers"));
    const Value *store = value_get(doc, SV("credsStore"));

    if ((helpers && helpers->kind != VALUE_MAP && helpers->kind != VALUE_NULL) ||
        (store && store->kind != VALUE_STRING && store->kind != VALUE_NULL))
        return err_set(err, ERR_INVALID, 0, "%s: %s", name,
                       helpers && helpers->kind != VALUE_MAP ? "credHelpers: expected an object"
                                                             : "credsStore: expected a string");
    f->helpers = arena_array(a, AuthHelper, value_len(helpers) + 2u);
    if (!f->helpers)
        return err_nomem(err);
    value_map_foreach (m, helpers) {
        if (m->val.kind != VALUE_STRING)
            return err_set(err, ERR_INVALID, 0, "%s: credHelpers[\"%.*s\"]: expected a string",
                           name, SV_FMT(sv_head(m->key, 100)));
        f->helpers[f->n_helpers++] = (AuthHelper){ m->key, value_str(&m->val) };
    }
    if (value_str(store).len)
        f->helpers[f->n_helpers++] = (AuthHelper){ SV(""), value_str(store) };
    return 0;
}

/* A map of registries alone: every value is an object that has what an entry has. */
static bool is_old_form(const Value *doc)
{
    value_map_foreach (m, doc) {
        if (m->val.kind != VALUE_MAP ||
            (!value_get(&m->val, SV("auth")) && !value_get(&m->val, SV("username"))))
            return false;
    }
    return value_len(doc) > 0;
}

int auth_file_parse(StrView text, const char *name, Arena *a, AuthFile *ret, Err *err)
{
    AuthFile f = { 0 };
    const Value *auths;
    StrView copy = arena_sv(a, text);
    Value doc;
    int r;

    if (!copy.ptr)
        return err_nomem(err);
    if (sv_empty(sv_trim(copy))) { /* as `touch` leaves it */
        *ret = f;
        return 0;
    }
    if ((r = json_decode(copy, a, NULL, &doc, err)) < 0)
        return err_wrap(err, "%s", name);
    if (doc.kind != VALUE_MAP)
        return err_set(err, ERR_INVALID, 0, "%s: expected an object with \"auths\"", name);
    auths = is_old_form(&doc) ? &doc : value_get(&doc, SV("auths"));
    if (auths && auths->kind != VALUE_MAP && auths->kind != VALUE_NULL)
        return err_set(err, ERR_INVALID, 0, "%s: auths: expected an object", name);
    f.items = arena_array(a, RegistryCredential, value_len(auths) + 1u);
    if (!f.items)
        return err_nomem(err);
    value_map_foreach (m, auths) {
        r = read_entry(&m->val, name, m->key, a, &f.items[f.len], err);
        if (r < 0)
            return r;
        f.len++;
    }
    if (auths != &doc && (r = read_helpers(&doc, name, a, &f, err)) < 0)
        return r;
    *ret = f;
    return 0;
}

int auth_file_load(const char *path, Arena *a, AuthFile *ret, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, AUTH_FILE_MAX, &text);

    if (r == -EFBIG)
        return err_set(err, ERR_LIMIT, 0, "%s is larger than %d bytes", path, AUTH_FILE_MAX);
    if (r < 0)
        return err_neg(err, r, "read %s", path);
    return auth_file_parse(buf_view(&text), path, a, ret, err);
}

/* ---- helpers ---- */

static bool name_is_program(StrView s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '/' || s.ptr[i] == 0)
            return false;
    return s.len > 0 && s.len < 100;
}

static const AuthHelper *helper_for(const AuthFile *f, StrView host)
{
    for (unsigned i = 0; i < f->n_helpers; i++)
        if (sv_empty(f->helpers[i].host) ||
            registry_credential_fits(f->helpers[i].host, host, SV("")))
            return &f->helpers[i];
    return NULL;
}

static int helper_answer(StrView text, StrView host, Arena *a, RegistryCredential *ret, Err *err)
{
    StrView copy = arena_sv(a, text), user;
    Value doc;
    int r;

    if (!copy.ptr)
        return err_nomem(err);
    if ((r = json_decode(copy, a, NULL, &doc, err)) < 0)
        return err_set(err, ERR_PROTO, 0, "its answer is no JSON");
    user = value_str(value_get(&doc, SV("Username")));
    *ret = (RegistryCredential){ .pattern = host };
    if (sv_eq(user, SV("<token>"))) {
        ret->identity_token = value_str(value_get(&doc, SV("Secret")));
    } else {
        ret->username = user;
        ret->password = value_str(value_get(&doc, SV("Secret")));
    }
    if (!user.ptr || (!ret->identity_token.ptr && !ret->password.ptr))
        return err_set(err, ERR_PROTO, 0, "its answer has no Username and Secret");
    return 0;
}

int auth_file_ask_helper(const AuthFile *f, StrView host, Arena *a, RegistryCredential *ret,
                         bool *ret_found, Err *err)
{
    const AuthHelper *h = helper_for(f, host);
    _cleanup_buf_ Buf out = BUF_INIT, said = BUF_INIT;
    char program[128];
    const char *argv[] = { program, "get", NULL };
    StrView asked = sv_eq(host, SV("docker.io")) ? SV("https://index.docker.io/v1/") : host;
    int status, r;

    *ret_found = false;
    if (!h)
        return 0;
    if (!name_is_program(h->helper))
        return err_set(err, ERR_INVALID, 0, "credential helper '%.*s': not the name of a program",
                       SV_FMT(sv_head(h->helper, 100)));
    snprintf(program, sizeof program, "docker-credential-%.*s", SV_FMT(h->helper));
    out.limit = said.limit = AUTH_HELPER_OUTPUT_MAX;
    r = proc_run(argv, NULL, asked, AUTH_HELPER_TIMEOUT_MS, &out, &said, &status);
    if (r < 0)
        return err_neg(err, r, "run '%s'", program);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        StrView why = sv_trim(out.len ? buf_view(&out) : buf_view(&said));

        if (sv_find(why, SV("credentials not found")) >= 0)
            return 0;
        return err_set(err, ERR_SYS, 0, "'%s get' failed: %.*s", program,
                       SV_FMT(sv_head(why, 200)));
    }
    r = helper_answer(buf_view(&out), host, a, ret, err);
    *ret_found = r >= 0;
    return r < 0 ? err_wrap(err, "'%s get'", program) : 0;
}

/* ---- where files are ---- */

static const char *under(Arena *a, const char *dir, const char *file)
{
    return dir && *dir ? arena_printf(a, "%s/%s", dir, file).ptr : NULL;
}

int auth_files_default(Arena *a, const char ***ret, unsigned *ret_n, Err *err)
{
    const char *home = getenv("HOME"), *one = getenv("REGISTRY_AUTH_FILE");
    const char *config = getenv("XDG_CONFIG_HOME");
    const char **list = arena_array(a, const char *, 4);
    unsigned n = 0;

    if (!list)
        return err_nomem(err);
    const char *const all[] = {
        one && *one ? one : under(a, getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
        one && *one         ? NULL
        : config && *config ? under(a, config, "containers/auth.json")
                            : under(a, home, ".config/containers/auth.json"),
        one && *one ? NULL
        : under(a, getenv("DOCKER_CONFIG"), "config.json")
            ? under(a, getenv("DOCKER_CONFIG"), "config.json")
            : under(a, home, ".docker/config.json"),
    };
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i])
            list[n++] = all[i];
    if (a->failed)
        return err_nomem(err);
    *ret = list;
    *ret_n = n;
    return 0;
}
