/* container_exec.c - `exec`: another process in a container that runs.
 *
 * It joins all namespaces of the container's first process and its control groups. Nothing of it is
 * kept in the state. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "oci/runtime/container_run.h"

typedef struct Executing {
    const OciGlobal *g;
    const OciExecArgs *args;
    OciState *s;
    OciProcess process;
    char pid_file[PATH_MAX], console_socket[PATH_MAX];
    unsigned passed_fds;
    Launch l;
    Foreground *fg;
} Executing;

/* --- what is to run --- */

static int join_texts(Arena *a, const OciTexts *one, const OciTexts *two, OciTexts *ret, Err *err)
{
    const char **items = arena_array(a, const char *, (size_t)one->len + two->len + 1);

    if (!items)
        return err_nomem(err);
    memcpy(items, one->items, one->len * sizeof *items);
    memcpy(items + one->len, two->items, two->len * sizeof *items);
    *ret = (OciTexts){ items, one->len + two->len };
    return 0;
}

static int read_process(Executing *x, Err *err)
{
    _cleanup_buf_ Buf raw = BUF_INIT;
    OciProcess *p;
    StrView text;
    int r = file_read(AT_FDCWD, x->args->process_file, OCI_CONFIG_MAX, &raw);

    if (r < 0)
        return err_neg(err, r, "open %s", x->args->process_file);
    text = arena_sv(&x->s->arena, buf_view(&raw));
    if (!text.ptr)
        return err_nomem(err);
    if ((r = oci_process_parse(text, x->args->process_file, &x->s->arena, &p, err)) < 0)
        return r;
    for (uint32_t i = 0; i < p->warnings.len; i++)
        oci_say(x->g, OCI_LEVEL_WARNING, "%s", p->warnings.items[i]);
    x->process = *p;
    return 0;
}

/* "uid[:gid]", numbers. */
static int parse_user(const char *text, OciProcess *p, Err *err)
{
    StrView uid, gid;
    bool has_gid = sv_cut(sv_cstr(text), ':', &uid, &gid);
    uint64_t n;

    if (has_gid) {
        if (sv_to_u64(gid, &n) < 0 || n > UINT32_MAX)
            return err_set(err, ERR_INVALID, 0, "parsing %.*s as int for gid failed", SV_FMT(gid));
        p->gid = (uint32_t)n;
    }
    if (sv_to_u64(uid, &n) < 0 || n > UINT32_MAX)
        return err_set(err, ERR_INVALID, 0, "parsing %.*s as int for uid failed", SV_FMT(uid));
    p->uid = (uint32_t)n;
    return 0;
}

static int add_groups(Executing *x, Err *err)
{
    const OciExecArgs *a = x->args;
    OciProcess *p = &x->process;
    uint32_t *groups =
        arena_array(&x->s->arena, uint32_t, (size_t)p->groups_len + a->groups_len + 1);

    if (!groups)
        return err_nomem(err);
    for (uint32_t i = 0; i < p->groups_len; i++)
        groups[i] = p->groups[i];
    for (uint32_t i = 0; i < a->groups_len; i++)
        groups[p->groups_len + i] = a->groups[i];
    p->groups = groups;
    p->groups_len += a->groups_len;
    return 0;
}

static void add_caps(Executing *x)
{
    OciProcess *p = &x->process;

    for (uint32_t i = 0; i < x->args->caps.len; i++) {
        uint64_t mask = 0;

        if (caps_parse(sv_cstr(x->args->caps.items[i]), &mask, NULL) < 0)
            oci_say(x->g, OCI_LEVEL_WARNING, "ignoring unknown or unavailable capability %s",
                    x->args->caps.items[i]);
        p->bounding |= mask;
        p->effective |= mask;
        p->permitted |= mask;
        p->ambient |= mask;
        p->has_caps = true;
    }
}

/* The container's own process, changed by flags. */
static int from_flags(Executing *x, Err *err)
{
    const OciExecArgs *a = x->args;
    OciProcess *p = &x->process;
    int r;

    if (!x->s->spec->process)
        return err_set(err, ERR_INVALID, 0, "process property must not be empty");
    *p = *x->s->spec->process;
    p->args = a->args;
    if (a->cwd && *a->cwd)
        p->cwd = a->cwd;
    if (p->cwd[0] != '/')
        return err_set(err, ERR_INVALID, 0, "Cwd must be an absolute path");
    if (a->apparmor && *a->apparmor)
        p->apparmor = a->apparmor;
    if (a->process_label && *a->process_label)
        p->selinux = a->process_label;
    p->terminal = a->tty;
    if (a->has_no_new_privs)
        p->no_new_privs = a->no_new_privs;
    if (a->user && *a->user && (r = parse_user(a->user, p, err)) < 0)
        return r;
    add_caps(x);
    if ((r = add_groups(x, err)) < 0)
        return r;
    return join_texts(&x->s->arena, &x->s->spec->process->env, &a->env, &p->env, err);
}

static int check(Executing *x, Err *err)
{
    if (x->s->status == OCI_STOPPED)
        return err_set(err, ERR_CONFLICT, 0, "cannot exec in a stopped container");
    if (x->s->status == OCI_PAUSED && !x->args->ignore_paused)
        return err_set(err, ERR_CONFLICT, 0,
                       "cannot exec in a paused container (use --ignore-paused to override)");
    if (x->s->status == OCI_CREATING)
        return err_set(err, ERR_CONFLICT, 0, "cannot exec in a container that is being created");
    if (!x->args->process_file && x->args->args.len == 0)
        return err_set(err, ERR_INVALID, 0, "process args cannot be empty");
    return 0;
}

/* --- run --- */

static int launch(Executing *x, Err *err)
{
    const OciExecArgs *a = x->args;
    Launch *l = &x->l;
    int r;

    l->exec = true;
    l->process = &x->process;
    l->no_new_keyring = x->s->no_new_keyring;
    l->passed_fds = x->passed_fds;
    l->sub_group = a->cgroup;
    if ((r = check_terminal(x->process.terminal, a->detach, a->console_socket, err)) < 0 ||
        (r = check_labels(&x->process, err)) < 0 || (r = make_env(l, 0, err)) < 0 ||
        (r = launch_compile_seccomp(l, err)) < 0 ||
        (r = launch_io(l, a->detach, a->console_socket ? x->console_socket : NULL, false, &x->fg,
                       err)) < 0)
        return r;
    if ((r = launch_run(l, err)) < 0)
        return err_wrap(err, "unable to start container process");
    return a->pid_file ? write_pid_file(x->pid_file, l->pid, err) : 0;
}

static int execute(Executing *x, int *ret_code, Err *err)
{
    const OciExecArgs *a = x->args;
    int r;

    if ((r = check(x, err)) < 0 ||
        (r = a->process_file ? read_process(x, err) : from_flags(x, err)) < 0 ||
        (r = launch(x, err)) < 0)
        return r;
    return a->detach ? 0 : foreground_wait(x->fg, x->l.pid, ret_code, err);
}

int oci_exec(const OciGlobal *g, const OciExecArgs *args, int *ret_code, Err *err)
{
    Executing *x = calloc(1, sizeof *x);
    int r;

    if (!x)
        return err_nomem(err);
    *x = (Executing){ .g = g, .args = args };
    *ret_code = 0;
    if ((r = take_passed_fds(args->preserve_fds, &x->passed_fds, err)) >= 0 && args->pid_file)
        r = absolute_path(args->pid_file, x->pid_file, err);
    if (r >= 0 && args->console_socket)
        r = absolute_path(args->console_socket, x->console_socket, err);
    if (r >= 0 && (r = oci_state_load(g->root, args->id, false, &x->s, err)) >= 0) {
        launch_init(&x->l, g, x->s);
        r = execute(x, ret_code, err);
        if (r < 0)
            launch_kill(&x->l);
        launch_end(&x->l);
        foreground_free(x->fg);
    }
    oci_state_free(x->s);
    free(x);
    return r;
}
