/* common.c - see internal.h. */
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "monitor/tool/internal.h"

void tool_complain(const ToolIo *io, const char *fmt, ...)
{
    va_list ap;
    fflush(io->out);
    va_start(ap, fmt);
    vfprintf(io->err, fmt, ap);
    va_end(ap);
    fflush(io->err);
}

int tool_failed(const ToolIo *io, const Err *err)
{
    tool_complain(io, "%s\n", err->msg);
    return TOOL_FAILED;
}

static int read_stream(FILE *in, Buf *out)
{
    char chunk[16 * 1024];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0) {
        if (out->len + n > TOOL_INPUT_MAX)
            return -EFBIG;
        buf_append(out, chunk, n);
    }
    return ferror(in) ? -EIO : out->failed ? -ENOMEM : 0;
}

int tool_read(const ToolIo *io, const char *path, Buf *out, Err *err)
{
    int r = path ? file_read(AT_FDCWD, path, TOOL_INPUT_MAX, out) : read_stream(io->in, out);
    return r < 0 ? err_neg(err, r, "open %s", path ? path : "standard input") : 0;
}

static bool is_dots(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int tool_glob(const char *pattern, Arena *a, char ***ret, size_t *ret_n, Err *err)
{
    glob_t found = { 0 };
    int r = glob(pattern, GLOB_PERIOD, NULL, &found);
    *ret_n = 0;
    if (r == GLOB_NOMATCH)
        return 0;
    if (r != 0)
        return r == GLOB_NOSPACE ? err_nomem(err) : err_errno(err, "list '%s'", pattern);
    *ret = arena_array(a, char *, found.gl_pathc + 1);
    for (size_t i = 0; *ret && i < found.gl_pathc; i++) {
        if (is_dots(found.gl_pathv[i]))
            continue;
        char *path = arena_cstr(a, sv_cstr(found.gl_pathv[i]));
        if (!path)
            *ret = NULL;
        else
            (*ret)[(*ret_n)++] = path;
    }
    globfree(&found);
    return *ret ? 0 : err_nomem(err);
}

void tool_table(FILE *out, const ToolTable *t, const StrView *cells, size_t n_rows)
{
    enum { COLUMNS_MAX = 16 };
    size_t width[COLUMNS_MAX];
    ASSERT(t->n_columns <= COLUMNS_MAX);
    for (unsigned c = 0; c < t->n_columns; c++) {
        width[c] = t->min;
        for (size_t r = 0; r < n_rows; r++)
            width[c] = MAX(width[c], cells[r * t->n_columns + c].len + t->padding);
    }
    for (size_t r = 0; r < n_rows; r++) {
        for (unsigned c = 0; c < t->n_columns; c++) {
            StrView s = cells[r * t->n_columns + c];
            bool pad = t->last || c + 1 < t->n_columns;
            fprintf(out, "%.*s%*s", SV_FMT(s), pad ? (int)(width[c] - s.len) : 0, "");
        }
        fputc('\n', out);
    }
}

int tool_time(StrView text, int64_t *ret_ms, Err *err)
{
    double seconds;
    int64_t ns;
    if (sv_to_double(text, &seconds) == 0 && fabs(seconds) < 9e15) {
        *ret_ms = llround(seconds * 1000);
        return 0;
    }
    if (rfc3339_parse(text, &ns) == 0) {
        *ret_ms = ns / NSEC_PER_MSEC - (ns % NSEC_PER_MSEC < 0);
        return 0;
    }
    return err_set(err, ERR_INVALID, 0, "cannot parse \"%.*s\" to a valid timestamp", SV_FMT(text));
}

void tool_json_string(StrView s, Buf *out)
{
    _cleanup_buf_ Buf plain = BUF_INIT;
    json_encode_string(s, &plain);
    for (size_t i = 0; i < plain.len; i++) {
        char c = plain.ptr[i];
        if (c == '<' || c == '>' || c == '&')
            buf_printf(out, "\\u00%02x", c);
        else
            buf_putc(out, c);
    }
    out->failed |= plain.failed;
}

void tool_json_labels(Labels l, Buf *out)
{
    buf_putc(out, '{');
    for (unsigned i = 0; i < l.len; i++) {
        if (i)
            buf_putc(out, ',');
        tool_json_string(l.items[i].name, out);
        buf_putc(out, ':');
        tool_json_string(l.items[i].value, out);
    }
    buf_putc(out, '}');
}
