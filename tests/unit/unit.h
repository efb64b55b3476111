/* unit.h - what every cmocka test file includes. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_sv(got, want)                                                                       \
    do {                                                                                           \
        StrView got_ = (got);                                                                      \
        if (!sv_eq(got_, sv_cstr(want)))                                                           \
            fail_msg("got '%.*s', want '%s'", SV_FMT(got_), (want));                               \
    } while (0)
