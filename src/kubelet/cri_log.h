/* cri_log.h - reads log files in the CRI's format: "TIME stdout|stderr F|P text". */
#pragma once

#include "base/buf.h"

typedef struct CriLine {
    StrView time; /* as written */
    int64_t ns;
    bool is_stderr;
    bool partial; /* the text goes on in the next line */
    StrView text;
} CriLine;

/* One line without its newline. False when it is not of the format. */
bool cri_line_parse(StrView line, CriLine *ret);

typedef struct CriFilter {
    int64_t since_ns; /* older lines are left out; 0: none */
    int64_t limit;    /* bytes of output; -1: no limit */
    bool timestamps;
    bool no_stdout, no_stderr;
    bool in_line; /* state: a partial line was written last */
    bool done;    /* state: the limit is reached */
} CriFilter;

/* Appends the text of all whole lines of `data` that pass, and returns how many bytes of `data`
 * were used: what is left is the beginning of a line. Lines that are not of the format are left
 * out. */
size_t cri_filter(CriFilter *f, StrView data, Buf *out);

/* Where the last n lines of a file begin, in bytes; a negative errno on failure. */
int64_t cri_tail_offset(int fd, uint64_t n);
