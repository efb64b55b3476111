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
/* The same for the first match from byte `start` on; what is in front counts for ^ and \b. */
bool regex_groups_from(const Regex *re, StrView text, size_t start, StrView *ret_groups, int n);
/* The number of the group of that name; -1: there is none. */
int regex_group_number(const Regex *re, StrView name);
