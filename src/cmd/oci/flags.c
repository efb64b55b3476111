/* flags.c - the command line of a verb, understood as runc's is: flags may stand behind arguments,
 * and with one dash or two. */
#include <stdio.h>
#include <string.h>

#include "cmd/oci/verbs.h"

enum { TEXTS_MAX = 4096 };

static const OciFlag *find(const OciVerb *v, StrView name)
{
    for (unsigned i = 0; i < v->flags_len; i++) {
        const OciFlag *f = &v->flags[i];

        if (sv_eq(name, sv_cstr(f->name)) ||
            (name.len == 1 && f->letter && name.ptr[0] == f->letter))
            return f;
    }
    return NULL;
}

void oci_verb_help(const OciVerb *v)
{
    printf("NAME:\n   runc %s - %s\n\nUSAGE:\n   knarr-oci %s %s%s\n", v->name, v->usage, v->name,
           v->flags_len ? "[command options] " : "", v->args);
    for (unsigned i = 0; i < v->flags_len; i++) {
        const OciFlag *f = &v->flags[i];
        const char *value = f->kind == OCI_FLAG_ON ? "" : " value";
        char left[80];

        if (f->letter)
            snprintf(left, sizeof left, "--%s%s, -%c%s", f->name, value, f->letter, value);
        else
            snprintf(left, sizeof left, "--%s%s", f->name, value);
        printf("%s   %-36s %s\n", i ? "" : "\nOPTIONS:\n", left, f->help);
    }
    fflush(stdout);
}

static int mistake(const OciGlobal *g, const OciVerb *v, const Err *err)
{
    printf("Incorrect Usage: %s\n\n", err->msg);
    oci_verb_help(v);
    return oci_fail(g, 1, err);
}

static int add_text(OciTexts *texts, const char *value, Err *err)
{
    const char **grown;

    if (texts->len == TEXTS_MAX)
        return err_set(err, ERR_LIMIT, 0, "a flag is given more than %d times", TEXTS_MAX);
    grown = calloc((size_t)texts->len + 2, sizeof *grown);
    if (!grown)
        return err_nomem(err);
    if (texts->len)
        memcpy(grown, texts->items, texts->len * sizeof *grown);
    grown[texts->len] = value;
    *texts = (OciTexts){ grown, texts->len + 1 }; /* the former list stays: it is short */
    return 0;
}

static int store(const OciFlag *f, const char *value, Err *err)
{
    uint64_t n;

    if (f->given)
        *f->given = true;
    switch (f->kind) {
    case OCI_FLAG_ON:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return err_set(err, ERR_INVALID, 0, "invalid boolean value \"%s\" for -%s", value,
                           f->name);
        *(bool *)f->target = !strcmp(value, "true");
        return 0;
    case OCI_FLAG_TEXT:
        *(const char **)f->target = value;
        return 0;
    case OCI_FLAG_NUMBER:
        if (sv_to_u64(sv_cstr(value), &n) < 0 || n > UINT32_MAX)
            return err_set(err, ERR_INVALID, 0, "invalid value \"%s\" for flag -%s: parse error",
                           value, f->name);
        *(unsigned *)f->target = (unsigned)n;
        return 0;
    case OCI_FLAG_TEXTS:
        return add_text(f->target, value, err);
    }
    return 0;
}

/* argv[*at] begins with a dash. */
static int take_flag(const OciVerb *v, int argc, char **argv, int *at, Err *err)
{
    const char *arg = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    StrView name, value;
    bool has_value = sv_cut(sv_cstr(arg), '=', &name, &value);
    const OciFlag *f = find(v, name);

    if (!f)
        return err_set(err, ERR_INVALID, 0, "flag provided but not defined: -%.*s", SV_FMT(name));
    if (has_value)
        return store(f, value.ptr, err);
    if (f->kind == OCI_FLAG_ON)
        return store(f, "true", err);
    if (*at + 1 >= argc)
        return err_set(err, ERR_INVALID, 0, "flag needs an argument: -%.*s", SV_FMT(name));
    return store(f, argv[++*at], err);
}

static int check_count(const OciGlobal *g, const OciVerb *v, int n)
{
    Err err;
    bool exact = v->args_min == v->args_max;

    if (n >= v->args_min && (v->args_max < 0 || n <= v->args_max))
        return OCI_FLAGS_OK;
    err_set(&err, ERR_INVALID, 0, "knarr-oci: \"%s\" requires %s %d argument(s)", v->name,
            exact             ? "exactly"
            : n < v->args_min ? "a minimum of"
                              : "a maximum of",
            n < v->args_min ? v->args_min : v->args_max);
    printf("Incorrect Usage.\n\n");
    oci_verb_help(v);
    return oci_fail(g, 1, &err);
}

int oci_flags_parse(const OciGlobal *g, const OciVerb *v, int argc, char **argv, int *ret_argc)
{
    bool no_more = false;
    int n = 0;
    Err err;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];

        if (no_more || arg[0] != '-' || !arg[1]) {
            argv[++n] = argv[i];
            no_more = no_more || v->stop_at_first;
        } else if (!strcmp(arg, "--")) {
            no_more = true;
        } else if (!strcmp(arg, "--help") || !strcmp(arg, "-help") || !strcmp(arg, "-h")) {
            oci_verb_help(v);
            return 0;
        } else if (take_flag(v, argc, argv, &i, &err) < 0) {
            return mistake(g, v, &err);
        }
    }
    *ret_argc = n;
    return check_count(g, v, n);
}

int oci_globals_parse(const OciVerb *v, int argc, char **argv, Err *err)
{
    int i = 1, r;

    for (; i < argc && argv[i][0] == '-'; i++)
        if ((r = take_flag(v, argc, argv, &i, err)) < 0)
            return r;
    return i;
}
