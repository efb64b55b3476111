/* layer_path.h - names of entries in a layer's tar: made safe, and whiteouts told apart. Pure
 * functions. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { LAYER_PATH_MAX = 4096 };

typedef enum LayerEntryKind {
    LAYER_ENTRY_NORMAL,
    LAYER_ENTRY_WHITEOUT, /* ".wh.NAME": NAME of lower layers is gone */
    LAYER_ENTRY_OPAQUE,   /* ".wh..wh..opq": nothing of lower layers shows in this directory */
    LAYER_ENTRY_SKIP,     /* other ".wh..wh.": bookkeeping of aufs */
} LayerEntryKind;

/* Writes `name` without leading and doubled slashes and "." parts; the root itself becomes "".
 * ERR_INVALID for "..", for a NUL byte and for parts over 255 bytes; ERR_LIMIT for length. */
int layer_path_clean(StrView name, char ret_path[static LAYER_PATH_MAX], Err *err) NODISCARD;

/* What a cleaned path stands for. For a whiteout, `path` is changed to what it hides; for an opaque
 * mark to the directory. */
int layer_path_kind(char *path, LayerEntryKind *ret_kind, Err *err) NODISCARD;
