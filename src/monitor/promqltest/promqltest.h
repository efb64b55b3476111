/* promqltest.h - runs Prometheus' test scripts (`load`, `eval`, `clear`; see its
 * promql/promqltest/README.md) against this engine and a storage in memory. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct PromqltestReport {
    unsigned passed, failed; /* evaluations; a line that cannot be read counts as a failed one */
    Buf *out;                /* may be NULL; takes "FILE:LINE: …" for each failure */
} PromqltestReport;

/* Runs one script. Returns 0 also when evaluations failed; negative only when out of memory. */
int promqltest_run(StrView script, const char *file, PromqltestReport *report, Err *err) NODISCARD;
/* Reads and runs a file. ERR_NOT_FOUND, ERR_SYS. */
int promqltest_run_file(const char *path, PromqltestReport *report, Err *err) NODISCARD;
