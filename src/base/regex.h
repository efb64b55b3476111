/* regex.h - regular expressions in RE2 syntax: linear time, no back references. */
#pragma once

#include "base/str.h"

typedef struct Regex Regex;

/* Compiles `pattern`; `anchored` makes it match whole strings only. On failure returns NULL and
 * puts RE2's sentence into why[why_size]. Immutable: may be shared by threads. */
Regex *regex_new(StrView pattern, bool anchored, char *why, size_t why_size);
Regex *regex_free(Regex *re); /* always NULL */
bool regex_match(const Regex *re, StrView text);
/* Offsets of up to `n` groups (group 0: the whole match) as views into text; unmatched ones
 * SV_NULL. */
bool regex_groups(const Regex *re, StrView text, StrView *ret_groups, int n);
