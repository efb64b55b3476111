/* check_config.c - configurations, and what they name: rule files, credentials, certificates, files
 * with targets. Targets that stand in the configuration or in such files go through relabelling, as
 * they would in a server. */
#include <errno.h>

#include "monitor/discovery/discovery.h"
#include "monitor/model/duration.h"
#include "monitor/scrape/scrape.h"
#include "monitor/tool/check_internal.h"

typedef struct ConfigCheck {
    const ToolIo *io;
    const CheckOptions *opt;
    const Config *config;
    Arena arena;
    char **rule_files;
    size_t n_rule_files;
    Err *err;
} ConfigCheck;

/* `what` ends in a file's name in quotes. */
static int must_exist(ConfigCheck *c, StrView path, const char *what)
{
    if (!path.len)
        return 0;
    const char *name = arena_cstr(&c->arena, path);
    if (!name)
        return err_nomem(c->err);
    if (access(name, F_OK) == 0)
        return 0;
    return err_set(c->err, ERR_NOT_FOUND, errno, "error checking %s \"%s\": stat %s", what, name,
                   name);
}

static int check_tls_files(ConfigCheck *c, const FetchTls *t)
{
    if (t->cert_file.len && !t->key_file.len && !t->key.len)
        return err_set(c->err, ERR_INVALID, 0,
                       "client cert file \"%.*s\" specified without client key file",
                       SV_FMT(t->cert_file));
    if (t->key_file.len && !t->cert_file.len && !t->cert.len)
        return err_set(c->err, ERR_INVALID, 0,
                       "client key file \"%.*s\" specified without client cert file",
                       SV_FMT(t->key_file));
    if (c->opt->syntax_only)
        return 0;
    int r = must_exist(c, t->cert_file, "client cert file");
    return r < 0 ? r : must_exist(c, t->key_file, "client key file");
}

/* ---- rule files ---- */

static int find_rule_files(ConfigCheck *c, StrView pattern)
{
    char **found = NULL;
    size_t n = 0;
    const char *text = arena_cstr(&c->arena, pattern);
    int r = text ? tool_glob(text, &c->arena, &found, &n, c->err) : err_nomem(c->err);
    if (r < 0)
        return r;
    if (!n && sv_find_char(pattern, '*') < 0)
        return err_set(c->err, ERR_NOT_FOUND, 0, "\"%s\" does not point to an existing file", text);
    char **grown = arena_realloc(&c->arena, c->rule_files, c->n_rule_files * sizeof *grown,
                                 (c->n_rule_files + n + 1) * sizeof *grown);
    if (!grown)
        return err_nomem(c->err);
    c->rule_files = grown;
    for (size_t i = 0; i < n; i++)
        c->rule_files[c->n_rule_files++] = found[i];
    return 0;
}

/* ---- targets ---- */

/* Exactly one of the two is set. */
typedef struct TargetOwner {
    const ConfigScrape *job;
    const ConfigAlertmanager *manager;
} TargetOwner;

static int check_manager(ConfigCheck *c, const ConfigAlertmanager *am, Labels target, Labels group)
{
    LabelsBuilder b;
    labels_builder_init(&b, &c->arena, group);
    for (unsigned i = 0; i < target.len; i++)
        labels_builder_set(&b, target.items[i].name, target.items[i].value);
    labels_builder_set(&b, SV("__scheme__"), am->scheme);
    labels_builder_set(&b, SV("__alerts_path__"), am->path_prefix);
    bool keep = relabel(am->relabel.items, am->relabel.len, &b);
    if (b.failed)
        return err_nomem(c->err);
    StrView address = labels_builder_get(&b, SV("__address__"));
    if (keep && sv_find_char(address, '/') >= 0)
        return err_set(c->err, ERR_INVALID, 0, "\"%.*s\" is not a valid hostname", SV_FMT(address));
    return 0;
}

static int check_target(ConfigCheck *c, const TargetOwner *o, Labels target, Labels group)
{
    return o->job ? scrape_check_target(o->job, target, group, c->err)
                  : check_manager(c, o->manager, target, group);
}

static int check_static(ConfigCheck *c, const TargetOwner *o, const ConfigStatic *s)
{
    for (unsigned i = 0; i < s->targets.len; i++) {
        Label address = { SV("__address__"), s->targets.items[i] };
        int r = check_target(c, o, (Labels){ &address, 1 }, s->labels);
        if (r < 0)
            return o->job ? err_wrap(c->err, "instance %u in group", i) : r;
    }
    return 0;
}

static bool has_file_extension(const char *path)
{
    static const char *const known[] = { ".json", ".yml", ".yaml" };
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        size_t n = strlen(known[i]), len = strlen(path);
        if (len >= n && sv_eq_nocase(sv_cstr(path + len - n), sv_cstr(known[i])))
            return true;
    }
    return false;
}

static int check_file(ConfigCheck *c, const TargetOwner *o, StrView pattern, const char *path)
{
    TargetGroup *groups = NULL;
    size_t n = 0;
    const char *dot = strrchr(path, '.');
    int r = has_file_extension(path)
                ? discovery_read_file(path, &c->arena, &groups, &n, c->err)
                : err_set(c->err, ERR_INVALID, 0, "invalid file extension: \"%s\"", dot ? dot : "");
    if (r < 0)
        return err_wrap(c->err, "checking SD file \"%.*s\"", SV_FMT(pattern));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < groups[i].n_targets; k++)
            if ((r = check_target(c, o, groups[i].targets[k], groups[i].labels)) < 0)
                return r;
    return 0;
}

static int check_file_pattern(ConfigCheck *c, const TargetOwner *o, StrView pattern)
{
    char **found = NULL;
    size_t n = 0;
    const char *text = arena_cstr(&c->arena, pattern);
    int r = text ? tool_glob(text, &c->arena, &found, &n, c->err) : err_nomem(c->err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = check_file(c, o, pattern, found[i]);
    if (r < 0 || n)
        return r;
    if (o->job)
        fprintf(c->io->out,
                "  WARNING: file \"%s\" for file_sd in scrape job \"%.*s\" does not exist\n", text,
                SV_FMT(o->job->job_name));
    else
        fprintf(c->io->out,
                "  WARNING: file \"%s\" for file_sd in alertmanager config does not exist\n", text);
    return 0;
}

static int check_discovery(ConfigCheck *c, const TargetOwner *o, const ConfigDiscovery *d)
{
    int r = 0;
    for (unsigned i = 0; o->job && r >= 0 && i < d->kubernetes.len; i++)
        r = check_tls_files(c, &d->kubernetes.items[i].http.tls);
    for (unsigned i = 0; !c->opt->syntax_only && i < d->files.len; i++)
        for (unsigned k = 0; r >= 0 && k < d->files.items[i].files.len; k++)
            r = check_file_pattern(c, o, d->files.items[i].files.items[k]);
    for (unsigned i = 0; r >= 0 && i < d->statics.len; i++)
        r = check_static(c, o, &d->statics.items[i]);
    return r;
}

static int check_job(ConfigCheck *c, const ConfigScrape *job)
{
    const TargetOwner o = { .job = job };
    int r = 0;
    if (!c->opt->syntax_only && job->http.authorization)
        r = must_exist(c, job->http.authorization->credentials_file,
                       "authorization credentials or bearer token file");
    if (r >= 0)
        r = check_tls_files(c, &job->http.tls);
    return r < 0 ? r : check_discovery(c, &o, &job->sd);
}

/* ---- a configuration ---- */

static int check_agent(const Config *c, Err *err)
{
    const char *field = c->alerting.alertmanagers.len || c->alerting.alert_relabel.len ? "alerting"
                        : c->rule_files.len  ? "rule_files"
                        : c->remote_read.len ? "remote_read"
                                             : NULL;
    return field ? err_set(err, ERR_INVALID, 0, "field %s is not allowed in agent mode", field) : 0;
}

static int check_named(ConfigCheck *c)
{
    const Config *cfg = c->config;
    int r = 0;
    for (unsigned i = 0; !c->opt->syntax_only && r >= 0 && i < cfg->rule_files.len; i++)
        r = find_rule_files(c, cfg->rule_files.items[i]);
    for (unsigned i = 0; r >= 0 && i < cfg->jobs.len; i++)
        r = check_job(c, cfg->jobs.items[i]);
    for (unsigned i = 0; r >= 0 && i < cfg->alerting.alertmanagers.len; i++) {
        const TargetOwner o = { .manager = &cfg->alerting.alertmanagers.items[i] };
        r = check_discovery(c, &o, &o.manager->sd);
    }
    return r;
}

/* The first job whose samples would be stale before the next ones come. */
static void lint_intervals(ConfigCheck *c, CheckState *s)
{
    for (unsigned i = 0; c->opt->lookback_ms > 0 && i < c->config->jobs.len; i++) {
        const ConfigScrape *job = c->config->jobs.items[i];
        if (job->scrape_interval < c->opt->lookback_ms)
            continue;
        _cleanup_buf_ Buf text = BUF_INIT;
        prom_duration_format(job->scrape_interval, &text);
        tool_complain(c->io,
                      "  FAILED: too long scrape interval found, data point will be marked as "
                      "stale - job: %.*s, interval: %.*s\n",
                      SV_FMT(job->job_name), SV_FMT(buf_view(&text)));
        s->failed = true;
        return;
    }
}

static void check_one(const ToolIo *io, const CheckOptions *o, const char *path, CheckState *s)
{
    Config *config = NULL;
    Err err = { 0 };
    ConfigCheck c = { .io = io, .opt = o, .err = &err };
    arena_init(&c.arena, TOOL_INPUT_MAX);
    fprintf(io->out, "Checking %s\n", path);
    int r = config_load(path, &(ConfigOptions){ 0 }, &config, &err);
    c.config = config;
    if (r >= 0 && o->agent)
        r = check_agent(config, &err);
    if (r >= 0)
        r = check_named(&c);
    if (r < 0) {
        tool_complain(io, "  FAILED: %s\n", err.msg);
        s->failed = s->errors = true;
    } else {
        if (c.n_rule_files)
            fprintf(io->out, "  SUCCESS: %zu rule files found\n", c.n_rule_files);
        fprintf(io->out, " SUCCESS: %s is valid prometheus config file syntax\n", path);
    }
    fputc('\n', io->out);
    if (r >= 0 && !o->syntax_only) {
        lint_intervals(&c, s);
        check_rule_files(io, o,
                         (ToolFiles){ (const char *const *)c.rule_files, (unsigned)c.n_rule_files },
                         s);
    }
    config_unref(config);
    arena_free(&c.arena);
}

int tool_check_config(const ToolIo *io, const CheckOptions *o, ToolFiles files)
{
    CheckState s = { 0 };
    for (unsigned i = 0; i < files.len; i++)
        check_one(io, o, files.items[i], &s);
    return check_exit_code(o, &s);
}
