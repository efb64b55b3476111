/* knarr_promtool_rules.c - `knarr promtool check rules FILE…`, with promtool's words and codes. */
#include <stdio.h>

#include "cmd/knarr_promtool.h"
#include "monitor/rules/rulefile.h"

int promtool_check_rules(int argc, char **argv)
{
    bool failed = false;
    for (int i = 0; i < argc; i++) {
        _cleanup_buf_ Buf problems = BUF_INIT;
        RuleFile *f = NULL;
        unsigned n = 0;
        printf("Checking %s\n", argv[i]);
        fflush(stdout);
        if (rule_file_load(argv[i], 0, &problems, &f, NULL) < 0) {
            fprintf(stderr, "  FAILED:\n%.*s", SV_FMT(buf_view(&problems)));
            failed = true;
            continue;
        }
        for (unsigned g = 0; g < f->n; g++)
            n += f->groups[g].n;
        printf("  SUCCESS: %u rules found\n\n", n);
        rule_file_free(f);
    }
    return failed ? 1 : 0;
}
