/* file.c - target groups in JSON and YAML files. inotify watches the folders, since editors replace
 * files; every refresh_interval all are read again, for file systems without it. A file that cannot
 * be read keeps the groups it had. */
#include <errno.h>
#include <glob.h>
#include <sys/inotify.h>

#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "monitor/discovery/internal.h"
#include "base/metric_text.h"

enum { SETTLE_MS = 50 };

typedef struct KnownFile {
    size_t n_groups;
    bool seen;
    LogGate said;      /* that it cannot be read */
    double modified_s; /* of what was read last; 0: nothing yet */
} KnownFile;

typedef struct FileProvider {
    Provider base;
    const ConfigFileSd *cfg;
    int notify_fd; /* -1: none */
    Source *notify, *refresh, *settle;
    Map files; /* path → KnownFile */
} FileProvider;

/* Groups 'from' to 'to' of a file are gone. */
static void remove_groups(FileProvider *p, StrView path, size_t from, size_t to)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    for (size_t i = from; i < to; i++) {
        TargetGroup g = { .source = arena_printf(&a, "%.*s:%zu", SV_FMT(path), i) };
        if (g.source.ptr)
            provider_emit(&p->base, &g, 1);
    }
}

int discovery_read_file(const char *path, Arena *a, TargetGroup **ret, size_t *ret_n, Err *err)
{
    Buf text = BUF_INIT;
    StrView name = sv_cstr(path);
    Label extra = { SV("__meta_filepath"), name };
    int r = file_read(AT_FDCWD, path, DISCOVERY_FILE_MAX, &text);
    if (r < 0) {
        buf_free(&text);
        return err_neg(err, r, "read '%s'", path);
    }
    StrView copy = arena_sv(a, buf_view(&text)); /* groups point into it */
    buf_free(&text);
    if (!copy.ptr)
        return err_nomem(err);
    bool json = sv_ends(name, SV(".json")) || sv_ends(name, SV(".JSON"));
    if ((r = groups_parse(copy, json, name, &extra, a, ret, ret_n, err)) < 0)
        return err_wrap(err, "%s", path);
    return 0;
}

static int load(FileProvider *p, StrView path, KnownFile *k, Err *err)
{
    _cleanup_arena_ Arena a;
    TargetGroup *groups;
    size_t n;

    arena_init(&a, 16 * (size_t)DISCOVERY_FILE_MAX);
    const char *name = arena_cstr(&a, path);
    int r = name ? discovery_read_file(name, &a, &groups, &n, err) : err_nomem(err);
    if (r < 0)
        return r;
    struct stat st;
    k->modified_s = stat(name, &st) < 0 ? 0
                                        : (double)st.st_mtim.tv_sec +
                                              (double)st.st_mtim.tv_nsec / (double)NSEC_PER_SEC;
    size_t before = k->n_groups;
    k->n_groups = n;
    provider_emit(&p->base, groups, n);
    remove_groups(p, path, n, before);
    return 0;
}

static void load_path(FileProvider *p, StrView path, Err *err)
{
    KnownFile *k = map_get(&p->files, path);
    if (!k) {
        k = calloc(1, sizeof *k);
        if (!k || !map_set(&p->files, path, k, NULL)) {
            free(k);
            return;
        }
    }
    k->seen = true;
    Err why = { 0 };
    if (load(p, path, k, &why) >= 0) {
        k->said = (LogGate){ 0 };
        return;
    }
    *err = why;
    p->base.owner->stats->file_read_errors++;
    if (log_gate(&k->said, SAID_MS))
        provider_log(&p->base, "Error reading file", path, why.msg);
}

static void forget_unseen(FileProvider *p)
{
    StrView path;
    void *val;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; map_next(&p->files, &i, &path, &val);) {
            KnownFile *k = val;
            if (k->seen)
                continue;
            remove_groups(p, path, 0, k->n_groups);
            map_del(&p->files, path);
            free(k);
            again = true;
            break;
        }
    }
}

static void watch_folder(FileProvider *p, StrView pattern)
{
    char dir[4096];
    ssize_t slash = sv_rfind_char(pattern, '/');
    StrView folder = slash < 0 ? SV(".") : slash == 0 ? SV("/") : sv_head(pattern, (size_t)slash);
    if (p->notify_fd < 0 || !sv_copy_cstr(folder, dir, sizeof dir))
        return;
    if (inotify_add_watch(p->notify_fd, dir,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR) <
        0)
        p->base.owner->stats->file_watcher_errors++;
}

static void load_all(FileProvider *p)
{
    Err err = { 0 };
    char pattern[4096];
    StrView path;
    void *val;
    int64_t started = clock_mono_ns();

    for (size_t i = 0; map_next(&p->files, &i, &path, &val);)
        ((KnownFile *)val)->seen = false;
    for (unsigned i = 0; i < p->cfg->files.len; i++) {
        glob_t found = { 0 };
        watch_folder(p, p->cfg->files.items[i]); /* it may have been made since */
        if (!sv_copy_cstr(p->cfg->files.items[i], pattern, sizeof pattern) ||
            glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++)
            load_path(p, sv_cstr(found.gl_pathv[j]), &err);
        globfree(&found);
    }
    forget_unseen(p);
    p->base.error = err; /* each file has been logged */
    timing_add(&p->base.owner->stats->file_scan,
               (double)(clock_mono_ns() - started) / (double)NSEC_PER_SEC);
}

static void put_files(const Provider *base, Map *told, Buf *out)
{
    const FileProvider *p = (const FileProvider *)base;
    StrView path;
    void *val;
    for (size_t i = 0; map_next(&p->files, &i, &path, &val);) {
        const KnownFile *k = val;
        if (!k->modified_s || map_get(told, path) || !map_set(told, path, val, NULL))
            continue;
        buf_sv(out, SV("prometheus_sd_file_mtime_seconds{filename="));
        text_quote_value(path, out);
        buf_putc(out, '}');
        metric_value(out, k->modified_s);
    }
}

static void on_refresh(void *ctx)
{
    load_all(ctx);
}

/* A write often is several events: wait a moment for the last. */
static void on_notify(void *ctx, uint32_t events)
{
    FileProvider *p = ctx;
    char buf[4096] __attribute__((aligned(8)));
    while (read(p->notify_fd, buf, sizeof buf) > 0)
        ;
    (void)!source_set_timer(p->settle, SETTLE_MS, 0, NULL);
}

static Provider *file_stop(Provider *base)
{
    FileProvider *p = (FileProvider *)base;
    StrView path;
    void *val;
    source_free(p->notify);
    source_free(p->refresh);
    source_free(p->settle);
    closep(&p->notify_fd);
    for (size_t i = 0; map_next(&p->files, &i, &path, &val);)
        free(val);
    map_free(&p->files);
    free(p);
    return NULL;
}

int file_provider_new(Discovery *d, const ConfigFileSd *cfg, Provider **ret, Err *err)
{
    FileProvider *p = calloc(1, sizeof *p);
    int r;
    if (!p)
        return err_nomem(err);
    p->base = (Provider){ .owner = d, .stop = file_stop, .put_files = put_files };
    p->cfg = cfg;
    p->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); /* without it the refresh has to do */
    d->stats->file_watcher_errors += p->notify_fd < 0;
    uint64_t every = (uint64_t)MAX(cfg->refresh_interval, INT64_C(1000));
    if ((r = loop_add_timer(d->loop, 0, every, on_refresh, p, &p->refresh, err)) < 0 ||
        (r = loop_add_timer(d->loop, UINT32_MAX, 0, on_refresh, p, &p->settle, err)) < 0 ||
        (p->notify_fd >= 0 &&
         (r = loop_add_fd(d->loop, p->notify_fd, LOOP_READ, on_notify, p, &p->notify, err)) < 0)) {
        file_stop(&p->base);
        return r;
    }
    source_stop_timer(p->settle);
    *ret = &p->base;
    return 0;
}
