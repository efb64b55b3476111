/* container_run.c - see container_run.h. */
#include "oci/runtime/container_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"

enum { PASSED_FDS_MAX = 65536 };

/* In a user namespace "root" is an ordinary user outside, too. */
static bool in_user_ns(void)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    unsigned inside, outside, count;

    if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &text) < 0 || !buf_cstr(&text) ||
        sscanf(text.ptr, "%u %u %u", &inside, &outside, &count) != 3)
        return false;
    return inside != 0 || outside != 0 || count != UINT32_MAX;
}

bool oci_is_rootless(const OciGlobal *g)
{
    return g->rootless >= 0 ? g->rootless : geteuid() != 0 || in_user_ns();
}

void oci_say(const OciGlobal *g, OciLevel level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (!g->say || (level == OCI_LEVEL_DEBUG && !g->debug))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    g->say(g, level, text);
}

int absolute_path(const char *path, char ret[static 4096], Err *err)
{
    char cwd[PATH_MAX];
    int n;

    if (path[0] == '/')
        n = snprintf(ret, PATH_MAX, "%s", path);
    else if (!getcwd(cwd, sizeof cwd))
        return err_errno(err, "find the working directory");
    else
        n = snprintf(ret, PATH_MAX, "%s/%s", cwd, path);
    return n >= PATH_MAX ? err_set(err, ERR_INVALID, 0, "the path '%.100s…' is too long", path) : 0;
}

int write_pid_file(const char *path, pid_t pid, Err *err)
{
    char text[16];
    int r;

    snprintf(text, sizeof text, "%d", (int)pid);
    r = file_write_atomic(AT_FDCWD, path, sv_cstr(text), 0666 & ~022, false);
    return r < 0 ? err_neg(err, r, "write the pid file %s", path) : 0;
}

int check_terminal(bool terminal, bool detach, const char *console_socket, Err *err)
{
    bool has_socket = console_socket && *console_socket;

    if (detach && terminal && !has_socket)
        return err_set(err, ERR_INVALID, 0,
                       "cannot allocate tty if runc will detach without setting console socket");
    if ((!detach || !terminal) && has_socket)
        return err_set(err, ERR_INVALID, 0,
                       "cannot use console socket if runc will not detach or allocate tty");
    return 0;
}

int check_labels(const OciProcess *p, Err *err)
{
    if (p->selinux && *p->selinux && !path_exists(AT_FDCWD, "/sys/fs/selinux/enforce"))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "selinux label is specified in config, but selinux is disabled or not "
                       "supported");
    return 0;
}

unsigned listen_fds_given(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int64_t want, n;

    if (!count || sv_to_i64(sv_cstr(count), &n) < 0 || n < 0 || n > PASSED_FDS_MAX)
        return 0;
    if (pid && (sv_to_i64(sv_cstr(pid), &want) < 0 || want != getpid()))
        return 0;
    return (unsigned)n;
}

/* A number that is not open is occupied until execve, so that nothing of ours comes to lie there.
 */
int take_passed_fds(unsigned count, unsigned *ret, Err *err)
{
    unsigned len = 0;

    if (count > PASSED_FDS_MAX)
        return err_set(err, ERR_LIMIT, 0, "%u descriptors are to be passed, at most %d can be",
                       count, PASSED_FDS_MAX);
    for (unsigned i = 0; i < count; i++)
        if (fcntl((int)(3 + i), F_SETFD, 0) == 0)
            len = i + 1;
    for (unsigned i = 0; i < len; i++)
        if (fcntl((int)(3 + i), F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) < 0)
            return err_errno(err, "unable to stat preserved-fd %u (of %u)", i, count);
    *ret = len;
    return 0;
}

/* --- environment --- */

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return strncmp(a, b, n) == 0 && b[n] == '=';
}

static void env_set(Launch *l, size_t *n, const char *entry)
{
    for (size_t i = 0; i < *n; i++)
        if (same_name(entry, l->env[i])) {
            l->env[i] = entry;
            return;
        }
    l->env[(*n)++] = entry;
}

int make_env(Launch *l, unsigned listen_fds, Err *err)
{
    const OciTexts *env = &l->process->env;
    size_t n = 0;

    l->env = calloc((size_t)env->len + 4, sizeof *l->env);
    if (!l->env)
        return err_nomem(err);
    for (uint32_t i = 0; i < env->len; i++) {
        if (env->items[i][0] == '=' || !strchr(env->items[i], '='))
            return err_set(err, ERR_INVALID, 0, "invalid environment variable: \"%s\"",
                           env->items[i]);
        env_set(l, &n, env->items[i]);
    }
    if (listen_fds) {
        StrView count = arena_printf(&l->s->arena, "LISTEN_FDS=%u", listen_fds);

        if (!count.ptr)
            return err_nomem(err);
        l->env[n++] = count.ptr;
        l->env[n++] = "LISTEN_PID=1";
    }
    return 0;
}

/* --- terminal --- */

int launch_io(Launch *l, bool detach, const char *console_socket, bool subreaper,
              Foreground **ret_fg, Err *err)
{
    bool tty = l->process->terminal;
    int r;

    if (!detach && (r = foreground_new(tty, subreaper, ret_fg, err)) < 0)
        return r;
    if (!tty)
        return 0;
    l->console_fd = detach ? socket_connect(console_socket, err) : foreground_console(*ret_fg);
    if (l->console_fd < 0)
        return detach ? l->console_fd : err_errno(err, "keep the terminal's socket");
    return 0;
}

void launch_kill(Launch *l)
{
    if (l->pid <= 0)
        return;
    kill(l->pid, SIGKILL);
    while (waitpid(l->pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    l->pid = 0;
}
