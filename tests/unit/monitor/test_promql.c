/* test_promql.c - runs all *.test of the folders given. A folder that is missing is skipped with a
 * sentence; the first must be there. */
#include <dirent.h>
#include <stdio.h>

#include "monitor/promqltest/promqltest.h"

static int run_folder(const char *path, PromqltestReport *report)
{
    DIR *dir = opendir(path);
    int files = 0;
    if (!dir)
        return -1;
    for (struct dirent *e; (e = readdir(dir));) {
        char file[4096];
        Err err = { 0 };
        if (!sv_ends(sv_cstr(e->d_name), SV(".test")))
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (promqltest_run_file(file, report, &err) < 0) {
            printf("%s\n", err.msg);
            report->failed++;
        }
        files++;
    }
    closedir(dir);
    return files;
}

int main(int argc, char **argv)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    PromqltestReport report = { .out = &out };
    for (int i = 1; i < argc; i++) {
        int files = run_folder(argv[i], &report);
        if (files > 0)
            printf("%s: %d scripts\n", argv[i], files);
        else if (i == 1)
            report.failed++;
        else
            printf("%s: no scripts there, skipped\n", argv[i]);
    }
    fwrite(buf_view(&out).ptr, 1, out.len, stdout);
    printf("%u passed, %u failed\n", report.passed, report.failed);
    return report.failed || !report.passed;
}
