/* verb_ps.c - what concerns the processes of a container together: ps, pause, resume. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "cmd/oci/verbs.h"
#include "oci/runtime/container_run.h"

enum { PS_OUTPUT_MAX = 64 * 1024 * 1024 };

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}

/* --- ps --- */

typedef struct Pids {
    pid_t *items;
    size_t len;
} Pids;

static int by_number(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

    return (x > y) - (x < y);
}

static int print_json(const Pids *pids, Err *err)
{
    if (!pids->len)
        printf("null");
    for (size_t i = 0; i < pids->len; i++)
        printf("%c%d", i ? ',' : '[', (int)pids->items[i]);
    printf("%s\n", pids->len ? "]" : "");
    return fflush(stdout) == 0 ? 0 : err_errno(err, "write");
}

/* The next word of a line of columns. */
static bool next_word(StrView *rest, StrView *ret)
{
    *rest = sv_trim(*rest);
    if (sv_empty(*rest))
        return false;
    sv_cut(*rest, ' ', ret, rest);
    return true;
}

static int find_column(StrView title, unsigned *ret, Err *err)
{
    StrView word;

    for (unsigned i = 0; next_word(&title, &word); i++)
        if (sv_eq(word, SV("PID"))) {
            *ret = i;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "couldn't find PID field in ps output");
}

static int print_lines(StrView rest, const Pids *pids, Err *err)
{
    StrView line = SV(""), word = SV("");
    unsigned column = 0;
    int r;

    sv_next(&rest, '\n', &line);
    if ((r = find_column(line, &column, err)) < 0)
        return r;
    printf("%.*s\n", SV_FMT(line));
    while (sv_next(&rest, '\n', &line)) {
        StrView words = line;
        unsigned i = 0;
        int64_t n;

        while (i <= column && next_word(&words, &word))
            i++;
        if (sv_empty(line))
            continue;
        if (i <= column || sv_to_i64(word, &n) < 0)
            return err_set(err, ERR_INVALID, 0, "unable to parse pid: '%.*s'", SV_FMT(word));
        if (bsearch(&(pid_t){ (pid_t)n }, pids->items, pids->len, sizeof(pid_t), by_number))
            printf("%.*s\n", SV_FMT(line));
    }
    return fflush(stdout) == 0 ? 0 : err_errno(err, "write");
}

static int print_table(const Pids *pids, const char *const *argv, Err *err)
{
    _cleanup_buf_ Buf out = { .limit = PS_OUTPUT_MAX };
    int status = 0, r = proc_run(argv, NULL, SV(""), 0, &out, &out, &status);

    if (r < 0)
        return err_neg(err, r, "run ps");
    if (status)
        return err_set(err, ERR_INVALID, 0, "exit status %d: %.*s", WEXITSTATUS(status),
                       SV_FMT(sv_head(buf_view(&out), 400)));
    return print_lines(buf_view(&out), pids, err);
}

/* argv: the id, and ps' own options behind it. */
static int ps(const OciGlobal *g, const char *format, int argc, char **argv, Err *err)
{
    const char **args = calloc((size_t)argc + 3, sizeof *args);
    _cleanup_(state_freep) OciState *s = NULL;
    Pids pids = { 0 };
    int r = args ? oci_state_load(g->root, argv[0], false, &s, err) : err_nomem(err);

    if (r >= 0 && s->groups && (s->status != OCI_STOPPED || oci_groups_exist(s->groups)))
        r = oci_groups_pids(s->groups, &pids.items, &pids.len, err);
    if (r >= 0 && !strcmp(format, "json")) {
        r = print_json(&pids, err);
    } else if (r >= 0 && strcmp(format, "table") != 0) {
        r = err_set(err, ERR_INVALID, 0, "invalid format option");
    } else if (r >= 0) {
        args[0] = "ps";
        args[1] = "-ef";
        for (int i = 1; i < argc; i++)
            args[i] = argv[i];
        r = print_table(&pids, args, err);
    }
    free(pids.items);
    free(args);
    return r;
}

int verb_ps(const OciGlobal *g, int argc, char **argv)
{
    const char *format = "table";
    const OciFlag flags[] = { { "format", 'f', OCI_FLAG_TEXT, &format, NULL, "table or json" } };
    const OciVerb verb = { .name = "ps",
                           .usage = "ps displays the processes running inside a container",
                           .args = "<container-id> [ps options]",
                           .args_min = 1,
                           .args_max = -1,
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags),
                           .stop_at_first = true };
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    if (oci_is_rootless(g))
        oci_say(g, OCI_LEVEL_WARNING,
                "runc ps may fail if you don't have the full access to cgroups");
    return ps(g, format, n, argv + 1, &err) < 0 ? oci_fail(g, 1, &err) : 0;
}

/* --- pause, resume --- */

static int pause_or_resume(const OciGlobal *g, const OciVerb *verb, int argc, char **argv,
                           bool paused)
{
    Err err = { 0 };
    int n, r = oci_flags_parse(g, verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    if (oci_is_rootless(g))
        oci_say(g, OCI_LEVEL_WARNING,
                "runc %s may fail if you don't have the full access to cgroups", verb->name);
    return oci_pause(g, argv[1], paused, &err) < 0 ? oci_fail(g, 1, &err) : 0;
}

int verb_pause(const OciGlobal *g, int argc, char **argv)
{
    static const OciVerb verb = { .name = "pause",
                                  .usage = "pause suspends all processes inside the container",
                                  .args = "<container-id>",
                                  .args_min = 1,
                                  .args_max = 1 };

    return pause_or_resume(g, &verb, argc, argv, true);
}

int verb_resume(const OciGlobal *g, int argc, char **argv)
{
    static const OciVerb verb = { .name = "resume",
                                  .usage = "resumes all processes that have been previously paused",
                                  .args = "<container-id>",
                                  .args_min = 1,
                                  .args_max = 1 };

    return pause_or_resume(g, &verb, argc, argv, false);
}
