/* pools.c - one scrape pool: its section of the configuration, and its relabelling step by step. */
#include "monitor/parts/internal.h"
#include "monitor/web/json_out.h"

static int find_job(const MonitorParts *p, StrView name, const ConfigScrape **ret, Err *err)
{
    for (unsigned i = 0; i < p->config->jobs.len; i++)
        if (sv_eq(p->config->jobs.items[i]->job_name, name)) {
            *ret = p->config->jobs.items[i];
            return 0;
        }
    _cleanup_buf_ Buf quoted = BUF_INIT;
    text_quote(name, &quoted);
    return err_set(err, ERR_NOT_FOUND, 0, "scrape pool %.*s not found", SV_FMT(buf_view(&quoted)));
}

int parts_pool_config(void *ctx, StrView pool, Buf *out, Err *err)
{
    const ConfigScrape *job;
    int r = find_job(ctx, pool, &job, err);
    return r < 0 ? r : config_scrape_format(job, out, err);
}

static void put_rule(Buf *out, const RelabelRule *r)
{
    buf_putc(out, '{');
    for (unsigned i = 0; i < r->n_source_labels; i++) {
        buf_sv(out, i ? SV(",") : SV("\"source_labels\":["));
        json_put_text(out, r->source_labels[i]);
    }
    buf_sv(out, r->n_source_labels ? SV("],\"separator\":") : SV("\"separator\":"));
    json_put_text(out, r->separator);
    buf_sv(out, SV(",\"regex\":"));
    json_put_text(out, r->regex);
    if (r->modulus) {
        buf_sv(out, SV(",\"modulus\":"));
        buf_u64(out, r->modulus);
    }
    if (r->target_label.len) {
        buf_sv(out, SV(",\"target_label\":"));
        json_put_text(out, r->target_label);
    }
    buf_sv(out, SV(",\"replacement\":"));
    json_put_text(out, r->replacement);
    buf_printf(out, ",\"action\":\"%s\"}", relabel_action_names[r->action]);
}

/* After a rule that drops the target the others are not applied, and there are no labels. */
int parts_relabel_steps(void *ctx, StrView pool, Labels labels, Buf *out, Err *err)
{
    _cleanup_arena_ Arena a;
    const ConfigScrape *job;
    LabelsBuilder b;
    bool keep = true;
    int r = find_job(ctx, pool, &job, err);
    if (r < 0)
        return r;
    arena_init(&a, 0);
    labels_builder_init(&b, &a, labels);
    buf_putc(out, '[');
    for (unsigned i = 0; i < job->relabel.len; i++) {
        Labels after = { 0 };
        keep = keep && relabel(&job->relabel.items[i], 1, &b);
        if (keep && !labels_builder_take(&b, &after))
            return err_nomem(err);
        buf_sv(out, i ? SV(",{\"rule\":") : SV("{\"rule\":"));
        put_rule(out, &job->relabel.items[i]);
        buf_sv(out, SV(",\"output\":"));
        json_put_labels(out, after);
        buf_printf(out, ",\"keep\":%s}", keep ? "true" : "false");
    }
    buf_putc(out, ']');
    return 0;
}
