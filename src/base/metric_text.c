/* metric_text.c - see metric_text.h. */
#include "base/metric_text.h"

#include "base/number.h"

void metric_head(Buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void text_quote_value(StrView s, Buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' || s.ptr[i] == '"')
            buf_putc(out, '\\');
        if (s.ptr[i] == '\n')
            buf_sv(out, SV("\\n"));
        else
            buf_putc(out, s.ptr[i]);
    }
    buf_putc(out, '"');
}

void metric_value(Buf *out, double v)
{
    buf_putc(out, ' ');
    double_put_g(v, out);
    buf_putc(out, '\n');
}

void metric_series(Buf *out, const char *name, StrView labels, double v)
{
    buf_sv(out, sv_cstr(name));
    if (labels.len)
        buf_printf(out, "{%.*s}", SV_FMT(labels));
    metric_value(out, v);
}

void metric_one(Buf *out, const char *name, const char *type, const char *help, double v)
{
    metric_head(out, name, type, help);
    metric_series(out, name, SV(""), v);
}
