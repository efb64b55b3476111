/* flags.c - see flags.h. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cmd/flags.h"

enum { HELP_COLUMN = 30 };

static void print_usage(const FlagSet *set, FILE *out)
{
    fprintf(out, "usage: %s", set->program);
    bool optional = false;
    for (unsigned i = 0; i < set->len; i++) {
        if (set->flags[i].needed)
            fprintf(out, " --%s %s", set->flags[i].name, set->flags[i].value);
        else
            optional = true;
    }
    fprintf(out, "%s%s%s\n\n%s\n\n", optional ? " [flags]" : "", set->args ? " " : "",
            set->args ? set->args : "", set->about);
    for (unsigned i = 0; i < set->len; i++) {
        const Flag *f = &set->flags[i];
        if (!f->help)
            continue;
        char letter[] = { '-', f->letter, ',', ' ', 0 };
        int n = fprintf(out, "  %s--%s%s%s", f->letter ? letter : "", f->name, f->value ? " " : "",
                        f->value ? f->value : "");
        if (n >= HELP_COLUMN)
            n = (fputc('\n', out), 0);
        fprintf(out, "%*s%s\n", HELP_COLUMN - n, "", f->help);
    }
}

static const Flag *find(const FlagSet *set, StrView name)
{
    for (unsigned i = 0; i < set->len; i++)
        if (sv_eq(name, sv_cstr(set->flags[i].name)))
            return &set->flags[i];
    return NULL;
}

static int mistake(const FlagSet *set, const char *name, const char *why)
{
    fprintf(stderr, "%s: %s: %s; see `%s --help`\n", set->program, name, why, set->program);
    return 2;
}

/* Whole numbers, and such as 5e7. */
static int number_parse(const char *value, uint64_t *ret)
{
    double d;
    if (sv_to_u64(sv_cstr(value), ret) == 0)
        return 0;
    if (sv_to_double(sv_cstr(value), &d) < 0 || !(d >= 0 && d < 9007199254740992.0) ||
        d != (double)(uint64_t)d)
        return -EINVAL;
    *ret = (uint64_t)d;
    return 0;
}

static int take_text(const FlagSet *set, const Flag *f, const char *arg, const char *value)
{
    FlagTexts *t = f->target;
    if (!t->given)
        t->len = 0;
    t->given = true;
    if (t->len == FLAG_TEXTS_MAX)
        return mistake(set, arg, "is given too often");
    t->items[t->len++] = value;
    return FLAGS_OK;
}

static int take_amount(const FlagSet *set, const Flag *f, const char *arg, const char *value)
{
    FlagAmount *a = f->target;
    char why[160];
    if (f->parse(sv_cstr(value), &a->value) < 0) {
        snprintf(why, sizeof why, "'%.64s' is no %s", value, f->value);
        return mistake(set, arg, why);
    }
    a->text = value;
    return FLAGS_OK;
}

void flag_format(const Flag *f, Buf *out)
{
    switch (f->kind) {
    case FLAG_TEXT:
        buf_sv(out, sv_cstr(*(const char **)f->target));
        return;
    case FLAG_PORT:
        buf_u64(out, *(uint16_t *)f->target);
        return;
    case FLAG_ON:
        buf_sv(out, *(bool *)f->target ? SV("true") : SV("false"));
        return;
    case FLAG_NUMBER:
        buf_u64(out, *(uint64_t *)f->target);
        return;
    case FLAG_AMOUNT:
        buf_sv(out, sv_cstr(((FlagAmount *)f->target)->text));
        return;
    case FLAG_TEXTS: {
        const FlagTexts *t = f->target;
        for (unsigned i = 0; i < t->len; i++)
            buf_printf(out, "%s%s", i ? "," : "", t->items[i]);
        return;
    }
    case FLAG_KIND_MAX:
        break;
    }
    assert_failed(__FILE__, __LINE__, "kind", "flag %s has kind %d", f->name, (int)f->kind);
}

static int take_value(const FlagSet *set, const Flag *f, const char *arg, const char *value)
{
    uint64_t n;
    char why[160];
    switch (f->kind) {
    case FLAG_TEXT:
        *(const char **)f->target = value;
        return FLAGS_OK;
    case FLAG_PORT:
        if (sv_to_u64(sv_cstr(value), &n) < 0 || n < 1 || n > 65535) {
            snprintf(why, sizeof why, "'%.64s' is no port; expected 1-65535", value);
            return mistake(set, arg, why);
        }
        *(uint16_t *)f->target = (uint16_t)n;
        return FLAGS_OK;
    case FLAG_ON:
        if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
            snprintf(why, sizeof why, "'%.64s' is neither true nor false", value);
            return mistake(set, arg, why);
        }
        *(bool *)f->target = !value || strcmp(value, "true") == 0;
        return FLAGS_OK;
    case FLAG_TEXTS:
        return take_text(set, f, arg, value);
    case FLAG_NUMBER:
        if (number_parse(value, &n) < 0) {
            snprintf(why, sizeof why, "'%.64s' is not a whole number", value);
            return mistake(set, arg, why);
        }
        *(uint64_t *)f->target = n;
        return FLAGS_OK;
    case FLAG_AMOUNT:
        return take_amount(set, f, arg, value);
    case FLAG_KIND_MAX:
        break;
    }
    assert_failed(__FILE__, __LINE__, "kind", "flag %s has kind %d", f->name, (int)f->kind);
}

/* One flag at argv[i]; *ret_used is how many arguments it took. */
static int take_flag(const FlagSet *set, int argc, char **argv, int i, int *ret_used)
{
    StrView text = sv_skip(sv_cstr(argv[i]), 2), name, value;
    bool has_value = sv_cut(text, '=', &name, &value);
    char shown[72];
    snprintf(shown, sizeof shown, "--%.*s", (int)MIN(name.len, (size_t)64), name.ptr);
    *ret_used = 1;
    const Flag *f = find(set, name);
    const Flag *off =
        !f && !has_value && sv_starts(name, SV("no-")) ? find(set, sv_skip(name, 3)) : NULL;
    if (off && off->kind == FLAG_ON) {
        *(bool *)off->target = false;
        return FLAGS_OK;
    }
    if (!f)
        return mistake(set, shown, "no such flag");
    if (has_value || f->kind == FLAG_ON)
        return take_value(set, f, shown, has_value ? value.ptr : NULL);
    if (i + 1 >= argc)
        return mistake(set, shown, "needs a value");
    *ret_used = 2;
    return take_value(set, f, shown, argv[i + 1]);
}

/* "-r", "-o json", "-ojson". */
static int take_letter(const FlagSet *set, int argc, char **argv, int i, int *ret_used)
{
    const char *arg = argv[i];
    *ret_used = 1;
    for (unsigned k = 0; k < set->len; k++) {
        const Flag *f = &set->flags[k];
        if (!f->letter || f->letter != arg[1])
            continue;
        if (f->kind == FLAG_ON)
            return arg[2] ? mistake(set, arg, "no such flag") : take_value(set, f, arg, NULL);
        if (arg[2])
            return take_value(set, f, arg, arg + 2);
        if (i + 1 >= argc)
            return mistake(set, arg, "needs a value");
        *ret_used = 2;
        return take_value(set, f, arg, argv[i + 1]);
    }
    return mistake(set, arg, "no such flag");
}

int flags_parse(const FlagSet *set, int argc, char **argv, int *ret_rest)
{
    int rest = 0;
    bool ended = false;
    for (int i = 1, used; i < argc; i += used) {
        const char *arg = argv[i];
        used = 1;
        if (!ended && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            print_usage(set, stdout);
            return 0;
        }
        if (!ended && strcmp(arg, "--") == 0) {
            ended = true;
        } else if (!ended && arg[0] == '-' && arg[1] == '-') {
            int r = take_flag(set, argc, argv, i, &used);
            if (r != FLAGS_OK)
                return r;
        } else if (!ended && arg[0] == '-' && arg[1]) {
            int r = take_letter(set, argc, argv, i, &used);
            if (r != FLAGS_OK)
                return r;
        } else if (!set->args) {
            return mistake(set, arg, "unexpected argument");
        } else {
            argv[1 + rest++] = argv[i];
        }
    }
    for (unsigned i = 0; i < set->len; i++)
        if (set->flags[i].needed && !*(const char **)set->flags[i].target) {
            fprintf(stderr, "%s: --%s is needed; see `%s --help`\n", set->program,
                    set->flags[i].name, set->program);
            return 2;
        }
    if (ret_rest)
        *ret_rest = rest;
    return FLAGS_OK;
}

bool flags_caller_is_root(const char *program)
{
    if (geteuid() == 0)
        return true;
    fprintf(stderr, "%s: must be run as root; try `sudo %s`\n", program, program);
    return false;
}
