/* stage1_exec.c - commands inside a running app. Their outputs go to the caller through
 * descriptors; only the end is reported here. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "pod/stage1.h"

Exec *exec_by_id(Stage1 *s, const char *id)
{
    for (Exec *ex = s->execs; ex; ex = ex->next)
        if (!strcmp(ex->id, id))
            return ex;
    return NULL;
}

static int check(Stage1 *s, const ProtoRequest *r, App **ret_app, Err *err)
{
    unsigned n = 0;

    if (!pod_id_is_valid(r->id, APP_ID_MAX))
        return err_set(err, ERR_INVALID, 0, "'%.*s' is no id for an exec", APP_ID_MAX, r->id);
    if (r->argv.len == 0)
        return err_set(err, ERR_INVALID, 0, "an exec needs a command");
    if (exec_by_id(s, r->id) || app_by_id(s, r->id))
        return err_set(err, ERR_EXISTS, 0, "'%s' is running already", r->id);
    *ret_app = app_by_id(s, r->app);
    if (!*ret_app || (*ret_app)->st.state != APP_RUNNING)
        return err_set(err, *ret_app ? ERR_CONFLICT : ERR_NOT_FOUND, 0, "app '%.*s' is not running",
                       APP_ID_MAX, r->app);
    for (Exec *ex = s->execs; ex; ex = ex->next)
        n++;
    if (n >= STAGE1_EXECS_MAX)
        return err_set(err, ERR_LIMIT, 0, "too many commands run in the pod");
    return 0;
}

/* `theirs` goes to the caller; `reads` tells whether the caller reads. */
static int one_pipe(bool reads, int *ret_child, int *ret_theirs, Err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    *ret_theirs = p[reads ? 0 : 1];
    *ret_child = p[reads ? 1 : 0];
    return 0;
}

static int open_pipes(const ProtoRequest *r, Spawn *sp, int fds[POD_FDS_MAX], Err *err)
{
    int e = 0;

    if (r->tty)
        return 0;
    if (r->use_stdin)
        e = one_pipe(false, &sp->fds[0], &fds[0], err);
    if (e >= 0 && r->use_stdout)
        e = one_pipe(true, &sp->fds[1], &fds[1], err);
    if (e >= 0 && r->use_stderr)
        e = one_pipe(true, &sp->fds[2], &fds[2], err);
    return e;
}

int exec_start(Stage1 *s, const ProtoRequest *r, int ret_fds[POD_FDS_MAX], Err *err)
{
    Exec *ex = calloc(1, sizeof *ex);
    Spawn *sp = calloc(1, sizeof *sp);
    App *app = NULL;
    int e = ex && sp ? check(s, r, &app, err) : err_nomem(err);

    if (e >= 0) {
        sp->app = &app->spec;
        sp->exec = r;
        sp->app_pidfd = app->pidfd;
        sp->fds[0] = sp->fds[1] = sp->fds[2] = sp->master = sp->pidfd = -1;
        stage1_cgroup_path(s, app->st.id, sp->cgroup);
        e = open_pipes(r, sp, ret_fds, err);
        if (e >= 0)
            e = spawn_run(s, sp, err);
        for (int i = 0; i < 3; i++)
            closep(&sp->fds[i]);
    }
    if (e >= 0) {
        snprintf(ex->id, sizeof ex->id, "%s", r->id);
        ex->pid = sp->pid;
        ex->pidfd = TAKE_FD(sp->pidfd);
        if (r->tty)
            ret_fds[0] = TAKE_FD(sp->master);
        ex->next = s->execs;
        s->execs = TAKE_PTR(ex);
    } else {
        for (int i = 0; i < POD_FDS_MAX; i++)
            closep(&ret_fds[i]);
    }
    free(sp);
    free(ex);
    return e;
}
