/* logs.c - where the logs of pods lie, and their removal. Supervisors rotate them as they write, as
 * kubelet's defaults have it: a log of LOG_MAX_SIZE is renamed to ATTEMPT.log.TIME and begun anew;
 * with the new one at most LOG_MAX_FILES are kept. Those of supervisors that do not know this yet
 * are looked at every now and then. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"
#include "pod/log_file.h"

#define DEFAULT_DATA_DIR "/var/lib/knarr"
#define SYSTEM_LOGS      "/var/log/pods" /* where log collectors look */

enum {
    LOOK_MS = 10 * 1000,     /* containerLogMonitorInterval */
    SLACK = 2 * 1024 * 1024, /* supervisors that look themselves are never that far above */
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

void log_remove_attempt(const Container *c, unsigned attempt)
{
    char path[PATH_SIZE];
    log_file_remove(container_log_path(c, attempt, path));
}

int log_remove_pod(const Kubelet *k, const char *uid, Err *err)
{
    char root[PATH_SIZE], suffix[80];
    snprintf(suffix, sizeof suffix, "_%s", uid);
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, log_root(k, root), &d), more = 0;
    if (r < 0)
        return r == -ENOENT ? 0 : err_neg(err, r, "list '%s'", root);
    while (r == 0 && (more = dir_next(d, &e)) > 0)
        if (sv_ends(sv_cstr(e->d_name), sv_cstr(suffix)) && (r = rm_rf(dirfd(d), e->d_name)) < 0)
            err_neg(err, r, "remove '%s/%s'", root, e->d_name);
    closedir(d);
    if (r < 0)
        return -ERR_SYS;
    return more < 0 ? err_neg(err, more, "list '%s'", root) : 0;
}

/* ---- rotation ---- */

static void rotate(Container *c, const char *path)
{
    char id[APP_ID_MAX + 1];
    uint32_t request;
    Err err = { 0 };
    int r = log_file_rotate(path, LOG_MAX_FILES);
    if (r < 0)
        log_warn("rotate log '%s': %s", path, strerror(-r));
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
            S_ISREG(st.st_mode) && st.st_size > LOG_MAX_SIZE + SLACK)
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
