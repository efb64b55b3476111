/* delta.h - a text as what it differs from another in: pieces of the other one, and what is new.
 * For versions of one object, which have most of their bytes in common. */
#pragma once

#include "base/buf.h"

/* Appends what makes `to` out of `from`. False, and nothing appended, when that takes more than
 * `max` bytes, or without memory. Linear in both texts. */
bool delta_encode(StrView from, StrView to, size_t max, Buf *out) NODISCARD;
/* Writes the text, which has `len` bytes. False: `delta` does not lead from `from` to so many. */
bool delta_apply(StrView from, StrView delta, char *to, size_t len) NODISCARD;
