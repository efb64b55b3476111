/* layer_path.c - see layer_path.h; the marks are those of the OCI image specification, layer.md. */
#include "image/layer_path.h"

#include <limits.h>

int layer_path_clean(StrView name, char ret_path[static LAYER_PATH_MAX], Err *err)
{
    StrView rest = name, part;
    size_t n = 0;

    if (name.len >= LAYER_PATH_MAX)
        return err_set(err, ERR_LIMIT, 0, "a path in the layer is longer than %d bytes: '%.*s…'",
                       LAYER_PATH_MAX - 1, SV_FMT(sv_head(name, 80)));
    if (sv_find_char(name, 0) >= 0)
        return err_set(err, ERR_INVALID, 0, "a path in the layer holds a NUL byte");
    while (sv_next(&rest, '/', &part)) {
        if (sv_empty(part) || sv_eq(part, SV(".")))
            continue;
        if (sv_eq(part, SV("..")))
            return err_set(err, ERR_INVALID, 0, "path '%.*s' leads out of the layer",
                           SV_FMT(sv_head(name, 200)));
        if (part.len > NAME_MAX)
            return err_set(err, ERR_INVALID, 0, "a file name in the layer is longer than %d bytes",
                           NAME_MAX);
        if (n)
            ret_path[n++] = '/';
        memcpy(ret_path + n, part.ptr, part.len);
        n += part.len;
    }
    ret_path[n] = 0;
    return 0;
}

int layer_path_kind(char *path, LayerEntryKind *ret_kind, Err *err)
{
    char *slash = strrchr(path, '/');
    char *base = slash ? slash + 1 : path;

    *ret_kind = LAYER_ENTRY_NORMAL;
    if (strncmp(base, ".wh.", 4) != 0)
        return 0;
    if (!strcmp(base, ".wh..wh..opq")) {
        *(slash ? slash : path) = 0;
        *ret_kind = LAYER_ENTRY_OPAQUE;
        return 0;
    }
    if (!strncmp(base, ".wh..wh.", 8)) {
        *ret_kind = LAYER_ENTRY_SKIP;
        return 0;
    }
    if (!base[4] || !strcmp(base + 4, ".") || !strcmp(base + 4, ".."))
        return err_set(err, ERR_INVALID, 0, "whiteout '%s' hides no name", path);
    memmove(base, base + 4, strlen(base + 4) + 1);
    *ret_kind = LAYER_ENTRY_WHITEOUT;
    return 0;
}
