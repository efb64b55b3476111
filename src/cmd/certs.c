/* certs.c - see certs.h. The timer is one of the wall clock that ends early when the clock is set
 * (TFD_TIMER_CANCEL_ON_SET): certificates that a wrong clock made are replaced as soon as it is
 * right. */
#include "cmd/certs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"

enum {
    MAKE_TIMEOUT_MS = 30000,
    LOOK_EVERY_S = 3600,
    LOOKS_EACH = 10, /* of a certificate's life at least */
};

static unsigned roles_named(StrView lines)
{
    unsigned roles = 0;
    for (StrView line; sv_cut(lines, '\n', &line, &lines);)
        for (int id = 0; id < ROLE_MAX; id++)
            if (sv_eq(line, sv_cstr(role_names[id])))
                roles |= 1u << id;
    return roles;
}

static int make(const Certs *certs, bool running, unsigned *ret_roles, Err *err)
{
    const Cluster *c = certs->c;
    char program[PATH_MAX], port[16];
    int status, r = cluster_program(c, "knarr-pki", program, err);
    if (r < 0)
        return r;
    snprintf(port, sizeof port, "%u", c->opt.api_port);
    const char *const argv[] = { program,
                                 "--data-dir",
                                 c->dir,
                                 "--api-port",
                                 port,
                                 "--pod-cidr",
                                 c->opt.pod_cidr,
                                 "--service-cidr",
                                 c->opt.service_cidr,
                                 "--certificate-lifetime",
                                 certs->lifetime,
                                 running ? "--running" : "--no-running",
                                 certs->ignore_clock ? "--ignore-clock" : NULL,
                                 NULL };
    _cleanup_buf_ Buf out = { .limit = 4096 }, why = { .limit = 4096 };
    r = proc_run(argv, NULL, SV_NULL, MAKE_TIMEOUT_MS, &out, &why, &status);
    if (r < 0)
        return err_neg(err, r, "run %s", program);
    StrView text = sv_trim(buf_view(&why));
    if (WIFEXITED(status) && WEXITSTATUS(status) == PKI_EXIT_CLOCK)
        return err_set(err, ERR_TIMEOUT, 0, "%.*s", SV_FMT(text));
    if (status != 0)
        return err_set(err, ERR_INVALID, 0, "make certificates: %.*s", SV_FMT(text));
    if (text.len)
        log_warn("%.*s", SV_FMT(text));
    *ret_roles = roles_named(buf_view(&out));
    return 0;
}

int certs_make(const Certs *certs, unsigned *ret_roles, Err *err)
{
    return make(certs, false, ret_roles, err);
}

static int arm(const Certs *certs, Err *err)
{
    int64_t every = MIN(LOOK_EVERY_S * NSEC_PER_SEC, certs->lifetime_ns / LOOKS_EACH);
    int64_t next = clock_real_ns() + every;
    struct itimerspec at = { .it_value = { next / NSEC_PER_SEC, next % NSEC_PER_SEC } };
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, r;
    do /* cancelled: the clock was set since the last time, which whoever asks is about to see */
        r = timerfd_settime(certs->timer_fd, flags, &at, NULL);
    while (r < 0 && errno == ECANCELED);
    return r < 0 ? err_errno(err, "set a timer") : 0;
}

int certs_watch(Certs *certs, Err *err)
{
    certs->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return certs->timer_fd < 0 ? err_errno(err, "make a timer") : arm(certs, err);
}

int certs_look(Certs *certs, unsigned *ret_roles, Err *err)
{
    uint64_t times;
    *ret_roles = 0;
    if (read(certs->timer_fd, &times, sizeof times) < 0 && errno != ECANCELED)
        return 0;            /* not yet */
    int r = arm(certs, err); /* first: what happens from here on is seen */
    return r < 0 ? r : make(certs, true, ret_roles, err);
}
