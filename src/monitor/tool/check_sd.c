/* check_sd.c - `promtool check service-discovery`: what a job's discovery finds in some time, and
 * what relabelling makes of it. */
#include "base/map.h"
#include "base/vec.h"
#include "monitor/discovery/discovery.h"
#include "monitor/scrape/scrape.h"
#include "monitor/tool/check_internal.h"

enum { TEXTS_MAX = 1 << 30 };

typedef struct SdCheck {
    Loop *loop;
    const ConfigScrape *job;
    Arena texts;
    Map seen; /* what was found: each once */
    VEC(StrView) found;
    Err err;
} SdCheck;

static void put_member(Buf *out, const char *name, Labels l, bool more)
{
    buf_printf(out, "    \"%s\": {%s", name, l.len ? "\n" : "");
    for (unsigned i = 0; i < l.len; i++) {
        buf_sv(out, SV("      "));
        tool_json_string(l.items[i].name, out);
        buf_sv(out, SV(": "));
        tool_json_string(l.items[i].value, out);
        buf_sv(out, i + 1 < l.len ? SV(",\n") : SV("\n    "));
    }
    buf_sv(out, more ? SV("},\n") : SV("}\n"));
}

static int put_target(SdCheck *c, Labels target, Labels group, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_arena_ Arena a;
    Labels discovered, labels;
    Err why = { 0 };
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    int r = scrape_target_labels(c->job, target, group, &a, &discovered, &labels, &why);
    if (r == -ERR_NOMEM)
        return err_nomem(err);
    buf_sv(&out, SV("  {\n"));
    put_member(&out, "discoveredLabels", discovered, true);
    put_member(&out, "labels", labels, r < 0);
    if (r < 0) {
        buf_sv(&out, SV("    \"error\": "));
        tool_json_string(sv_cstr(why.msg), &out);
        buf_putc(&out, '\n');
    }
    buf_sv(&out, SV("  }"));
    if (out.failed)
        return err_nomem(err);
    if (map_has(&c->seen, buf_view(&out)))
        return 0;
    StrView text = arena_sv(&c->texts, buf_view(&out));
    if (!text.ptr || !map_set(&c->seen, text, c, NULL) || !vec_push(&c->found, text))
        return err_nomem(err);
    return 0;
}

static void on_groups(void *ctx, const TargetGroup *groups, size_t n)
{
    SdCheck *c = ctx;
    int r = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; r == 0 && k < groups[i].n_targets; k++)
            r = put_target(c, groups[i].targets[k], groups[i].labels, &c->err);
    if (r < 0)
        loop_stop(c->loop);
}

static void on_timeout(void *ctx)
{
    loop_stop(ctx);
}

static int discover(SdCheck *c, int64_t timeout_ms, Err *err)
{
    Discovery *d = NULL;
    Source *timer = NULL;
    int r = loop_new(&c->loop, err);
    if (r < 0)
        return r;
    r = loop_add_timer(c->loop, (uint64_t)timeout_ms, 0, on_timeout, c->loop, &timer, err);
    if (r == 0)
        r = discovery_start(c->loop, &c->job->sd, NULL, on_groups, c, &d, err);
    if (r == 0)
        r = loop_run(c->loop, err);
    if (r == 0 && c->err.code) {
        *err = c->err;
        r = -(int)c->err.code;
    }
    if (r == 0 && !c->found.len && discovery_last_error(d)->code) {
        *err = *discovery_last_error(d);
        r = -(int)err->code;
    }
    discovery_stop(d);
    source_free(timer);
    loop_free(c->loop);
    return r;
}

static const ConfigScrape *find_job(const ToolIo *io, const Config *config, const char *name)
{
    for (unsigned i = 0; i < config->jobs.len; i++)
        if (sv_eq(config->jobs.items[i]->job_name, sv_cstr(name)))
            return config->jobs.items[i];
    tool_complain(io, "Job %s not found. Select one of:\n", name);
    for (unsigned i = 0; i < config->jobs.len; i++)
        tool_complain(io, "\t%.*s\n", SV_FMT(config->jobs.items[i]->job_name));
    return NULL;
}

int tool_check_service_discovery(const ToolIo *io, const char *file, const char *job,
                                 int64_t timeout_ms)
{
    SdCheck c = { 0 };
    Config *config = NULL;
    Err err = { 0 };
    int r = config_load(file, &(ConfigOptions){ 0 }, &config, &err);
    if (r < 0) {
        tool_complain(io, "Cannot load config %s\n", err.msg);
        return TOOL_FAILED;
    }
    arena_init(&c.texts, TEXTS_MAX);
    c.job = find_job(io, config, job);
    if (c.job && (r = discover(&c, timeout_ms, &err)) == 0) {
        fputc('[', io->out);
        for (size_t i = 0; i < c.found.len; i++)
            fprintf(io->out, "%s\n%.*s", i ? "," : "", SV_FMT(c.found.items[i]));
        fputs(c.found.len ? "\n]" : "]", io->out);
    }
    int code = !c.job ? TOOL_FAILED : r < 0 ? tool_failed(io, &err) : TOOL_OK;
    map_free(&c.seen);
    vec_free(&c.found);
    arena_free(&c.texts);
    config_unref(config);
    return code;
}
