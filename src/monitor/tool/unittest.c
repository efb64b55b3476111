/* unittest.c - `test rules`: one test file after the other. */
#include "monitor/tool/unittest.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/regex.h"
#include "monitor/tool/unittest_internal.h"

typedef struct Runner {
    const ToolIo *io;
    const UnittestOptions *opt;
    Regex *run; /* NULL: all */
    Junit junit;
    const char *path;
    TestFile file;
    char **rule_files;
    size_t n_rule_files;
    Failures failures;
} Runner;

static int add_rule_files(Runner *r, StrView pattern, Err *err)
{
    const char *slash = strrchr(r->path, '/');
    char **found = NULL;
    size_t n = 0;
    Arena *a = &r->file.arena;
    StrView full = pattern.len && pattern.ptr[0] == '/'
                       ? pattern
                       : arena_printf(a, "%.*s%.*s", slash ? (int)(slash - r->path) + 1 : 0,
                                      r->path, SV_FMT(pattern));
    const char *text = full.ptr ? arena_cstr(a, full) : NULL;
    int e = text ? tool_glob(text, a, &found, &n, err) : err_nomem(err);
    if (e < 0)
        return e;
    if (!n)
        tool_complain(r->io, "  WARNING: no file match pattern %s\n", text);
    char **grown = arena_realloc(a, r->rule_files, r->n_rule_files * sizeof *grown,
                                 (r->n_rule_files + n + 1) * sizeof *grown);
    if (!grown)
        return err_nomem(err);
    r->rule_files = grown;
    for (size_t i = 0; i < n; i++)
        grown[r->n_rule_files++] = found[i];
    return 0;
}

static int run_test(Runner *r, unsigned i, Err *err)
{
    const TestGroup *g = &r->file.tests.items[i];
    char unnamed[32];
    snprintf(unnamed, sizeof unnamed, "unnamed#%u", i);
    StrView name = g->name.len ? g->name : sv_cstr(unnamed);
    if (r->run && !regex_match(r->run, g->name))
        return 0;
    size_t before = r->failures.items.len;
    int64_t began = clock_mono_ns();
    UnitTest t = { .io = r->io,
                   .opt = r->opt,
                   .file = &r->file,
                   .group = g,
                   .rule_files = r->rule_files,
                   .n_rule_files = r->n_rule_files,
                   .failures = &r->failures };
    if (r->opt->debug)
        tool_complain(r->io, "DEBUG: Starting test %.*s\n", SV_FMT(name));
    int e = unit_test_run(&t, err);
    if (r->opt->debug) {
        char took[DURATION_SIZE];
        duration_format(clock_mono_ns() - began, took);
        tool_complain(r->io, "DEBUG: Test %.*s finished, took %s\n", SV_FMT(name), took);
    }
    size_t failed = r->failures.items.len - before;
    if (e >= 0)
        junit_case(&r->junit, name, failed ? &r->failures.items.items[before] : NULL, failed,
                   SV(""));
    return e;
}

static void stamp(Junit *j)
{
    time_t now = (time_t)(clock_real_ns() / NSEC_PER_SEC);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(j->timestamp, sizeof j->timestamp, "%Y-%m-%dT%H:%M:%S", &tm);
}

static int run_tests(Runner *r, StrView text, Err *err)
{
    int e = test_file_parse(text, r->path, TEST_FILE_MEMORY_MAX, &r->file, err);
    for (unsigned i = 0; e >= 0 && i < r->file.rule_files.len; i++)
        e = add_rule_files(r, r->file.rule_files.items[i], err);
    if (e < 0)
        return e;
    stamp(&r->junit);
    for (unsigned i = 0; e >= 0 && i < r->file.tests.len; i++)
        e = run_test(r, i, err);
    return e;
}

static int run_file(Runner *r, const char *path)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err = { 0 };
    r->path = path;
    r->rule_files = NULL;
    r->n_rule_files = 0;
    r->file = (TestFile){ 0 };
    r->failures = (Failures){ 0 };
    arena_init(&r->failures.arena, 0);
    int n = file_read(AT_FDCWD, path, TEST_FILE_MAX, &text);
    int e = n < 0 ? err_neg(&err, n, "open %s", path) : run_tests(r, buf_view(&text), &err);
    if (e < 0) {
        junit_case(&r->junit, SV("unknown"), NULL, 0, sv_cstr(err.msg));
        failures_add(&r->failures, sv_cstr(err.msg));
    }
    junit_suite(&r->junit, sv_cstr(path));
    bool failed = e < 0 || r->failures.items.len > 0;
    if (failed) {
        tool_complain(r->io, "  FAILED:\n");
        vec_foreach (f, &r->failures.items) {
            tool_complain(r->io, "%.*s\n", SV_FMT(*f));
            fputc('\n', r->io->out);
        }
    } else {
        fputs("  SUCCESS\n", r->io->out);
    }
    fputc('\n', r->io->out);
    failures_free(&r->failures);
    test_file_free(&r->file);
    return failed ? TOOL_FAILED : TOOL_OK;
}

/* All patterns as one. */
static int compile_run(Runner *r, Err *err)
{
    _cleanup_buf_ Buf pattern = BUF_INIT;
    char why[200];
    if (!r->opt->n_run)
        return 0;
    for (unsigned i = 0; i < r->opt->n_run; i++)
        buf_printf(&pattern, "%s%s", i ? "|" : "", r->opt->run[i]);
    r->run = regex_new(buf_view(&pattern), false, why, sizeof why);
    return r->run ? 0 : err_set(err, ERR_INVALID, 0, "--run: %s", why);
}

static int write_junit(Runner *r, FILE *out)
{
    int n = junit_write(&r->junit, out);
    if (fclose(out) != 0 && n == 0)
        n = -errno;
    if (n < 0)
        tool_complain(r->io, "failed to write JUnit XML: %s\n", strerror(-n));
    return n < 0 ? TOOL_FAILED : TOOL_OK;
}

int tool_test_rules(const ToolIo *io, const UnittestOptions *o, ToolFiles files)
{
    Runner r = { .io = io, .opt = o };
    Err err = { 0 };
    FILE *junit = NULL;
    int code = TOOL_OK;
    if (compile_run(&r, &err) < 0)
        return tool_failed(io, &err);
    if (o->junit && !(junit = fopen(o->junit, "we"))) {
        tool_complain(io, "--junit: open '%s': %s\n", o->junit, strerror(errno));
        regex_free(r.run);
        return TOOL_FAILED;
    }
    for (unsigned i = 0; i < files.len; i++)
        if (run_file(&r, files.items[i]) != TOOL_OK)
            code = TOOL_FAILED;
    if (junit && write_junit(&r, junit) != TOOL_OK)
        code = TOOL_FAILED;
    junit_free(&r.junit);
    regex_free(r.run);
    return code;
}
