/* groups.c - where the control groups of a container are, making them, entering and removing them.
 *
 * A process enters a group of version 1 by writing "0" to its `tasks`: the one form for which the
 * kernel takes no lock over all thread groups (see cgroup_attach()). So a container's first process
 * enters by itself, born into version 2's group where there is one. */
#include "oci/runtime/groups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "codec/json.h"
#include "oci/runtime/groups_internal.h"
#include "oci/runtime/unit.h"

enum { STATE_MAX = 256 * 1024 };

/* --- where --- */

/* Without ".", ".." and double slashes, as if the path began at a root. */
static bool clean_path(const char *path, char ret[static CGROUP_PATH_MAX])
{
    StrView rest = sv_cstr(path), part;
    size_t n = 0;

    ret[0] = 0;
    while (sv_next(&rest, '/', &part)) {
        if (sv_empty(part) || sv_eq(part, SV(".")))
            continue;
        if (sv_eq(part, SV(".."))) {
            while (n && ret[n - 1] != '/')
                n--;
            n -= n > 0;
            ret[n] = 0;
            continue;
        }
        if (n + part.len + 2 > CGROUP_PATH_MAX)
            return false;
        ret[n++] = '/';
        memcpy(ret + n, part.ptr, part.len);
        n += part.len;
        ret[n] = 0;
    }
    return true;
}

/* The line of /proc/self/cgroup that is the hierarchy's: "4:cpu,cpuacct:/path". */
static StrView own_line(const CgroupHierarchy *h, StrView text)
{
    StrView line, id, rest, controllers, path, one;

    while (sv_next(&text, '\n', &line)) {
        if (!sv_cut(line, ':', &id, &rest) || !sv_cut(rest, ':', &controllers, &path))
            continue;
        if (h->v2) {
            if (sv_eq(id, SV("0")))
                return path;
            continue;
        }
        if (sv_eq(controllers, sv_cstr(h->controllers)))
            return path;
        while (sv_next(&controllers, ',', &one)) {
            char name[64];

            if (sv_copy_cstr(one, name, sizeof name) && cgroup_carries(h, name))
                return path;
        }
    }
    return SV("/");
}

/* Where the hierarchy is mounted from a group of its own (a container without a namespace of
 * control groups), what lies above that group is not to be seen: the longest end of the path that
 * is there. */
static const char *own_path(OciGroups *g, const CgroupHierarchy *h, StrView self)
{
    const char *path = arena_cstr(&g->arena, own_line(h, self));
    char full[CGROUP_FULL_MAX];

    for (const char *at = path; at; at = strchr(at + 1, '/')) {
        cgroup_full(h, at, NULL, full);
        if (path_exists(AT_FDCWD, full))
            return strcmp(at, "/") ? at : "";
    }
    return "";
}

static bool set_full(OciGroups *g, size_t i)
{
    g->full[i] = arena_printf(&g->arena, "%s%s", g->sys.list[i].mount, g->path[i]).ptr;
    return g->full[i];
}

bool groups_only_v2(const OciGroups *g)
{
    return g->sys.len == 1 && g->sys.list[0].v2;
}

static int set_paths(OciGroups *g, const char *inner, bool absolute, Err *err)
{
    _cleanup_buf_ Buf self = BUF_INIT;
    int r;

    if (!absolute && (r = file_read(AT_FDCWD, "/proc/self/cgroup", STATE_MAX, &self)) < 0)
        return err_neg(err, r, "read /proc/self/cgroup");
    for (size_t i = 0; i < g->sys.len; i++) {
        const CgroupHierarchy *h = &g->sys.list[i];
        StrView above = SV("");

        if (!absolute)
            above = sv_cstr(own_path(g, h, buf_view(&self)));
        /* A group of version 2 with processes has no groups below it with limits: beside it. */
        if (!absolute && groups_only_v2(g))
            above = sv_head(above, (size_t)MAX(sv_rfind_char(above, '/'), 0));
        g->path[i] = arena_printf(&g->arena, "%.*s%s", SV_FMT(above), inner).ptr;
        if (!g->path[i] || !set_full(g, i))
            return err_nomem(err);
        if (strlen(g->path[i]) >= CGROUP_PATH_MAX)
            return err_set(err, ERR_LIMIT, 0, "linux.cgroupsPath: a path of %d bytes or more",
                           CGROUP_PATH_MAX);
    }
    return 0;
}

static OciGroups *groups_alloc(void)
{
    OciGroups *g = calloc(1, sizeof *g);

    if (g)
        arena_init(&g->arena, ARENA_DEFAULT_LIMIT);
    return g;
}

OciGroups *oci_groups_free(OciGroups *g)
{
    if (g)
        arena_free(&g->arena);
    free(g);
    return NULL;
}

static void groups_freep(OciGroups **g)
{
    *g = oci_groups_free(*g);
}

int oci_groups_new(const OciGroupsWant *want, OciGroups **ret, Err *err)
{
    bool given = want->cgroups_path && *want->cgroups_path;
    const char *path = given ? want->cgroups_path : want->id;
    _cleanup_(groups_freep) OciGroups *g = groups_alloc();
    char inner[CGROUP_PATH_MAX];
    int r;

    if (!g)
        return err_nomem(err);
    g->rootless = want->rootless;
    g->asked = given || want->systemd;
    if ((r = cgroup_system_find(&g->sys, NULL, err)) < 0 ||
        (want->systemd && (r = groups_unit_place(g, want, &path, err)) < 0))
        return r;
    if (!clean_path(path, inner) || !inner[0])
        return err_set(err, ERR_INVALID, 0, "linux.cgroupsPath: '%.200s' is no path of a group",
                       path);
    if ((r = set_paths(g, inner, path[0] == '/', err)) < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}

/* --- the state --- */

void oci_groups_save(const OciGroups *g, Buf *out)
{
    bool first = true;

    buf_printf(out, "{\"rootless\":%s,\"asked\":%s,", g->rootless ? "true" : "false",
               g->asked ? "true" : "false");
    if (g->unit) {
        buf_printf(out, "\"user\":%s,\"unit\":", g->user ? "true" : "false");
        json_encode_string(sv_cstr(g->unit), out);
        buf_putc(out, ',');
    }
    buf_sv(out, SV("\"groups\":["));
    for (size_t i = 0; i < g->sys.len; i++) {
        if (!g->path[i])
            continue;
        buf_sv(out, first ? SV("{\"mount\":") : SV(",{\"mount\":"));
        json_encode_string(sv_cstr(g->sys.list[i].mount), out);
        if (!g->sys.list[i].v2) {
            buf_sv(out, SV(",\"controllers\":"));
            json_encode_string(sv_cstr(g->sys.list[i].controllers), out);
        }
        buf_sv(out, SV(",\"path\":"));
        json_encode_string(sv_cstr(g->path[i]), out);
        buf_putc(out, '}');
        first = false;
    }
    buf_sv(out, SV("]}"));
}

static int load_one(OciGroups *g, const Value *v, Err *err)
{
    CgroupHierarchy *h = &g->sys.list[g->sys.len];
    StrView controllers = value_str(value_get(v, SV("controllers")));
    StrView path = value_str(value_get(v, SV("path")));
    char clean[CGROUP_PATH_MAX];

    if (g->sys.len == CGROUP_HIERARCHIES_MAX)
        return err_set(err, ERR_CORRUPT, 0, "state: more than %d hierarchies of control groups",
                       CGROUP_HIERARCHIES_MAX);
    h->v2 = !controllers.len;
    g->path[g->sys.len] = arena_cstr(&g->arena, path);
    if (!sv_copy_cstr(value_str(value_get(v, SV("mount"))), h->mount, sizeof h->mount) ||
        h->mount[0] != '/' || !sv_copy_cstr(controllers, h->controllers, sizeof h->controllers) ||
        !g->path[g->sys.len] || !clean_path(g->path[g->sys.len], clean) || !clean[0] ||
        strcmp(clean, g->path[g->sys.len]) != 0)
        return err_set(err, ERR_CORRUPT, 0, "state: control groups of '%.*s' are no path",
                       SV_FMT(sv_head(path, 200)));
    if (!set_full(g, g->sys.len))
        return err_nomem(err);
    g->sys.len++;
    return 0;
}

static int load_unit(OciGroups *g, const Value *v, Err *err)
{
    StrView unit = value_str(value_get(v, SV("unit")));

    if (!value_get(v, SV("unit")))
        return 0;
    if (!oci_unit_name_is_valid(unit))
        return err_set(err, ERR_CORRUPT, 0, "state: '%.*s' is no unit of systemd",
                       SV_FMT(sv_head(unit, 200)));
    g->user = value_bool_or(value_get(v, SV("user")), false);
    g->unit = arena_cstr(&g->arena, unit);
    g->started = true;
    return g->unit ? 0 : err_nomem(err);
}

int oci_groups_load(const Value *v, OciGroups **ret, Err *err)
{
    const Value *list = value_get(v, SV("groups"));
    _cleanup_(groups_freep) OciGroups *g = groups_alloc();
    int r;

    if (!g)
        return err_nomem(err);
    if (!value_is(list, VALUE_LIST))
        return err_set(err, ERR_CORRUPT, 0, "state: no control groups");
    g->rootless = value_bool_or(value_get(v, SV("rootless")), false);
    g->asked = value_bool_or(value_get(v, SV("asked")), false);
    value_list_foreach (one, list)
        if ((r = load_one(g, one, err)) < 0)
            return r;
    if ((r = load_unit(g, v, err)) < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}

/* --- finding one --- */

const CgroupHierarchy *groups_v2(const OciGroups *g, const char **ret_path)
{
    for (size_t i = 0; i < g->sys.len; i++)
        if (g->sys.list[i].v2 && g->path[i]) {
            *ret_path = g->path[i];
            return &g->sys.list[i];
        }
    return NULL;
}

const CgroupHierarchy *groups_find(const OciGroups *g, const char *controller,
                                   const char **ret_path)
{
    const CgroupHierarchy *h = cgroup_find(&g->sys, controller);

    if (!h)
        return NULL;
    *ret_path = g->path[h - g->sys.list];
    return *ret_path ? h : NULL;
}

const CgroupHierarchy *groups_main(const OciGroups *g, const char **ret_path)
{
    static const char *const preferred[] = { "devices", "freezer", "pids" };

    for (size_t k = 0; k < ARRAY_SIZE(preferred); k++)
        for (size_t i = 0; i < g->sys.len; i++)
            if (g->path[i] && cgroup_carries(&g->sys.list[i], preferred[k])) {
                *ret_path = g->path[i];
                return &g->sys.list[i];
            }
    for (size_t i = 0; i < g->sys.len; i++)
        if (g->path[i]) {
            *ret_path = g->path[i];
            return &g->sys.list[i];
        }
    return NULL;
}

const char *oci_groups_path(const OciGroups *g, const char *controller)
{
    const char *path;
    const CgroupHierarchy *h = controller ? groups_find(g, controller, &path) : groups_v2(g, &path);

    return h ? g->full[h - g->sys.list] : NULL;
}

bool oci_groups_exist(const OciGroups *g)
{
    const char *path;
    const CgroupHierarchy *h = groups_main(g, &path);

    return h && path_exists(AT_FDCWD, g->full[h - g->sys.list]);
}

/* --- making --- */

/* A caller without rights, who asked for no place, does without what cannot be made. */
static bool may_do_without(const OciGroups *g, const Err *err)
{
    return g->rootless && !g->asked &&
           (err->sys == EACCES || err->sys == EPERM || err->sys == EROFS);
}

static int make_all(OciGroups *g, Err *err)
{
    for (size_t i = 0; i < g->sys.len; i++) {
        Err own = { 0 };
        int r = cgroup_create_in(&g->sys.list[i], g->path[i], &g->made[i], &own);

        if (r >= 0)
            continue;
        if (!may_do_without(g, &own)) {
            if (err)
                *err = own;
            return r;
        }
        cgroup_remove_made(&g->sys.list[i], g->path[i], g->made[i]);
        g->made[i] = 0;
        g->path[i] = NULL;
    }
    return 0;
}

static void unmake(OciGroups *g)
{
    for (size_t i = 0; i < g->sys.len; i++)
        if (g->path[i] && g->made[i])
            cgroup_remove_made(&g->sys.list[i], g->path[i], g->made[i]);
}

/* Did all of it exist, and who is in it? */
static int look_at_found(OciGroups *g, Err *err)
{
    const char *path;
    const CgroupHierarchy *h = groups_main(g, &path);
    CgroupWalk w = { 0 };

    if (h && !g->made[h - g->sys.list]) {
        cgroup_walk(h, path, &w);
        g->found = (uint32_t)w.processes;
    }
    if (oci_groups_are_frozen(g)) /* that one may have been there alone */
        return err_set(err, ERR_CONFLICT, 0, "container's cgroup unexpectedly frozen");
    return 0;
}

uint32_t oci_groups_found(const OciGroups *g)
{
    return g->found;
}

static int enter(const OciGroups *g, pid_t pid, Err *err)
{
    char text[16];
    int r = 0;

    snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; pid > 0 && r >= 0 && i < g->sys.len; i++)
        if (g->path[i])
            r = cgroup_write(&g->sys.list[i], g->path[i], "cgroup.procs", text, err);
    return r;
}

/* systemd makes the group of its own hierarchy with the process in it; those of other controllers
 * of version 1, and what version 2 needs above it, are made as ever. */
static int create_unit(OciGroups *g, const OciResources *r, const OciPairs *annotations, pid_t pid,
                       Err *err)
{
    int e;

    if ((e = look_at_found(g, err)) < 0 || (e = groups_unit_start(g, r, annotations, pid, err)) < 0)
        return e;
    if ((e = make_all(g, err)) < 0 || (e = groups_set_files(g, r, err)) < 0 ||
        (e = enter(g, pid, err)) < 0) {
        groups_unit_stop(g);
        unmake(g);
    }
    return e;
}

int oci_groups_create(OciGroups *g, const OciResources *r, const OciPairs *annotations, pid_t pid,
                      Err *err)
{
    int e;

    if (g->unit)
        return create_unit(g, r, annotations, pid, err);
    e = make_all(g, err);

    if (e < 0 || (e = look_at_found(g, err)) < 0 || (e = oci_groups_set(g, r, err)) < 0 ||
        (e = enter(g, pid, err)) < 0)
        unmake(g);
    return e;
}

int oci_groups_open_v2(const OciGroups *g)
{
    const char *path = oci_groups_path(g, NULL);

    return path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

int oci_groups_open_v2_of(const OciGroups *g, pid_t first)
{
    _cleanup_buf_ Buf given = BUF_INIT, self = BUF_INIT;
    char proc[32], where[CGROUP_PATH_MAX], full[CGROUP_FULL_MAX];
    const char *path;
    const CgroupHierarchy *h = groups_v2(g, &path);
    StrView line;

    if (!h || cgroup_read(h, path, "cgroup.subtree_control", &given) < 0 ||
        sv_empty(sv_trim(buf_view(&given))))
        return oci_groups_open_v2(g);
    snprintf(proc, sizeof proc, "/proc/%d/cgroup", (int)first);
    if (file_read(AT_FDCWD, proc, STATE_MAX, &self) < 0)
        return oci_groups_open_v2(g);
    line = own_line(h, buf_view(&self));
    if (!sv_copy_cstr(line, where, sizeof where) || strncmp(where, path, strlen(path)) != 0 ||
        where[strlen(path)] != '/')
        return oci_groups_open_v2(g);
    cgroup_full(h, where, NULL, full);
    return open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* --- entering --- */

/* One `exec --cgroup`: "path", or "cpu,memory:path". Empty: it is not for this hierarchy. */
static int sub_of(const CgroupHierarchy *h, StrView arg, bool *ret_known, StrView *ret, Err *err)
{
    StrView names, path, one;

    if (!sv_cut(arg, ':', &names, &path)) {
        *ret_known = true;
        *ret = arg;
        return 0;
    }
    if (sv_find_char(path, ':') >= 0)
        return err_set(err, ERR_INVALID, 0, "invalid --cgroup argument: %.*s", SV_FMT(arg));
    while (sv_next(&names, ',', &one)) {
        char name[64];

        if (sv_copy_cstr(one, name, sizeof name) && !h->v2 && cgroup_carries(h, name)) {
            *ret_known = true;
            *ret = path;
        }
    }
    return 0;
}

/* The group to enter: the container's, or that below it. */
static int entered_path(const OciGroups *g, size_t i, const char *sub,
                        char ret[static CGROUP_PATH_MAX], Err *err)
{
    StrView rest = sv_cstr(sub), arg, below = SV("");
    char joined[2 * CGROUP_PATH_MAX];
    size_t n = strlen(g->path[i]);
    bool known = false;
    int r;

    while (sv_next(&rest, '\n', &arg))
        if ((r = sub_of(&g->sys.list[i], arg, &known, &below, err)) < 0)
            return r;
    if (below.len >= CGROUP_PATH_MAX)
        return err_set(err, ERR_LIMIT, 0, "%.*s is not a sub cgroup path",
                       SV_FMT(sv_head(below, 80)));
    snprintf(joined, sizeof joined, "%s/%.*s", g->path[i], SV_FMT(below));
    if (!clean_path(joined, ret) || strncmp(ret, g->path[i], n) != 0 || (ret[n] && ret[n] != '/'))
        return err_set(err, ERR_INVALID, 0, "%.*s is not a sub cgroup path", SV_FMT(below));
    return 0;
}

/* Each controller that `exec --cgroup` names is one that we have. */
static int check_sub(const OciGroups *g, const char *sub, Err *err)
{
    StrView rest = sv_cstr(sub), arg, names, path, one;
    bool several = strchr(sub, '\n');

    while (sv_next(&rest, '\n', &arg)) {
        if (!sv_cut(arg, ':', &names, &path)) {
            if (several)
                return err_set(err, ERR_INVALID, 0,
                               "invalid --cgroup argument: %.*s (missing <controller>: prefix)",
                               SV_FMT(arg));
            continue;
        }
        while (sv_next(&names, ',', &one)) {
            char name[64];
            bool known = false;

            for (size_t i = 0; sv_copy_cstr(one, name, sizeof name) && i < g->sys.len; i++)
                known = known || (g->path[i] && cgroup_carries(&g->sys.list[i], name));
            if (!known)
                return err_set(err, ERR_INVALID, 0, "unknown controller %.*s in SubCgroupPaths",
                               SV_FMT(one));
        }
    }
    return 0;
}

int oci_groups_join(const OciGroups *g, const char *sub, bool born_in_v2, Err *err)
{
    bool below = sub && *sub;
    int r = below ? check_sub(g, sub, err) : 0;

    for (size_t i = 0; r >= 0 && i < g->sys.len; i++) {
        const CgroupHierarchy *h = &g->sys.list[i];
        char path[CGROUP_PATH_MAX];

        if (!g->path[i] || (h->v2 && born_in_v2 && !below))
            continue;
        if ((r = entered_path(g, i, sub ? sub : "", path, err)) >= 0)
            /* Where one of the user's is not there, the file that he knows is named. */
            r = cgroup_write(h, path, h->v2 || below ? "cgroup.procs" : "tasks", "0", err);
    }
    return r;
}

/* --- removing --- */

static int remove_in(const CgroupHierarchy *h, const char *path)
{
    char full[CGROUP_FULL_MAX];
    CgroupWalk w = { .remove = true };

    cgroup_full(h, path, NULL, full);
    if (rmdir(full) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    cgroup_walk(h, path, &w); /* there are groups below, or somebody is just dying */
    return w.failed;
}

int oci_groups_remove(OciGroups *g, Err *err)
{
    enum { TRIES = 200, WAIT_US = 10000 };

    if (g->started)
        groups_unit_stop(g);
    for (size_t i = 0; i < g->sys.len; i++) {
        int r = g->path[i] ? remove_in(&g->sys.list[i], g->path[i]) : 0;

        for (int n = 0; r == -EBUSY && n < TRIES; n++) {
            usleep(WAIT_US);
            r = remove_in(&g->sys.list[i], g->path[i]);
        }
        if (r < 0)
            return err_neg(err, r, "remove control group %s%s", g->sys.list[i].mount, g->path[i]);
    }
    return 0;
}
