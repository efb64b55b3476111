/* hooks.c - programs that are run at the stages of a container's life (config.md, "POSIX-platform
 * Hooks"): the state on standard input, output shown only when it fails. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "oci/runtime/container_internal.h"

enum { HOOK_OUTPUT_MAX = 256 * 1024, HOOK_TIMEOUT_MAX_S = 2000000 };

static int ended_with(int status, const Buf *out, const Buf *errors, Err *err)
{
    StrView o = sv_head(sv_trim(buf_view(out)), 150), e = sv_head(sv_trim(buf_view(errors)), 200);
    char signal[64];

    if (WIFSIGNALED(status)) {
        snprintf(signal, sizeof signal, "%s", strsignal(WTERMSIG(status)));
        signal[0] = (char)tolower(signal[0]); /* as Go names them */
        return err_set(err, ERR_SYS, 0,
                       "error running hook: signal: %s, stdout: %.*s, stderr: %.*s", signal,
                       SV_FMT(o), SV_FMT(e));
    }
    return err_set(err, ERR_SYS, 0,
                   "error running hook: exit status %d, stdout: %.*s, stderr: %.*s",
                   WEXITSTATUS(status), SV_FMT(o), SV_FMT(e));
}

static int run_one(const OciHook *h, StrView state, Err *err)
{
    const char *const by_path[] = { h->path, NULL };
    _cleanup_buf_ Buf out = { .limit = HOOK_OUTPUT_MAX }, errors = { .limit = HOOK_OUTPUT_MAX };
    int timeout_ms = (int)MIN(h->timeout_s, (uint32_t)HOOK_TIMEOUT_MAX_S) * 1000, status = 0;
    int r =
        proc_run_file(h->path, h->args.len ? h->args.items : by_path,
                      h->env.len ? h->env.items : NULL, state, timeout_ms, &out, &errors, &status);

    if (r == -ETIMEDOUT)
        return err_set(err, ERR_TIMEOUT, 0, "hook ran past specified timeout of %u.0s",
                       h->timeout_s);
    if (r < 0)
        return err_neg(err, r, "fork/exec %s", h->path);
    return status == 0 ? 0 : ended_with(status, &out, &errors, err);
}

/* A hook without an environment of its own has that of who runs it, as with runc: the runtime's, or
 * that of the container's process. */
int hooks_run(const OciHooks *hooks, const OciState *s, pid_t pid, Err *err)
{
    _cleanup_buf_ Buf state = BUF_INIT;
    OciState shown = *s;

    if (hooks->len == 0)
        return 0;
    shown.pid = pid;
    oci_state_print(&shown, false, &state);
    if (state.failed)
        return err_nomem(err);
    for (unsigned i = 0; i < hooks->len; i++) {
        int r = run_one(&hooks->items[i], buf_view(&state), err);

        if (r < 0)
            return err_wrap(err, "error running hook #%u", i);
    }
    return 0;
}
