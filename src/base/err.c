/* err.c - fills errors without allocating. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append_errno(Err *err, int sys)
{
    size_t n = strlen(err->msg);
    if (sys == 0 || n + 3 >= sizeof err->msg)
        return;
    char text[128];
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", strerror_r(sys, text, sizeof text));
}

static int err_vset(Err *err, ErrCode code, int sys, const char *fmt, va_list ap)
{
    ASSERT(code > ERR_NONE && code < ERR_MAX);
    if (err) {
        err->code = code;
        err->sys = sys;
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        append_errno(err, sys);
    }
    return -(int)code;
}

static ErrCode code_of_errno(int sys)
{
    switch (sys) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOMEM:
        return ERR_NOMEM;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_SYS;
    }
}

int err_set(Err *err, ErrCode code, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = err_vset(err, code, sys, fmt, ap);
    va_end(ap);
    return r;
}

int err_errno(Err *err, const char *fmt, ...)
{
    int sys = errno;
    va_list ap;
    va_start(ap, fmt);
    int r = err_vset(err, code_of_errno(sys), sys, fmt, ap);
    va_end(ap);
    return r;
}

int err_neg(Err *err, int neg_errno, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = err_vset(err, code_of_errno(-neg_errno), -neg_errno, fmt, ap);
    va_end(ap);
    return r;
}

int err_nomem(Err *err)
{
    return err_set(err, ERR_NOMEM, 0, "out of memory");
}

int err_wrap(Err *err, const char *fmt, ...)
{
    if (!err)
        return -(int)ERR_SYS;
    ASSERT_MSG(err->code != ERR_NONE, "err_wrap(%s) of no error", fmt);
    char head[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);

    size_t n = strlen(head), keep = strlen(err->msg);
    if (n + 2 + keep >= sizeof err->msg)
        keep = sizeof err->msg - n - 3;
    memmove(err->msg + n + 2, err->msg, keep);
    err->msg[n + 2 + keep] = 0;
    memcpy(err->msg, head, n);
    memcpy(err->msg + n, ": ", 2);
    return -(int)err->code;
}

const char *err_code_name(ErrCode code)
{
    static const char *const names[ERR_MAX] = {
        [ERR_NONE] = "none",
        [ERR_SYS] = "system error",
        [ERR_NOMEM] = "out of memory",
        [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not found",
        [ERR_EXISTS] = "exists",
        [ERR_CONFLICT] = "conflict",
        [ERR_DENIED] = "denied",
        [ERR_UNAUTHENTICATED] = "unauthenticated",
        [ERR_LIMIT] = "limit exceeded",
        [ERR_BUSY] = "busy",
        [ERR_TIMEOUT] = "timeout",
        [ERR_GONE] = "gone",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_PROTO] = "protocol error",
        [ERR_CORRUPT] = "corrupt",
        [ERR_CLOSED] = "closed",
    };
    return code >= 0 && code < ERR_MAX ? names[code] : "unknown";
}

void assert_failed(const char *file, int line, const char *what, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: assertion failed: %s ", file, line, what);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
