/* err.h - the error that every fallible function above `base` fills.
 *
 * An Err is a fixed buffer: filling it never allocates, so it works after clone(), when memory is
 * exhausted, and can be sent over a socket as one write. Only err_*() make the negative return
 * value, so a failure cannot be returned without a message by habit. A NULL Err is allowed
 * everywhere: the code is returned, the text is dropped. */
#pragma once

#include "base/macros.h"

typedef enum ErrCode {
    ERR_NONE = 0,
    ERR_SYS,             /* the kernel said no; `sys` holds errno */
    ERR_NOMEM,           /* out of memory, or an arena's cap was reached */
    ERR_INVALID,         /* the input is wrong */
    ERR_NOT_FOUND,       /* what was asked for is not there */
    ERR_EXISTS,          /* what should be made is there already */
    ERR_CONFLICT,        /* a precondition (revision, lock) does not hold */
    ERR_DENIED,          /* known caller, not allowed */
    ERR_UNAUTHENTICATED, /* unknown caller */
    ERR_LIMIT,           /* a named limit was exceeded */
    ERR_BUSY,            /* try again later */
    ERR_TIMEOUT,         /* a deadline passed */
    ERR_GONE,            /* a revision or resource that is no longer kept */
    ERR_UNSUPPORTED,     /* not implemented by this program or kernel */
    ERR_PROTO,           /* the peer broke its protocol */
    ERR_CORRUPT,         /* stored data is damaged */
    ERR_CLOSED,          /* the peer closed, or the operation was cancelled */
    ERR_MAX
} ErrCode;

typedef struct Err {
    ErrCode code;
    int sys; /* errno where the kernel is the cause, else 0 */
    char msg[504];
} Err;

/* Fills `err` (may be NULL) and returns -code, which is always negative. `sys` may be 0; when it
 * is not, its description is appended after a colon. The message is cut at the buffer's end. */
int err_set(Err *err, ErrCode code, int sys, const char *fmt, ...) PRINTF(4, 5);

/* err_set() with ERR_SYS and the current errno, mapped: ENOENT to ERR_NOT_FOUND, EEXIST to
 * ERR_EXISTS, ENOMEM to ERR_NOMEM, EACCES and EPERM to ERR_DENIED. */
int err_errno(Err *err, const char *fmt, ...) PRINTF(2, 3);

/* The same for a negative errno returned by a helper of `base`. */
int err_neg(Err *err, int neg_errno, const char *fmt, ...) PRINTF(3, 4);

int err_nomem(Err *err);

/* Puts "what: " in front of the message that is there, keeps the code, returns -code. */
int err_wrap(Err *err, const char *fmt, ...) PRINTF(2, 3);

static inline void err_clear(Err *err)
{
    if (err) {
        err->code = ERR_NONE;
        err->sys = 0;
        err->msg[0] = 0;
    }
}

/* The name of a code for logs and tests: "not found". Never NULL. */
const char *err_code_name(ErrCode code);
