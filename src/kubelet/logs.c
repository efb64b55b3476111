/* logs.c - where the logs of pods lie, and their rotation as kubelet's defaults have it: a log over
 * MAX_SIZE is renamed to ATTEMPT.log.TIME and begun anew by the supervisor; with the new one at
 * most MAX_FILES are kept. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"

#define DEFAULT_DATA_DIR "/var/lib/knarr"
#define SYSTEM_LOGS      "/var/log/pods" /* where log collectors look */

enum {
    MAX_SIZE = 10 * 1024 * 1024, /* containerLogMaxSize */
    MAX_FILES = 5,               /* containerLogMaxFiles */
    LOOK_MS = 10 * 1000,         /* containerLogMonitorInterval */
    ROTATED_MAX = 64,            /* of one log: more is not expected, and waits for the next look */
};

struct LogRotator {
    Kubelet *k;
    Source *timer;
};

const char *log_root(const Kubelet *k, char buf[static PATH_SIZE])
{
    if (strcmp(k->cfg.data_dir, DEFAULT_DATA_DIR) == 0)
        snprintf(buf, PATH_SIZE, SYSTEM_LOGS);
    else
        snprintf(buf, PATH_SIZE, "%s/log/pods", k->cfg.data_dir);
    return buf;
}

/* ---- what was rotated of a log ---- */

typedef struct Rotated {
    char dir[PATH_SIZE];
    char names[ROTATED_MAX][64];
    unsigned n;
} Rotated;

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "0.log.20260102-150405": names in the order of their times. */
static void list_rotated(const char *log, Rotated *r)
{
    *r = (Rotated){ 0 };
    snprintf(r->dir, sizeof r->dir, "%s", log);
    char *slash = strrchr(r->dir, '/');
    *slash = 0;
    const char *base = log + (slash - r->dir) + 1;
    size_t len = strlen(base);
    DIR *d = opendir(r->dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) && r->n < ROTATED_MAX;)
        if (strncmp(e->d_name, base, len) == 0 && e->d_name[len] == '.' &&
            sv_copy_cstr(sv_cstr(e->d_name), r->names[r->n], sizeof r->names[0]))
            r->n++;
    closedir(d);
    qsort(r->names, r->n, sizeof r->names[0], by_name);
}

static void remove_rotated(const char *log, unsigned keep)
{
    Rotated *r = malloc(sizeof *r);
    char path[PATH_SIZE + 64];
    if (!r)
        return;
    list_rotated(log, r);
    for (unsigned i = 0; i + keep < r->n; i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, r->names[i]);
        unlink(path);
    }
    free(r);
}

void log_remove_attempt(const Container *c, unsigned attempt)
{
    char path[PATH_SIZE];
    unlink(container_log_path(c, attempt, path));
    remove_rotated(path, 0);
}

int log_remove_pod(const Kubelet *k, const char *uid, Err *err)
{
    char root[PATH_SIZE], suffix[80];
    snprintf(suffix, sizeof suffix, "_%s", uid);
    DIR *d = opendir(log_root(k, root));
    int r = 0;
    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, "list '%s'", root);
    for (struct dirent *e; (e = readdir(d)) && r == 0;)
        if (sv_ends(sv_cstr(e->d_name), sv_cstr(suffix)) && (r = rm_rf(dirfd(d), e->d_name)) < 0)
            err_neg(err, r, "remove '%s/%s'", root, e->d_name);
    closedir(d);
    return r < 0 ? -ERR_SYS : 0;
}

/* ---- rotation ---- */

static void rotate(Container *c, const char *path)
{
    char to[PATH_SIZE + 32], stamp[32], id[APP_ID_MAX + 1];
    time_t now = (time_t)(clock_real_ns() / NSEC_PER_SEC);
    struct tm tm;
    uint32_t request;
    Err err = { 0 };
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
    snprintf(to, sizeof to, "%s.%s", path, stamp);
    remove_rotated(path, MAX_FILES - 2); /* with this one and the new one it is MAX_FILES */
    if (rename(path, to) < 0)
        log_warn("rotate log '%s': %m", path);
    else if (pod_send_rotate_log(c->worker->conn, container_app_id(c, id), &request, &err) < 0)
        log_warn("rotate log '%s': %s", path, err.msg);
}

static void look_at_pod(Worker *w)
{
    char path[PATH_SIZE];
    struct stat st;
    for (unsigned i = 0; i < w->n_containers && w->conn; i++) {
        Container *c = w->containers[i];
        if (c->phase == PHASE_RUNNING && lstat(container_log_path(c, c->attempt, path), &st) == 0 &&
            S_ISREG(st.st_mode) && st.st_size > MAX_SIZE)
            rotate(c, path);
    }
}

static void look(void *ctx)
{
    LogRotator *r = ctx;
    StrView uid;
    void *w;
    for (size_t i = 0; map_next(&r->k->workers, &i, &uid, &w);)
        look_at_pod(w);
}

int log_rotator_new(Kubelet *k, LogRotator **ret, Err *err)
{
    LogRotator *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->k = k;
    int e = loop_add_timer(k->loop, LOOK_MS, LOOK_MS, look, r, &r->timer, err);
    if (e < 0) {
        free(r);
        return e;
    }
    *ret = r;
    return 0;
}

LogRotator *log_rotator_free(LogRotator *r)
{
    if (r)
        source_free(r->timer);
    free(r);
    return NULL;
}
