/* junit.c - test results as JUnit's XML, with the elements and escapes that promtool writes. */
#include <errno.h>

#include "monitor/tool/unittest_internal.h"

static void put_escaped(Buf *out, StrView s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const char *name = c == '"'                 ? "&#34;"
                           : c == '\''              ? "&#39;"
                           : c == '&'               ? "&amp;"
                           : c == '<'               ? "&lt;"
                           : c == '>'               ? "&gt;"
                           : c == '\t'              ? "&#x9;"
                           : c == '\n'              ? "&#xA;"
                           : c == '\r'              ? "&#xD;"
                           : (unsigned char)c < ' ' ? "\xef\xbf\xbd"
                                                    : NULL;
        if (name)
            buf_sv(out, sv_cstr(name));
        else
            buf_putc(out, c);
    }
}

static void element(Buf *out, const char *name, StrView text)
{
    buf_printf(out, "<%s>", name);
    put_escaped(out, text);
    buf_printf(out, "</%s>", name);
}

void junit_case(Junit *j, StrView name, const StrView *failures, size_t n, StrView error)
{
    buf_sv(&j->cases, SV("<testcase name=\""));
    put_escaped(&j->cases, name);
    buf_sv(&j->cases, SV("\">"));
    for (size_t i = 0; i < n; i++)
        element(&j->cases, "failure", failures[i]);
    if (error.len)
        element(&j->cases, "error", error);
    buf_sv(&j->cases, SV("</testcase>"));
    j->tests++;
    j->failures += (unsigned)n;
    j->errors += error.len > 0;
}

void junit_suite(Junit *j, StrView name)
{
    buf_sv(&j->text, SV("<testsuite name=\""));
    put_escaped(&j->text, name);
    buf_printf(&j->text,
               "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"0\" timestamp=\"%s\">",
               j->tests, j->failures, j->errors, j->timestamp);
    buf_sv(&j->text, buf_view(&j->cases));
    buf_sv(&j->text, SV("</testsuite>"));
    j->text.failed |= j->cases.failed;
    buf_clear(&j->cases);
    j->tests = j->failures = j->errors = 0;
    j->timestamp[0] = 0;
}

int junit_write(Junit *j, FILE *out)
{
    if (j->text.failed)
        return -ENOMEM;
    fprintf(out, "<testsuites>%.*s</testsuites>", SV_FMT(buf_view(&j->text)));
    return fflush(out) == 0 ? 0 : -errno;
}

void junit_free(Junit *j)
{
    buf_free(&j->text);
    buf_free(&j->cases);
}
