/* stage1.c - the supervisor: how it begins, its loop (signals, clients, outputs), how it ends.
 *
 *     launcher (child of stage0):  lock -> spec, control groups -> stage1_fork() -> exit
 *     supervisor (nobody's child): stage1_setup() -> 'K' to stage0 -> loop -> stage1_free()
 *     app (child_run()):           groups -> root -> rights -> exec
 *
 * What holds, and why:
 * - The lock is taken before anything of the pod is made, and given up after everything is taken
 *   down. Who finds it free may clean up; who does not asks over the socket. It is held by the open
 *   file, which the launcher passes on, so there is no moment without it.
 * - The supervisor is the first process of its pid namespace (unless the pod uses the host's): when
 *   it dies, the kernel ends every app. In the host's, apps have a parent-death signal for that.
 * - A process is in its control groups before it does anything else: born into that of version 2,
 *   in those of version 1 by its own first step. So no limit is missed, and ending a group
 *   ends all.
 * - stage0 gets one report, 'K' or 'E'; before 'E' everything that was made is gone again.
 * - An app's start is done in one turn of the loop: nobody sees an app that is half started. Its
 *   child tells by the end of a stream whether it came as far as exec.
 * - What the disk says comes first: `exit` is written and synced, then clients are told. */
#include "pod/stage1.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/file.h"

/* Adds a source, or changes what it waits for; with no events takes it out, because epoll would go
 * on telling that the other side hung up. */
int source_watch(Stage1 *s, Source *src, uint32_t events, Err *err)
{
    struct epoll_event ev = { .events = events, .data.ptr = src };

    if (!events) {
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
        return 0;
    }
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, src->fd, &ev) == 0)
        return 0;
    if (errno != ENOENT || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
        return err_errno(err, "watch a descriptor");
    return 0;
}

void source_close(Stage1 *s, Source *src)
{
    if (src->fd < 0)
        return;
    /* Explicitly: a copy of the descriptor in a child would keep it in the set. */
    epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
    closep(&src->fd);
}

static void kill_if_due(Stage1 *s)
{
    if (!s->kill_at || clock_mono_ns() < s->kill_at)
        return;
    s->kill_at = 0;
    for (App *app = s->apps; app; app = app->next)
        if (app->st.state == APP_RUNNING)
            kill(app->pid, SIGKILL);
}

static void finish_if_stopped(Stage1 *s)
{
    for (App *app = s->apps; app; app = app->next)
        if (app->st.state == APP_RUNNING)
            return;
    s->done = s->stopping;
}

static int loop_timeout(const Stage1 *s)
{
    int64_t left;

    if (!s->kill_at)
        return -1;
    left = (s->kill_at - clock_mono_ns()) / NSEC_PER_MSEC + 1;
    return left < 0 ? 0 : (int)MIN(left, 60000);
}

static void loop(Stage1 *s)
{
    while (!s->done) {
        struct epoll_event ev;
        int n = epoll_wait(s->epoll_fd, &ev, 1, loop_timeout(s));

        if (n == 1) {
            Source *src = ev.data.ptr;

            src->fn(s, src, ev.events);
        }
        kill_if_due(s);
        finish_if_stopped(s);
    }
}

int stage1_new(int dir_fd, Stage1 **ret, Err *err)
{
    Stage1 *s = calloc(1, sizeof *s);
    int r;

    if (!s) {
        close(dir_fd);
        return err_nomem(err);
    }
    s->dir_fd = dir_fd;
    s->epoll_fd = s->proc_fd = s->own_pidns_fd = s->own_pidfd = s->init_pidfd = -1;
    s->listener.fd = s->signals.fd = -1;
    arena_init(&s->arena, POD_SPEC_MAX * 4);
    r = stage1_prepare(s, err);
    if (r < 0)
        stage1_free(s);
    else
        *ret = s;
    return r;
}

Stage1 *stage1_free(Stage1 *s)
{
    if (!s)
        return NULL;
    stage1_teardown(s);
    closep(&s->dir_fd);
    free(s);
    return NULL;
}

pid_t stage1_fork(Stage1 *s, Err *err)
{
    char own[CGROUP_PATH_MAX];

    stage1_cgroup_path(s, STAGE1_GROUP, own);
    return cgroup_clone(&s->cgroups, own, s->spec.host_pid ? 0 : CLONE_NEWPID, &s->own_pidfd, err);
}

int stage1_run(Stage1 *s, int lock_fd, int report_fd)
{
    struct flock free_all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    Err err = { 0 };
    int r = stage1_setup(s, &err);

    if (r >= 0) {
        (void)!fd_write_full(report_fd, "K", 1);
        close(report_fd);
        loop(s);
    }
    stage1_free(s);
    /* The report comes last, so that nothing is left once stage0 knows. */
    fcntl(lock_fd, F_OFD_SETLK, &free_all);
    if (r < 0) {
        (void)!fd_write_full(report_fd, "E", 1);
        (void)!fd_write_full(report_fd, &err, sizeof err);
    }
    return r;
}
