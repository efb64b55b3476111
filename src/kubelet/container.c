/* container.c - from a container's spec and its image to the AppSpec that stage1 runs. On pool
 * threads.
 *
 * Nothing security-relevant is left out: what cannot be done is an error with Kubernetes' waiting
 * reason. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/quantity.h"
#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"
#include "kubelet/propagation.h"

enum {
    MOUNTS_MAX = 256,
    MIN_SHARES = 2,
    MAX_SHARES = 262144,
    QUOTA_PERIOD_US = 100000,
    MIN_QUOTA_US = 1000
};

static int fail(StartJob *job, const char *reason, Err *err, ErrCode code, const char *fmt, ...)
    PRINTF(5, 6);
static int fail(StartJob *job, const char *reason, Err *err, ErrCode code, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(job->waiting, sizeof job->waiting, "%s", reason);
    return err_set(err, code, 0, "%s", text);
}

static const Value *find_container(const StartJob *job)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers") };
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(value_get(&job->base.pod, SV("spec")), lists[l])) {
            if (sv_eq(value_str(value_get(c, SV("name"))), sv_cstr(job->container)))
                return c;
        }
    }
    return NULL;
}

/* ---- image ---- */

/* Whether the image that is here is for this pod: see pull_record.h. */
static int check_right(StartJob *job, const Value *c, const ImageInfo *info, Err *err)
{
    char dir[PULL_DIR_SIZE];
    if (sv_eq(value_str(value_get(c, SV("imagePullPolicy"))), SV("Always"))) {
        job->need = IMAGE_PULL;
        return 0;
    }
    int r = pull_record_read(pull_record_dir(job->base.k->cfg.data_dir, dir), &info->config,
                             &job->base.arena, &job->record, err);
    if (r >= 0 && job->record.exists && !job->record.everyone)
        job->need = IMAGE_VERIFY;
    return r;
}

static bool is_never_pulled(const Value *c)
{
    return sv_eq(value_str(value_get(c, SV("imagePullPolicy"))), SV("Never"));
}

/* IMAGE_READY with all of it, or why not in `need`. */
static int look_at_image(StartJob *job, const Value *c, ImageConfig *cfg, ImageStrings *layers,
                         Err *err)
{
    ImageStore *store = job->base.k->images;
    Arena *a = &job->base.arena;
    ImageInfo info;
    char pin[200], dir[PULL_DIR_SIZE];
    StrView name = value_str(value_get(c, SV("image")));
    int r = image_get(store, name, a, &info, err);
    if (r == -ERR_NOT_FOUND && is_never_pulled(c))
        return fail(job, "ErrImageNeverPull", err, ERR_NOT_FOUND,
                    "Container image \"%.*s\" is not present with pull policy of Never",
                    SV_FMT(name));
    if (r == -ERR_NOT_FOUND) {
        *err = (Err){ 0 };
        job->need = IMAGE_PULL;
        return 0;
    }
    if (r == -ERR_INVALID)
        return fail(job, "InvalidImageName", err, ERR_INVALID,
                    "Failed to apply default image tag \"%.*s\": couldn't parse image name: %s",
                    SV_FMT(name), err->msg);
    if (r < 0)
        return r;
    /* The name may have come to mean another image since. */
    job->image_ok = job->image_ok && digest_eq(&job->image_allowed, &info.config);
    job->image_allowed = info.config;
    if ((!job->image_ok && (r = check_right(job, c, &info, err)) < 0) || job->need != IMAGE_READY)
        return r;
    snprintf(pin, sizeof pin, "pod-%s.%s", job->base.uid, job->container);
    pull_record_touch(pull_record_dir(job->base.k->cfg.data_dir, dir), &info.config);
    if ((r = image_pin(store, pin, &info.manifest, err)) < 0 ||
        (r = image_config(store, &info.manifest, a, cfg, err)) < 0 ||
        (r = image_layers(store, &info.manifest, a, layers, err)) < 0)
        return r;
    snprintf(job->image_id, sizeof job->image_id, "%s", info.config.text);
    return 0;
}

/* A damaged one is as good as none: the pull mends it. */
static int get_image(StartJob *job, const Value *c, ImageConfig *cfg, ImageStrings *layers,
                     Err *err)
{
    int r = look_at_image(job, c, cfg, layers, err);
    if (r != -ERR_CORRUPT || job->image_ok || is_never_pulled(c))
        return r;
    log_warn("%s; it is pulled again", err->msg);
    *err = (Err){ 0 };
    job->need = IMAGE_PULL;
    return 0;
}

/* ---- command ---- */

static int list_strings(const Value *list, const StringList *env, Arena *a, StringList *ret,
                        Err *err)
{
    value_list_foreach (item, list) {
        StrView text = env_expand(value_str(item), env, a);
        const char *s = text.ptr ? arena_cstr(a, text) : NULL;
        if (!s || !vec_push(ret, s))
            return err_nomem(err);
    }
    return 0;
}

static int append_strings(const ImageStrings *from, StringList *ret, Err *err)
{
    for (uint32_t i = 0; i < from->len; i++)
        if (!vec_push(ret, from->items[i]))
            return err_nomem(err);
    return 0;
}

/* command replaces the entrypoint (and drops the image's arguments), args replaces cmd. */
static int build_argv(StartJob *job, const Value *c, const ImageConfig *img, const StringList *env,
                      StringList *ret, Err *err)
{
    const Value *command = value_get(c, SV("command")), *args = value_get(c, SV("args"));
    Arena *a = &job->base.arena;
    int r = value_len(command) ? list_strings(command, env, a, ret, err)
                               : append_strings(&img->entrypoint, ret, err);
    if (r == 0 && value_len(args))
        r = list_strings(args, env, a, ret, err);
    else if (r == 0 && !value_len(command))
        r = append_strings(&img->cmd, ret, err);
    if (r == 0 && ret->len == 0)
        return fail(job, "RunContainerError", err, ERR_INVALID, "no command specified");
    return r;
}

/* ---- security ---- */

/* A setting of the container, else of the pod. */
static const Value *security(const StartJob *job, const Value *c, StrView key)
{
    const Value *own = value_get(value_get(c, SV("securityContext")), key);
    return own ? own : value_get(value_path(&job->base.pod, "spec.securityContext"), key);
}

static int set_user(StartJob *job, const Value *c, const ImageConfig *img, Err *err)
{
    AppSpec *app = &job->app;
    Arena *a = &job->base.arena;
    const Value *uid = security(job, c, SV("runAsUser")), *gid = security(job, c, SV("runAsGroup"));
    const Value *pod = value_path(&job->base.pod, "spec.securityContext");
    app->user = img->user;
    if (uid && gid)
        app->user = arena_printf(a, "%lld:%lld", (long long)uid->i, (long long)gid->i).ptr;
    else if (uid)
        app->user = arena_printf(a, "%lld", (long long)uid->i).ptr;
    else if (gid)
        app->user = arena_printf(a, "0:%lld", (long long)gid->i).ptr;
    if (!app->user)
        return err_nomem(err);
    if (value_bool_or(security(job, c, SV("runAsNonRoot")), false)) {
        StrView who, group;
        uint64_t n = 0;
        sv_cut(sv_cstr(app->user), ':', &who, &group);
        if (!who.len || (sv_to_u64(who, &n) == 0 && n == 0))
            return fail(job, "CreateContainerConfigError", err, ERR_DENIED,
                        "container has runAsNonRoot and image will run as root (container: %s)",
                        job->container);
        if (sv_to_u64(who, &n) < 0)
            return fail(
                job, "CreateContainerConfigError", err, ERR_DENIED,
                "container has runAsNonRoot and image has non-numeric user (%.*s), cannot verify user is non-root",
                SV_FMT(who));
    }
    uint32_t cap = value_len(value_get(pod, SV("supplementalGroups"))) + 1;
    app->groups.items = arena_array(a, uint32_t, cap);
    if (!app->groups.items)
        return err_nomem(err);
    value_list_foreach (g, value_get(pod, SV("supplementalGroups")))
        app->groups.items[app->groups.len++] = (uint32_t)value_int_or(g, 0);
    if (value_get(pod, SV("fsGroup")))
        app->groups.items[app->groups.len++] =
            (uint32_t)value_int_or(value_get(pod, SV("fsGroup")), 0);
    app->no_image_groups =
        sv_eq(value_str(value_get(pod, SV("supplementalGroupsPolicy"))), SV("Strict"));
    return 0;
}

static int names_of(const Value *list, Arena *a, const char *const **ret, uint32_t *ret_n, Err *err)
{
    const char **names = arena_array(a, const char *, value_len(list) + 1);
    if (!names)
        return err_nomem(err);
    *ret_n = 0;
    value_list_foreach (item, list) {
        if (!(names[*ret_n] = arena_cstr(a, value_str(item))))
            return err_nomem(err);
        ++*ret_n;
    }
    *ret = names;
    return 0;
}

static int set_caps(StartJob *job, const Value *c, Err *err)
{
    const Value *caps = value_path(c, "securityContext.capabilities");
    const char *const *add, *const *drop;
    uint32_t n_add, n_drop;
    AppSpec *app = &job->app;
    Arena *a = &job->base.arena;
    if (app->privileged) {
        app->caps = caps_held();
        return 0;
    }
    int r;
    if ((r = names_of(value_get(caps, SV("add")), a, &add, &n_add, err)) < 0 ||
        (r = names_of(value_get(caps, SV("drop")), a, &drop, &n_drop, err)) < 0)
        return r;
    r = caps_adjust(caps_default() & caps_held(), add, n_add, drop, n_drop, &app->caps, err);
    if (r < 0)
        snprintf(job->waiting, sizeof job->waiting, "CreateContainerConfigError");
    return r;
}

static int set_seccomp(StartJob *job, const Value *c, Err *err)
{
    StrView type = value_str(value_get(security(job, c, SV("seccompProfile")), SV("type")));
    if (job->app.privileged || sv_eq(type, SV("Unconfined")))
        return 0;
    return filter_cache_get(job->base.k->filters, job->app.caps, &job->base.arena,
                            &job->app.seccomp, err);
}

static int set_security(StartJob *job, const Value *c, const ImageConfig *img, Err *err)
{
    AppSpec *app = &job->app;
    int r;
    app->privileged = value_bool_or(value_path(c, "securityContext.privileged"), false);
    app->readonly_rootfs =
        value_bool_or(value_path(c, "securityContext.readOnlyRootFilesystem"), false);
    app->no_new_privs =
        !value_bool_or(value_path(c, "securityContext.allowPrivilegeEscalation"), true);
    if ((r = set_user(job, c, img, err)) < 0 || (r = set_caps(job, c, err)) < 0)
        return r;
    if (!app->privileged) {
        app->masked = (WireStrings){ .items = (const char **)oci_masked_default,
                                     .len = oci_masked_default_len };
        app->readonly_paths = (WireStrings){ .items = (const char **)oci_readonly_default,
                                             .len = oci_readonly_default_len };
    }
    return set_seccomp(job, c, err);
}

/* ---- resources ---- */

static int64_t quantity(const Value *map, StrView name, bool milli)
{
    ApiQuantity q;
    const Value *v = value_get(map, name);
    if (!v || api_quantity_from(v, &q, NULL) < 0)
        return 0;
    return milli ? api_quantity_milli(&q) : api_quantity_value(&q);
}

static void set_resources(StartJob *job, const Value *c)
{
    const Value *limits = value_path(c, "resources.limits"),
                *requests = value_path(c, "resources.requests");
    CgroupLimits *l = &job->app.limits;
    int64_t request = quantity(requests, SV("cpu"), true), cpu = quantity(limits, SV("cpu"), true);
    int64_t memory = quantity(requests, SV("memory"), false);
    if (!request)
        request = cpu;
    int64_t shares = request * 1024 / 1000;
    l->cpu_shares = MIN(MAX(shares, MIN_SHARES), MAX_SHARES);
    if (cpu) {
        l->cpu_period_us = QUOTA_PERIOD_US;
        l->cpu_quota_us = MAX(cpu * QUOTA_PERIOD_US / 1000, MIN_QUOTA_US);
    }
    l->memory_max = quantity(limits, SV("memory"), false);
    StrView qos = value_path_str(&job->base.pod, "status.qosClass");
    if (sv_eq(qos, SV("Guaranteed")))
        job->app.oom_score_adj = -997;
    else if (sv_eq(qos, SV("BestEffort")) || !qos.len)
        job->app.oom_score_adj = 1000;
    else { /* the more it asks for of the node's memory, the later it is killed */
        int64_t total = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
        int64_t adj = 1000 - 1000 * memory / MAX(total, 1);
        job->app.oom_score_adj = MIN(MAX(adj, 3), 999);
    }
}

/* ---- mounts ---- */

static int push_mount(StartJob *job, OciMount m, Err *err)
{
    if (!m.source || !m.target)
        return err_nomem(err);
    if (job->app.mounts.len == MOUNTS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d mounts", MOUNTS_MAX);
    m.fstype = m.data = "";
    job->app.mounts.items[job->app.mounts.len++] = m;
    return 0;
}

/* A file or folder of the node's own. */
static int add_mount(StartJob *job, const char *source, const char *target, Err *err)
{
    return push_mount(job, (OciMount){ .target = target, .source = source, .root = "" }, err);
}

/* subPathExpr becomes subPath. */
static int expand_sub_path(StartJob *job, const Value *m, const StringList *env, Value *ret,
                           Err *err)
{
    StrView expr = value_str(value_get(m, SV("subPathExpr")));
    Arena *a = &job->base.arena;
    *ret = *m;
    if (!expr.len)
        return 0;
    StrView path = env_expand(expr, env, a);
    if (!path.ptr || !value_clone(a, m, ret) || !value_set(a, ret, SV("subPath"), value_sv(path)))
        return err_nomem(err);
    if (sv_find(path, SV("$(")) >= 0)
        return err_set(err, ERR_INVALID, 0,
                       "failed to expand subPathExpr '%.*s': missing value for a variable",
                       SV_FMT(expr));
    return 0;
}

static int add_volume_mount(StartJob *job, const Value *m, Err *err)
{
    static const uint32_t props[] = { [PROPAGATION_NONE] = OCI_PROP_PRIVATE,
                                      [PROPAGATION_FROM_HOST] = OCI_PROP_SLAVE,
                                      [PROPAGATION_BOTH_WAYS] = OCI_PROP_SHARED };
    VolumeSource from;
    Propagation prop = propagation_of(value_str(value_get(m, SV("mountPropagation"))));
    StrView rro = value_str(value_get(m, SV("recursiveReadOnly")));
    int r = volume_source(&job->base, m, &from, err);
    if (r < 0 || (r = propagation_check(*from.root ? from.root : from.path, prop, err)) < 0)
        return r;
    bool ro = from.readonly || value_bool_or(value_get(m, SV("readOnly")), false);
    OciMount mount = {
        .target = arena_cstr(&job->base.arena, value_str(value_get(m, SV("mountPath")))),
        .source = from.path,
        .root = from.root,
        .flags = OCI_MOUNT_RECURSIVE | (ro ? OCI_MOUNT_RO : 0),
        .propagation = props[prop],
    };
    if (ro && (sv_eq(rro, SV("Enabled")) || sv_eq(rro, SV("IfPossible"))))
        mount.flags |= OCI_MOUNT_RRO;
    return push_mount(job, mount, err);
}

static bool mounts_at(const Value *c, StrView path)
{
    value_list_foreach (m, value_get(c, SV("volumeMounts"))) {
        if (sv_eq(value_str(value_get(m, SV("mountPath"))), path))
            return true;
    }
    return false;
}

static int add_own_mounts(StartJob *job, const Value *c, const char *dir, Err *err)
{
    Arena *a = &job->base.arena;
    StrView log = value_str(value_get(c, SV("terminationMessagePath")));
    char path[PATH_SIZE + 300];
    int r = 0;
    if (!mounts_at(c, SV("/etc/hosts")))
        r = add_mount(job, arena_printf(a, "%s/hosts", dir).ptr, "/etc/hosts", err);
    /* A pod from before this file was written has none. */
    const char *hostname = arena_printf(a, "%s/hostname", dir).ptr;
    if (r == 0 && !mounts_at(c, SV("/etc/hostname")) && hostname && path_exists(AT_FDCWD, hostname))
        r = add_mount(job, hostname, "/etc/hostname", err);
    if (r == 0 && !mounts_at(c, SV("/etc/resolv.conf")))
        r = add_mount(job, arena_printf(a, "%s/resolv.conf", dir).ptr, "/etc/resolv.conf", err);
    if (r < 0 || !log.len)
        return r;
    snprintf(path, sizeof path, "%s/messages", dir);
    if ((r = mkdir_p(AT_FDCWD, path, 0755)) < 0)
        return err_neg(err, r, "make '%s'", path);
    snprintf(path, sizeof path, "%s/messages/%s.%u", dir, job->container, job->attempt);
    /* Written by whoever the container runs as. */
    if ((r = file_write(AT_FDCWD, path, SV(""), 0666)) < 0 || chmod(path, 0666) < 0)
        return err_neg(err, r < 0 ? r : -errno, "make '%s'", path);
    return add_mount(job, arena_cstr(a, sv_cstr(path)), arena_cstr(a, log), err);
}

/* Volumes that the image declares get scratch space below the pod's folder. */
static int add_image_volumes(StartJob *job, const Value *c, const ImageConfig *img, const char *dir,
                             Err *err)
{
    for (uint32_t i = 0; i < img->volumes.len; i++) {
        StrView at = sv_cstr(img->volumes.items[i]);
        if (mounts_at(c, at))
            continue;
        const char *path = arena_printf(&job->base.arena, "%s/volumes/..image/%s.%u/%u", dir,
                                        job->container, job->attempt, i)
                               .ptr;
        int r = path ? mkdir_p(AT_FDCWD, path, 0755) : -ENOMEM;
        if (r < 0)
            return err_neg(err, r, "make an image's volume");
        if ((r = add_mount(job, path, img->volumes.items[i], err)) < 0)
            return r;
    }
    return 0;
}

static int build_mounts(StartJob *job, const Value *c, const ImageConfig *img,
                        const StringList *env, Err *err)
{
    char dir[PATH_SIZE];
    snprintf(dir, sizeof dir, "%s/node/pods/%s", job->base.k->cfg.data_dir, job->base.uid);
    job->app.mounts.items = arena_array(&job->base.arena, OciMount, MOUNTS_MAX);
    if (!job->app.mounts.items)
        return err_nomem(err);
    int r = add_own_mounts(job, c, dir, err);
    if (r == 0)
        r = add_image_volumes(job, c, img, dir, err);
    value_list_foreach (m, value_get(c, SV("volumeMounts"))) {
        Value mount;
        if (r == 0 && ((r = expand_sub_path(job, m, env, &mount, err)) < 0 ||
                       (r = add_volume_mount(job, &mount, err)) < 0))
            snprintf(job->waiting, sizeof job->waiting, "CreateContainerConfigError");
    }
    return r;
}

/* ---- the whole ---- */

static int make_log_folder(StartJob *job, Err *err)
{
    char dir[PATH_SIZE];
    snprintf(dir, sizeof dir, "%s", job->pod_log);
    *strrchr(dir, '/') = 0;
    int r = mkdir_p(AT_FDCWD, dir, 0755);
    return r < 0 ? err_neg(err, r, "make log folder '%s'", dir) : 0;
}

static int keep_strings(Arena *a, const StringList *from, WireStrings *ret, Err *err)
{
    ret->items = arena_array(a, const char *, from->len + 1);
    if (!ret->items)
        return err_nomem(err);
    for (size_t i = 0; i < from->len; i++)
        ret->items[i] = from->items[i];
    ret->len = (uint32_t)from->len;
    return 0;
}

/* "SIGRTMIN+3", "SIGRTMAX-2". */
static int realtime_signal(StrView name)
{
    uint64_t n = 0;
    bool min = sv_starts(name, SV("SIGRTMIN"));
    StrView rest = sv_skip(name, 8);
    if ((!min && !sv_starts(name, SV("SIGRTMAX"))) ||
        (rest.len && (rest.ptr[0] != (min ? '+' : '-') || sv_to_u64(sv_skip(rest, 1), &n) < 0)) ||
        n > (uint64_t)(SIGRTMAX - SIGRTMIN))
        return 0;
    return min ? SIGRTMIN + (int)n : SIGRTMAX - (int)n;
}

/* Of the container, else of its image; 0: none that is known. */
static int stop_signal(const Value *c, const ImageConfig *img)
{
    StrView name = value_path_str(c, "lifecycle.stopSignal");
    uint64_t n;
    if (!name.len)
        name = sv_cstr(img->stop_signal);
    if (sv_to_u64(name, &n) == 0)
        return n > 0 && n <= (uint64_t)SIGRTMAX ? (int)n : 0;
    StrView bare = sv_starts(name, SV("SIG")) ? sv_skip(name, 3) : name;
    for (int sig = 1; sig < 32; sig++) {
        const char *abbrev = sigabbrev_np(sig);
        if (abbrev && sv_eq(bare, sv_cstr(abbrev)))
            return sig;
    }
    return realtime_signal(name);
}

int container_prepare(StartJob *job, Err *err)
{
    const Value *c = find_container(job);
    Arena *a = &job->base.arena;
    ImageConfig img = { 0 };
    ImageStrings layers;
    StringList env = { 0 }, argv = { 0 };
    AppSpec *app = &job->app;
    int r;
    if (!c)
        return err_set(err, ERR_NOT_FOUND, 0, "container %s is not in the pod", job->container);
    if ((r = get_image(job, c, &img, &layers, err)) < 0 || job->need != IMAGE_READY)
        return r;
    app->id = arena_printf(a, "%s.%u", job->container, job->attempt).ptr;
    app->upper = app->work = "";
    app->shm_source = "";
    app->lower = (WireStrings){ .items = layers.items, .len = layers.len };
    app->log_path = job->pod_log;
    app->log_max_bytes = LOG_MAX_SIZE;
    app->log_max_files = LOG_MAX_FILES;
    app->stop_signal = (uint32_t)stop_signal(c, &img);
    app->tty = value_bool_or(value_get(c, SV("tty")), false);
    app->use_stdin = value_bool_or(value_get(c, SV("stdin")), false);
    app->stdin_once = value_bool_or(value_get(c, SV("stdinOnce")), false);
    StrView cwd = value_str(value_get(c, SV("workingDir")));
    app->cwd = cwd.len ? arena_cstr(a, cwd) : img.working_dir;
    if ((r = env_build(job, c, &img, &env, err)) < 0) {
        if (!job->waiting[0])
            snprintf(job->waiting, sizeof job->waiting, "CreateContainerConfigError");
    } else if ((r = build_argv(job, c, &img, &env, &argv, err)) == 0 &&
               (r = keep_strings(a, &env, &app->env, err)) == 0 &&
               (r = keep_strings(a, &argv, &app->argv, err)) == 0 &&
               (r = set_security(job, c, &img, err)) == 0 &&
               (r = build_mounts(job, c, &img, &env, err)) == 0)
        r = make_log_folder(job, err);
    set_resources(job, c);
    vec_free(&env);
    vec_free(&argv);
    return r;
}
