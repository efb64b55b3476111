/* glob.h - regular expressions that are made of literals, ".", ".*" and ".+" alone, as most of
 * those in selectors are, matched without the machinery for all others. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

typedef struct Glob Glob;

typedef enum GlobAnswer { GLOB_NO, GLOB_YES, GLOB_ASK } GlobAnswer;

/* In `a`; *ret NULL: the expression has other parts. False: out of memory. */
bool glob_parse(StrView regex, Arena *a, Glob **ret) NODISCARD;
/* Of the whole text. GLOB_ASK: the text is not ASCII, where "." is more than a byte; the expression
 * itself must decide. */
GlobAnswer glob_match(const Glob *g, StrView text);
