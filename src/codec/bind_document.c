/* bind_document.c - the YAML documents that bind.h reads; apart, so that what reads JSON alone is
 * not linked with libyaml. */
#include "codec/bind.h"
#include "codec/yaml.h"

typedef struct Twice {
    bool found;
    char path[200];
} Twice;

static void on_duplicate(void *ctx, StrView path)
{
    Twice *t = ctx;
    if (!t->found && !sv_copy_cstr(path, t->path, sizeof t->path))
        sv_copy_cstr(SV("a key"), t->path, sizeof t->path);
    t->found = true;
}

int bind_document(StrView text, const char *name, Arena *a, Value *ret, Err *err)
{
    Twice twice = { 0 };
    JsonOptions opt = { .plain_text = true, .on_duplicate = on_duplicate, .ctx = &twice };
    int r = yaml_decode(text, a, &opt, ret, NULL, err);

    if (r < 0)
        return err_wrap(err, "%s", name);
    if (twice.found)
        return err_set(err, ERR_INVALID, 0, "%s: %s: field already set", name, twice.path);
    return 0;
}
