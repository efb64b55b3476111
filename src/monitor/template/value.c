/* value.c - what template values print as, and when they are true. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "monitor/model/number.h"
#include "monitor/template/internal.h"

const char *tmpl_type_name(const TmplVal *v)
{
    static const char *const names[] = {
        [TMPL_NIL] = "<nil>",
        [TMPL_BOOL] = "bool",
        [TMPL_INT] = "int",
        [TMPL_FLOAT] = "float64",
        [TMPL_STRING] = "string",
        [TMPL_LABELS] = "map[string]string",
        [TMPL_ARGS] = "map[string]interface {}",
        [TMPL_SAMPLE] = "*template.sample",
        [TMPL_VECTOR] = "template.queryResult",
        [TMPL_HISTOGRAM] = "*histogram.FloatHistogram",
        [TMPL_TIME] = "*time.Time",
        [TMPL_DURATION] = "*time.Duration",
        [TMPL_MONTH] = "time.Month",
        [TMPL_WEEKDAY] = "time.Weekday",
        [TMPL_DATA] = "struct",
    };
    return names[v->kind];
}

bool tmpl_true(const TmplVal *v)
{
    switch (v->kind) {
    case TMPL_NIL:
        return false;
    case TMPL_BOOL:
        return v->b;
    case TMPL_INT:
    case TMPL_MONTH:
    case TMPL_WEEKDAY:
        return v->i != 0;
    case TMPL_FLOAT:
        return v->f != 0;
    case TMPL_STRING:
        return v->s.len > 0;
    case TMPL_LABELS:
        return v->labels.len > 0;
    case TMPL_ARGS:
    case TMPL_VECTOR:
        return v->n > 0;
    default:
        return true;
    }
}

static void print_map(const TmplVal *v, Buf *out)
{
    buf_sv(out, SV("map["));
    for (unsigned i = 0; v->kind == TMPL_LABELS && i < v->labels.len; i++) {
        const Label *l = &v->labels.items[i];
        buf_printf(out, "%s%.*s:%.*s", i ? " " : "", SV_FMT(l->name), SV_FMT(l->value));
    }
    for (unsigned i = 0; v->kind == TMPL_ARGS && i < v->n; i++) {
        buf_printf(out, "%sarg%u:", i ? " " : "", i);
        tmpl_print(&v->args[i], out);
    }
    buf_putc(out, ']');
}

void tmpl_print(const TmplVal *v, Buf *out)
{
    char text[DURATION_SIZE];
    switch (v->kind) {
    case TMPL_NIL:
        buf_sv(out, SV("<no value>"));
        break;
    case TMPL_BOOL:
        buf_sv(out, v->b ? SV("true") : SV("false"));
        break;
    case TMPL_INT:
        buf_i64(out, v->i);
        break;
    case TMPL_FLOAT:
        double_format_g(v->f, out);
        break;
    case TMPL_STRING:
        buf_sv(out, v->s);
        break;
    case TMPL_LABELS:
    case TMPL_ARGS:
        print_map(v, out);
        break;
    case TMPL_SAMPLE:
    case TMPL_VECTOR: /* Go prints addresses; labels and values say more */
        for (unsigned i = 0; i < v->n; i++) {
            buf_sv(out, i ? SV(" ") : SV("["));
            labels_format(v->samples[i].labels, out);
            buf_putc(out, ' ');
            double_format_g(v->samples[i].value, out);
        }
        buf_sv(out, v->n ? SV("]") : SV("[]"));
        break;
    case TMPL_HISTOGRAM:
        histogram_format(v->h, out);
        break;
    case TMPL_TIME:
        tmpl_time_format(v->i, SV(TMPL_TIME_STRING), out);
        break;
    case TMPL_DURATION:
        buf_append(out, text, duration_format(v->i, text));
        break;
    case TMPL_MONTH:
        buf_sv(out, tmpl_month_name(v->i));
        break;
    case TMPL_WEEKDAY:
        buf_sv(out, tmpl_weekday_name(v->i));
        break;
    case TMPL_DATA:
        buf_sv(out, SV("{}"));
        break;
    }
}
