/* macros.h - the few macros of the house: attributes, cleanup, ownership transfer, assertions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define NODISCARD     __attribute__((warn_unused_result))
#define IGNORABLE     /* its result need not be looked at: the header says why */
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define PUBLIC        __attribute__((visibility("default")))
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* What holds the member `m` that `p` points at. */
#define CONTAINER_OF(p, T, m) ((T *)(void *)((char *)(p)-offsetof(T, m)))

/* Hands an owned pointer or descriptor over: evaluates to the old value and leaves NULL or -1. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_ptr_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_ptr_;                                                                                 \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd_ = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        take_fd_;                                                                                  \
    })

static inline void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
static inline void freep(void *p)
{
    free(*(void **)p);
}
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_free_  _cleanup_(freep)

/* For our own bugs only, on in release builds: prints the place and the message, then aborts. */
__attribute__((noreturn)) void assert_failed(const char *file, int line, const char *what,
                                             const char *fmt, ...) PRINTF(4, 5);
#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            assert_failed(__FILE__, __LINE__, #cond, "%s", "");                                    \
    } while (0)
#define ASSERT_MSG(cond, ...)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            assert_failed(__FILE__, __LINE__, #cond, __VA_ARGS__);                                 \
    } while (0)
