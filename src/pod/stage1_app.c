/* stage1_app.c - the life of one app: added, started, exited, removed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "pod/pod_internal.h"
#include "pod/stage1.h"

App *app_by_id(Stage1 *s, const char *id)
{
    for (App *app = s->apps; app; app = app->next)
        if (!strcmp(app->st.id, id))
            return app;
    return NULL;
}

static void app_free(Stage1 *s, App *app)
{
    attach_free_all(s, app);
    source_close(s, &app->in);
    source_close(s, &app->out.src);
    source_close(s, &app->err.src);
    buf_free(&app->out.partial);
    buf_free(&app->err.partial);
    buf_free(&app->pending);
    closep(&app->log_fd);
    closep(&app->pidfd);
    arena_free(&app->arena);
    free(app);
}

static int load_app(Stage1 *s, const char *id, App *app, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[APP_ID_MAX + 16];
    int r;

    snprintf(path, sizeof path, "apps/%s/spec", id);
    r = file_read(s->dir_fd, path, POD_SPEC_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read %s", path);
    r = app_spec_decode(buf_view(&text), &app->arena, &app->spec, err);
    if (r >= 0 && strcmp(app->spec.id, id) != 0)
        return err_set(err, ERR_INVALID, 0, "%s is of app '%s'", path, app->spec.id);
    return r;
}

int app_add(Stage1 *s, const char *id, App **ret, Err *err)
{
    unsigned n = 0;
    App *app;
    int r;

    if (!pod_id_is_valid(id, APP_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.*s' is no app id", APP_ID_MAX, id);
    if ((*ret = app_by_id(s, id)))
        return 0;
    for (app = s->apps; app; app = app->next)
        n++;
    if (n >= STAGE1_APPS_MAX || s->stopping)
        return err_set(err, ERR_LIMIT, 0,
                       s->stopping ? "the pod is stopping" : "too many apps in the pod");
    app = calloc(1, sizeof *app);
    if (!app)
        return err_nomem(err);
    app->pidfd = app->log_fd = app->in.fd = app->out.src.fd = app->err.src.fd = -1;
    arena_init(&app->arena, POD_SPEC_MAX * 4);
    r = load_app(s, id, app, err);
    if (r < 0) {
        app_free(s, app);
        return r;
    }
    snprintf(app->st.id, sizeof app->st.id, "%s", id);
    app->st.state = APP_CREATED;
    app->next = s->apps;
    s->apps = app;
    *ret = app;
    return 0;
}

int exit_code_of(const Err *err)
{
    return err->code == ERR_NOT_FOUND ? 127 : err->code == ERR_DENIED ? 126 : 128;
}

static int absolute(Stage1 *s, const char *id, const char *leaf, char ret[static PATH_MAX],
                    Err *err)
{
    char link[64], dir[PATH_MAX - APP_ID_MAX - 32];
    ssize_t n;

    snprintf(link, sizeof link, "self/fd/%d", s->dir_fd);
    n = readlinkat(s->proc_fd, link, dir, sizeof dir - 1);
    if (n < 0)
        return err_errno(err, "find the pod's directory");
    dir[n] = 0;
    snprintf(ret, PATH_MAX, "%s/apps/%s/%s", dir, id, leaf);
    return 0;
}

/* The directories, the control group, and the standard descriptors of the child. */
static int prepare(Stage1 *s, App *app, Spawn *sp, Err *err)
{
    const AppSpec *spec = &app->spec;
    int r;

    stage1_cgroup_path(s, spec->id, sp->cgroup);
    if ((r = absolute(s, spec->id, "rootfs", sp->rootfs, err)) < 0 ||
        (r = absolute(s, spec->id, "upper", sp->upper, err)) < 0 ||
        (r = absolute(s, spec->id, "work", sp->work, err)) < 0)
        return r;
    if (*spec->upper) {
        snprintf(sp->upper, sizeof sp->upper, "%s", spec->upper);
        snprintf(sp->work, sizeof sp->work, "%s", spec->work);
    }
    if ((r = mkdir_p(AT_FDCWD, sp->rootfs, 0700)) < 0 ||
        (r = mkdir_p(AT_FDCWD, sp->upper, 0755)) < 0 ||
        (*sp->work && (r = mkdir_p(AT_FDCWD, sp->work, 0700)) < 0))
        return err_neg(err, r, "directories of app '%s'", spec->id);
    if (chmod(sp->upper, 0755) < 0) /* becomes the container's "/" */
        return err_errno(err, "mode of '%s'", sp->upper);
    if ((r = cgroup_create(&s->cgroups, sp->cgroup, err)) < 0 ||
        (r = cgroup_set_limits(&s->cgroups, sp->cgroup, &spec->limits, err)) < 0)
        return r;
    return cgroup_set_devices(&s->cgroups, sp->cgroup, spec->privileged, spec->device_rules.items,
                              spec->device_rules.len, err);
}

typedef struct Pipes {
    int in, out, err;
} Pipes;

static int pipe_pair(int *ret_read, int *ret_write, Err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    *ret_read = p[0];
    *ret_write = p[1];
    return 0;
}

static int open_pipes(const AppSpec *spec, Spawn *sp, Pipes *ours, Err *err)
{
    int r = 0;

    if (spec->tty)
        return 0;
    if (spec->use_stdin)
        r = pipe_pair(&sp->fds[0], &ours->in, err);
    if (r >= 0)
        r = pipe_pair(&ours->out, &sp->fds[1], err);
    if (r >= 0)
        r = pipe_pair(&ours->err, &sp->fds[2], err);
    return r;
}

/* Takes over what the running app talks through. */
static void adopt(Stage1 *s, App *app, Spawn *sp, Pipes *ours)
{
    if (app->spec.tty) {
        if (app->spec.use_stdin)
            app->in.fd = fcntl(sp->master, F_DUPFD_CLOEXEC, 3);
        stream_open(s, &app->out, app, TAKE_FD(sp->master), "stdout");
    } else {
        app->in.fd = TAKE_FD(ours->in);
        stream_open(s, &app->out, app, TAKE_FD(ours->out), "stdout");
        stream_open(s, &app->err, app, TAKE_FD(ours->err), "stderr");
    }
    if (app->in.fd >= 0)
        (void)!fd_set_nonblock(app->in.fd, true);
}

static void start_failed(Stage1 *s, App *app, const Err *err)
{
    char cgroup[CGROUP_PATH_MAX];

    app->st.state = APP_EXITED;
    app->st.exit_code = 128;
    app->st.finished_ns = clock_real_ns();
    snprintf(app->st.reason, sizeof app->st.reason, "StartError");
    snprintf(app->st.message, sizeof app->st.message, "%s", err->msg);
    stage1_cgroup_path(s, app->st.id, cgroup);
    if (cgroup_kill(&s->cgroups, cgroup, 2000, NULL) >= 0)
        (void)!cgroup_remove(&s->cgroups, cgroup, NULL);
    closep(&app->log_fd);
    (void)!disk_write_exit(s, app, NULL);
    broadcast_app(s, app);
}

int app_start(Stage1 *s, App *app, Err *err)
{
    Spawn *sp;
    Pipes ours = { -1, -1, -1 };
    int r;

    if (app->st.state == APP_RUNNING || (app->st.state == APP_EXITED && app->st.started_ns))
        return 0; /* asked twice */
    if (app->st.state == APP_EXITED)
        return err_set(err, ERR_CONFLICT, 0, "%s", app->st.message);
    sp = calloc(1, sizeof *sp);
    if (!sp)
        return err_nomem(err);
    sp->app = &app->spec;
    sp->fds[0] = sp->fds[1] = sp->fds[2] = sp->master = sp->pidfd = sp->app_pidfd = -1;
    if ((r = prepare(s, app, sp, err)) >= 0 && (r = log_open(app, err)) >= 0 &&
        (r = open_pipes(&app->spec, sp, &ours, err)) >= 0) {
        app->oom_before = cgroup_oom_kills(&s->cgroups, sp->cgroup);
        r = spawn_run(s, sp, err);
    }
    for (int i = 0; i < 3; i++)
        closep(&sp->fds[i]);
    if (r >= 0) {
        app->pid = sp->pid;
        app->pidfd = TAKE_FD(sp->pidfd);
        app->st.pid = host_pid(s, app->pidfd);
        app->st.state = APP_RUNNING;
        app->st.started_ns = clock_real_ns();
        adopt(s, app, sp, &ours);
        (void)!disk_write_started(s, app, NULL); /* a full disk is no reason to kill the app */
        broadcast_app(s, app);
    } else {
        start_failed(s, app, err);
    }
    closep(&ours.in);
    closep(&ours.out);
    closep(&ours.err);
    closep(&sp->master);
    free(sp);
    return r;
}

void app_exited(Stage1 *s, App *app, int status)
{
    char cgroup[CGROUP_PATH_MAX];
    AppStatus *st = &app->st;

    stage1_cgroup_path(s, st->id, cgroup);
    /* Without a pid namespace of its own it may leave others behind. */
    if (!cgroup_is_empty(&s->cgroups, cgroup))
        (void)!cgroup_kill(&s->cgroups, cgroup, 2000, NULL);
    st->finished_ns = clock_real_ns();
    st->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    st->exit_code = st->signal ? 128 + st->signal : WEXITSTATUS(status);
    st->oom_killed = cgroup_oom_kills(&s->cgroups, cgroup) > app->oom_before && st->exit_code != 0;
    snprintf(st->reason, sizeof st->reason, "%s",
             st->oom_killed  ? "OOMKilled"
             : st->exit_code ? "Error"
                             : "Completed");
    st->state = APP_EXITED;
    st->pid = 0;
    app->pid = 0;
    stream_drain(s, &app->out);
    stream_drain(s, &app->err);
    attach_free_all(s, app);
    source_close(s, &app->in);
    buf_free(&app->pending);
    closep(&app->log_fd);
    closep(&app->pidfd);
    (void)!disk_write_exit(s, app, NULL);
    (void)!cgroup_remove(&s->cgroups, cgroup, NULL);
    broadcast_app(s, app);
}

void app_remove(Stage1 *s, App *app)
{
    char cgroup[CGROUP_PATH_MAX];
    int status;

    if (app->st.state == APP_RUNNING) {
        kill(app->pid, SIGKILL);
        while (waitpid(app->pid, &status, 0) < 0 && errno == EINTR)
            ;
        app_exited(s, app, status);
    }
    stage1_cgroup_path(s, app->st.id, cgroup);
    if (cgroup_kill(&s->cgroups, cgroup, 2000, NULL) >= 0)
        (void)!cgroup_remove(&s->cgroups, cgroup, NULL);
    pod_remove_scratch(s->dir_fd, app->st.id);
    for (App **p = &s->apps; *p; p = &(*p)->next)
        if (*p == app) {
            *p = app->next;
            break;
        }
    app_free(s, app);
}

static void reaped(Stage1 *s, pid_t pid, int status)
{
    for (App *app = s->apps; app; app = app->next)
        if (app->pid == pid) {
            app_exited(s, app, status);
            return;
        }
    for (Exec **p = &s->execs; *p; p = &(*p)->next)
        if ((*p)->pid == pid) {
            Exec *ex = *p;

            *p = ex->next;
            broadcast_exec(s, ex->id,
                           WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
            closep(&ex->pidfd);
            free(ex);
            return;
        }
    if (pid == s->init_pid)
        s->init_pid = 0;
}

void stage1_reap(Stage1 *s, Source *src, uint32_t events)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(src->fd, &info, sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reaped(s, pid, status);
}
