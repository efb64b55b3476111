/* alerting.c - rules in the server: their files, the threads that evaluate them, and the way of
 * alerts to Alertmanagers. */
#include <glob.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "monitor/parts/internal.h"
#include "monitor/web/json_out.h"

/* ---- files ---- */

void parts_files_free(RuleFiles *f)
{
    vec_foreach (it, f)
        rule_file_free(*it);
    vec_free(f);
}

static bool has_file(const RuleFiles *f, const char *path)
{
    vec_foreach (it, f)
        if (sv_eq((*it)->path, sv_cstr(path)))
            return true;
    return false;
}

static int load_file(const MonitorParts *p, const char *path, RuleFiles *ret, Err *err)
{
    RuleFile *file = NULL;
    if (has_file(ret, path)) /* two patterns name it */
        return 0;
    int r = rule_file_load(path, p->opt.promql.features, NULL, &file, err);
    if (r < 0)
        return r;
    if (vec_push(ret, file))
        return 0;
    rule_file_free(file);
    return err_nomem(err);
}

static int load_pattern(const MonitorParts *p, StrView pattern, RuleFiles *ret, Err *err)
{
    glob_t found = { 0 };
    char text[PATH_MAX];
    int r = 0;
    if (!sv_copy_cstr(pattern, text, sizeof text))
        return err_set(err, ERR_LIMIT, 0, "rule_files: '%.*s' is too long", SV_FMT(pattern));
    switch (glob(text, 0, NULL, &found)) {
    case 0:
        if (found.gl_pathc > CONFIG_FILES_MAX)
            r = err_set(err, ERR_LIMIT, 0, "rule_files: '%s' names more than %d files", text,
                        CONFIG_FILES_MAX);
        for (size_t i = 0; r >= 0 && i < found.gl_pathc; i++)
            r = load_file(p, found.gl_pathv[i], ret, err);
        break;
    case GLOB_NOMATCH:
        break;
    default:
        r = err_errno(err, "rule_files: look for '%s'", text);
    }
    globfree(&found);
    return r;
}

int parts_files_load(const MonitorParts *p, const Config *c, RuleFiles *ret, Err *err)
{
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < c->rule_files.len; i++)
        r = load_pattern(p, c->rule_files.items[i], ret, err);
    if (r < 0)
        parts_files_free(ret);
    return r;
}

/* ---- from rules to Alertmanagers; on the threads that evaluate ---- */

static void on_alerts(void *ctx, StrView expr, const RuleAlert *alerts, size_t n)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf url = BUF_INIT;
    arena_init(&a, 0);
    NotifyAlert *out = arena_array(&a, NotifyAlert, n);
    buf_printf(&url, "%.*s/graph?g0.expr=", SV_FMT(p->external_url));
    query_escape(expr, &url);
    buf_sv(&url, SV("&g0.tab=1"));
    if (!out || url.failed) {
        log_error("alerts: out of memory; %zu are sent with the next evaluation", n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (NotifyAlert){
            .labels = alerts[i].labels,
            .annotations = alerts[i].annotations,
            .starts_ms = alerts[i].fired_at,
            .ends_ms = alerts[i].resolved_at ? alerts[i].resolved_at : alerts[i].valid_until,
            .generator_url = buf_view(&url),
        };
    notifier_send(p->notifier, out, n);
}

static void on_rule_failed(void *ctx, const RuleFailure *f)
{
    log_warn("rule '%.*s' of group '%.*s' in %.*s: %s", SV_FMT(f->rule), SV_FMT(f->group),
             SV_FMT(f->file), f->err->msg);
}

static void on_send_failed(void *ctx, StrView url, size_t n, const Err *why)
{
    if (url.len)
        log_error("Alertmanager %.*s: %zu alerts were not sent: %s", SV_FMT(url), n, why->msg);
    else
        log_error("discovery of Alertmanagers: %s", why->msg);
}

/* ---- the parts ---- */

static int64_t now_ms(void)
{
    return clock_real_ns() / NSEC_PER_MSEC;
}

int parts_alerting_start(MonitorParts *p, Err *err)
{
    const MonitorPartsOptions *o = &p->opt;
    const NotifierOptions n = { .queue_capacity = o->notify_capacity,
                                .batch_size = o->notify_batch,
                                .drain = o->notify_drain,
                                .discovery = { .stats = p->discovery },
                                .failed = on_send_failed,
                                .ctx = p };
    p->storage = (RulesTsdb){ .db = p->db,
                              .promql = o->promql,
                              .cancel = &p->cancel,
                              .widen = parts_remote_widen,
                              .close = parts_remote_close,
                              .ctx = p };
    const RulesOptions r = { .storage = rules_tsdb(&p->storage),
                             .helpers = o->rule_helpers,
                             .outage_tolerance = o->outage_tolerance_ms,
                             .grace_period = o->grace_period_ms ? o->grace_period_ms : -1,
                             .resend_delay = o->resend_delay_ms ? o->resend_delay_ms : -1,
                             .notify = on_alerts,
                             .failed = on_rule_failed,
                             .ctx = p };
    int e = notifier_new(p->loop, &n, &p->notifier, err);
    return e < 0 ? e : rules_new(&r, &p->rules, err);
}

int parts_alerting_run(MonitorParts *p, Err *err)
{
    return rules_start(p->rules, p->opt.rule_threads, err);
}

void parts_alerting_stop(MonitorParts *p)
{
    atomic_store(&p->cancel, true);
    rules_stop(p->rules);
    if (p->notifier)
        notifier_drain(p->notifier);
    p->notifier = notifier_free(p->notifier);
}

int parts_alerting_prepare(MonitorParts *p, Config *c, RuleFiles *files, AlertingNext *ret,
                           Err *err)
{
    const RulesGlobals g = { .interval = c->global.evaluation_interval,
                             .query_offset = c->global.rule_query_offset,
                             .external_labels = c->global.external_labels,
                             .external_url = p->external_url };
    unsigned n = (unsigned)files->len;
    files->len = 0; /* taken over, whatever happens */
    int r = rules_prepare(p->rules, &g, files->items, n, &ret->rules, err);
    vec_free(files);
    if (r >= 0)
        r = notifier_prepare(p->notifier, c, &ret->notifier, err);
    if (r < 0)
        parts_alerting_discard(ret);
    return r;
}

void parts_alerting_take(MonitorParts *p, AlertingNext *next)
{
    notifier_take(p->notifier, next->notifier);
    rules_take(p->rules, next->rules, now_ms(), false);
    *next = (AlertingNext){ 0 };
}

void parts_alerting_discard(AlertingNext *next)
{
    next->rules = rules_next_free(next->rules);
    next->notifier = notifier_next_free(next->notifier);
}

/* ---- /api/v1/alertmanagers ---- */

static void put_urls(Buf *out, const StrView *urls, size_t n)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_sv(out, i ? SV(",{\"url\":") : SV("{\"url\":"));
        json_put_text(out, urls[i]);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

void parts_alertmanagers(void *ctx, Buf *out)
{
    MonitorParts *p = ctx;
    _cleanup_arena_ Arena a;
    NotifierUrls u = { 0 };
    arena_init(&a, 0);
    if (p->notifier && notifier_urls(p->notifier, &a, &u, NULL) < 0)
        out->failed = true;
    buf_sv(out, SV("{\"activeAlertmanagers\":"));
    put_urls(out, u.active, u.n_active);
    buf_sv(out, SV(",\"droppedAlertmanagers\":"));
    put_urls(out, u.dropped, u.n_dropped);
    buf_putc(out, '}');
}
