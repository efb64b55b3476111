/* groups_systemd.c - the control groups of a container as a unit of systemd, which makes them; then
 * limits are written to their files as to any others, for systemd rounds them or does not know all.
 *
 * systemd is spoken to by knarr-oci-unit, which is linked with its library: this program is static,
 * small, and starts the other one only here. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/proc.h"
#include "oci/runtime/groups_internal.h"
#include "oci/runtime/unit.h"

enum { HELPER_MS = 90000, HELPER_OUTPUT_MAX = 4096 };

/* --- the helper --- */

static void find_helper(const char *program, char ret[static PATH_MAX])
{
    char self[PATH_MAX] = "";
    ssize_t n = program ? snprintf(self, sizeof self, "%s", program)
                        : readlink("/proc/self/exe", self, sizeof self - 1);
    ssize_t slash = n > 0 ? sv_rfind_char(sv_cstr(self), '/') : -1;

    if (slash >= 0 && slash < PATH_MAX - 32) {
        snprintf(ret, PATH_MAX, "%.*s/knarr-oci-unit", (int)slash, self);
        if (path_exists(AT_FDCWD, ret))
            return;
    }
    snprintf(ret, PATH_MAX, "/usr/libexec/knarr/knarr-oci-unit");
}

static int ask(OciGroups *g, const char *verb, const UnitWords *properties, Buf *out, Err *err)
{
    _cleanup_buf_ Buf said = { .limit = HELPER_OUTPUT_MAX };
    size_t n = properties ? properties->len : 0, i = 0;
    const char **argv = arena_array(&g->arena, const char *, n + 6);
    char path[PATH_MAX];
    int status = 0, r;

    if (!argv)
        return err_nomem(err);
    find_helper(g->program, path);
    argv[i++] = path;
    if (g->user)
        argv[i++] = "--user";
    argv[i++] = verb;
    if (g->unit)
        argv[i++] = g->unit;
    for (size_t k = 0; k < n; k++)
        argv[i++] = properties->items[k];
    r = proc_run(argv, NULL, SV(""), HELPER_MS, out, &said, &status);
    if (r < 0)
        return err_neg(err, r, "run %s", path);
    if (status == 0)
        return 0;
    if (WIFSIGNALED(status))
        return err_set(err, ERR_SYS, 0, "%s was killed by signal %d", path, WTERMSIG(status));
    return err_set(err, ERR_SYS, 0, "%.*s", SV_FMT(sv_trim(buf_view(&said))));
}

/* --- where --- */

/* A user's manager has its units below its own group. */
static int base_of(OciGroups *g, StrView *ret, Err *err)
{
    _cleanup_buf_ Buf out = { .limit = CGROUP_PATH_MAX };
    int r;

    *ret = SV("");
    if (!g->user)
        return 0;
    if (!groups_only_v2(g))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "cannot use rootless systemd cgroups manager on cgroup v1");
    if ((r = ask(g, "group", NULL, &out, err)) < 0)
        return r;
    *ret = arena_sv(&g->arena, sv_trim(buf_view(&out)));
    if (sv_starts(*ret, SV("/")))
        return 0;
    return err_set(err, ERR_PROTO, 0, "systemd's own control group is '%.*s', expected a path",
                   SV_FMT(sv_head(*ret, 200)));
}

int groups_unit_place(OciGroups *g, const OciGroupsWant *want, const char **ret_path, Err *err)
{
    OciUnit unit;
    StrView base;
    int r;

    if (!path_exists(AT_FDCWD, "/run/systemd/system"))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "systemd not running on this host, cannot use systemd cgroups manager");
    g->user = want->rootless;
    g->program = want->program ? arena_cstr(&g->arena, sv_cstr(want->program)) : NULL;
    if ((r = oci_unit_of(want->cgroups_path, want->id, g->user, &g->arena, &unit, err)) < 0 ||
        (r = base_of(g, &base, err)) < 0)
        return r;
    g->unit = unit.name;
    g->slice = unit.slice;
    g->title = unit.title;
    *ret_path =
        arena_printf(&g->arena, "%.*s%s", SV_FMT(sv_eq(base, SV("/")) ? SV("") : base), unit.path)
            .ptr;
    return *ret_path ? 0 : err_nomem(err);
}

/* --- making, changing, ending --- */

static void put(UnitWords *w, const char *name, const char *type, const char *value)
{
    unit_word(w, "%s", name);
    unit_word(w, "%s", type);
    unit_word(w, "%s", value);
}

static void put_kind(OciGroups *g, UnitWords *w, pid_t pid)
{
    if (sv_ends(sv_cstr(g->unit), SV(".slice"))) {
        put(w, "Wants", "as", "1");
        unit_word(w, "%s", g->slice);
        return;
    }
    put(w, "Slice", "s", g->slice);
    put(w, "Delegate", "b", "true");
    put(w, "PIDs", "au", "1");
    unit_word(w, "%d", (int)pid);
}

int groups_unit_start(OciGroups *g, const OciResources *r, const OciPairs *annotations, pid_t pid,
                      Err *err)
{
    bool v2 = groups_only_v2(g);
    UnitWords w = { .arena = &g->arena };
    int e;

    put(&w, "Description", "s", arena_printf(&g->arena, "libcontainer container %s", g->title).ptr);
    put_kind(g, &w, pid);
    put(&w, "MemoryAccounting", "b", "true");
    put(&w, "CPUAccounting", "b", "true");
    put(&w, v2 ? "IOAccounting" : "BlockIOAccounting", "b", "true");
    put(&w, "TasksAccounting", "b", "true");
    put(&w, "DefaultDependencies", "b", "false");
    if ((e = unit_annotations(&w, annotations, err)) < 0 ||
        (e = unit_resources(&w, r, v2, err)) < 0)
        return e;
    if (g->arena.failed)
        return err_nomem(err);
    e = ask(g, "start", &w, NULL, err);
    g->started = e >= 0;
    return e < 0 ? err_wrap(err, "unable to start unit \"%s\"", g->unit) : 0;
}

/* systemd's quota is one of a second: it needs both numbers, and one of them may be there. */
static void complete_quota(const OciGroups *g, OciResources *r)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView quota = SV(""), period = SV("");
    uint64_t n;
    GroupAt at;

    if ((r->cpu.quota.set && r->cpu.quota.n) == (r->cpu.period.set && r->cpu.period.n))
        return;
    at.h = groups_find(g, "cpu", &at.path);
    if (at.h && !at.h->v2) {
        if (!r->cpu.period.n && group_read_u64(&at, "cpu.cfs_period_us", &n) >= 0)
            r->cpu.period = (OciNumber){ true, (int64_t)n };
        else if (!r->cpu.quota.n && group_read_u64(&at, "cpu.cfs_quota_us", &n) >= 0)
            r->cpu.quota = (OciNumber){ true, (int64_t)n };
        return;
    }
    at.h = groups_v2(g, &at.path);
    if (!at.h || cgroup_read(at.h, at.path, "cpu.max", &text) < 0 ||
        !sv_cut(sv_trim(buf_view(&text)), ' ', &quota, &period))
        return;
    if (!r->cpu.period.n && sv_to_u64(period, &n) >= 0)
        r->cpu.period = (OciNumber){ true, (int64_t)n };
    else if (!r->cpu.quota.n && sv_to_u64(quota, &n) >= 0)
        r->cpu.quota = (OciNumber){ true, (int64_t)n };
}

int groups_unit_set(OciGroups *g, const OciResources *r, Err *err)
{
    OciResources whole = *r;
    UnitWords w = { .arena = &g->arena };
    int e;

    complete_quota(g, &whole);
    if ((e = unit_resources(&w, &whole, groups_only_v2(g), err)) < 0)
        return e;
    if (g->arena.failed)
        return err_nomem(err);
    if (!w.len)
        return 0;
    e = ask(g, "set", &w, NULL, err);
    return e < 0 ? err_wrap(err, "unable to set unit properties") : 0;
}

/* It may have ended by itself with its last process, and nothing depends on it: what counts is that
 * the groups can be removed. */
void groups_unit_stop(OciGroups *g)
{
    (void)!ask(g, "stop", NULL, NULL, NULL);
}
