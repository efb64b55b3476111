/* seccomp.c - linux.seccomp of a container: compiled by P, installed by C.
 *
 * A filter may hand calls to an agent (SCMP_ACT_NOTIFY), whose descriptor C gets on installing it.
 * From then on any call of C may wait for the agent, so C cannot be asked for the descriptor: it
 * says beforehand which number it will have, and P takes it (pidfd_getfd) as soon as it is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "codec/json.h"
#include "oci/runtime/container_internal.h"
#include "oci/runtime/filters.h"
#include "oci/seccomp_load.h"

int launch_compile_seccomp(Launch *l, Err *err)
{
    int r;

    if (!l->spec->seccomp)
        return 0;
    if ((r = filters_compile(l->s->dir_fd, l->spec->seccomp, &l->seccomp, err)) < 0)
        return r;
    if (l->seccomp.notify && !l->spec->seccomp_listener)
        return err_set(err, ERR_INVALID, 0, "linux.seccomp.listenerPath is not set");
    return 0;
}

int process_install_seccomp(Launch *l, Err *err)
{
    SyncMsg m = { .type = SYNC_SECCOMP };
    int listener = -1, number, r;

    if (l->seccomp.bytes.len == 0)
        return 0;
    if (!l->seccomp.notify)
        return seccomp_install(buf_view(&l->seccomp.bytes), l->seccomp.flags, &listener, err);
    number = fcntl(l->sync_c, F_DUPFD_CLOEXEC, 0); /* the lowest that is free is the next one */
    if (number < 0)
        return err_errno(err, "find a free descriptor");
    close(number);
    m.value = number;
    if ((r = sync_send(l->sync_c, &m, NULL, 0, err)) < 0 ||
        (r = seccomp_install(buf_view(&l->seccomp.bytes), l->seccomp.flags, &listener, err)) < 0 ||
        (r = sync_receive(l->sync_c, &m, NULL, NULL, err)) < 0)
        return r;
    close(listener);
    return m.type == SYNC_GO ? 0 : err_set(err, ERR_PROTO, 0, "an unexpected answer");
}

/* --- P --- */

static int take_listener(const Launch *l, int number, Err *err)
{
    for (;;) {
        struct pollfd ended[2] = { { .fd = l->pidfd, .events = POLLIN },
                                   { .fd = l->sync_p, .events = POLLIN } };
        int fd = (int)syscall(SYS_pidfd_getfd, l->pidfd, number, 0);

        if (fd >= 0)
            return fd;
        if (errno != EBADF)
            return err_errno(err, "take the seccomp listener");
        if (poll(ended, 2, 1) > 0) /* or it says why it could not install the filter */
            return err_set(err, ERR_CLOSED, 0, "the process ended before it had its filter");
    }
}

static void print_process_state(const Launch *l, Buf *out)
{
    OciState shown = *l->s;

    buf_printf(out, "{\"ociVersion\":\"%s\",\"fds\":[\"seccompFd\"],\"pid\":%d", OCI_VERSION,
               (int)l->pid);
    if (l->spec->seccomp_metadata) {
        buf_printf(out, ",\"metadata\":");
        json_encode_string(sv_cstr(l->spec->seccomp_metadata), out);
    }
    buf_printf(out, ",\"state\":");
    shown.status = l->exec ? OCI_RUNNING : OCI_CREATING;
    oci_state_print(&shown, false, out);
    buf_putc(out, '}');
}

int launch_serve_seccomp(const Launch *l, int number, Err *err)
{
    _cleanup_close_ int listener = take_listener(l, number, err), agent = -1;
    _cleanup_buf_ Buf text = BUF_INIT;

    if (listener < 0)
        return listener;
    agent = socket_connect(l->spec->seccomp_listener, err);
    if (agent < 0)
        return err_wrap(
            err, "failed to connect with seccomp agent specified in linux.seccomp.listenerPath");
    print_process_state(l, &text);
    return text.failed ? err_nomem(err) : socket_send_fd(agent, buf_view(&text), listener, err);
}
