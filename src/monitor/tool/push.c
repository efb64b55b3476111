/* push.c - see push.h. */
#include "monitor/tool/push.h"

#include "base/clock.h"
#include "monitor/expo/expo.h"
#include "monitor/remote/remote_batch.h"
#include "monitor/tool/internal.h"

typedef struct Push {
    const ToolIo *io;
    const PushOptions *o;
    Server *server;
    ExpoParser *parser;
    RemoteBatch *batch;
    Arena arena; /* of one text */
    int64_t now;
    RemoteMetadata family; /* that the lines at hand are about */
    Err *err;
} Push;

/* ---- a text into a batch ---- */

/* What is pushed is of the job of --label; a job of the text itself is kept beside it. */
static int push_labels(Push *p, Labels *ret)
{
    LabelsBuilder b;
    Labels own;
    int r = expo_labels(p->parser, &p->arena, &own, p->err);
    if (r < 0)
        return r;
    labels_builder_init(&b, &p->arena, (Labels){ 0 });
    for (unsigned i = 0; i < p->o->n_labels; i++) {
        StrView name, value;
        sv_cut(sv_cstr(p->o->labels[i]), '=', &name, &value);
        labels_builder_set(&b, name, value);
    }
    for (unsigned i = 0; i < own.len; i++) {
        StrView name = own.items[i].name;
        labels_builder_set(&b, sv_eq(name, SV("job")) ? SV("exported_job") : name,
                           own.items[i].value);
    }
    return labels_builder_take(&b, ret) ? 0 : err_nomem(p->err);
}

static int push_series(Push *p, const ExpoEntry *e)
{
    const MetricMetadata m = { p->family.type, p->family.unit, p->family.help };
    Labels l;
    int r = push_labels(p, &l);
    return r < 0
               ? r
               : remote_batch_add(p->batch, l, e->has_t && e->t ? e->t : p->now, e->v, &m, p->err);
}

/* The families are told of when all that is said about them was read. */
static int end_family(Push *p)
{
    int r = p->family.metric.len ? remote_batch_describe(p->batch, &p->family, p->err) : 0;
    p->family = (RemoteMetadata){ SV(""), SV("unknown"), SV(""), SV("") };
    return r;
}

static int push_metadata(Push *p, const ExpoEntry *e)
{
    int r = sv_eq(e->name, p->family.metric) ? 0 : end_family(p);
    if (r < 0)
        return r;
    p->family.metric = arena_sv(&p->arena, e->name);
    if (e->kind == EXPO_TYPE)
        p->family.type = sv_cstr(expo_type_names[e->type]);
    else if (e->kind == EXPO_HELP)
        p->family.help = arena_sv(&p->arena, e->text);
    return p->family.metric.ptr && p->family.help.ptr ? 0 : err_nomem(p->err);
}

static int read_text(Push *p, StrView text)
{
    ExpoEntry e;
    int r;
    expo_parser_reset(p->parser, EXPO_FORMAT_TEXT, text, &(ExpoOptions){ 0 });
    p->family = (RemoteMetadata){ SV(""), SV("unknown"), SV(""), SV("") };
    while ((r = expo_next(p->parser, &e, p->err)) >= 0 && e.kind != EXPO_END) {
        r = e.kind == EXPO_SERIES ? push_series(p, &e) : push_metadata(p, &e);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : end_family(p);
}

/* ---- sending ---- */

static int send_batch(Push *p)
{
    _cleanup_buf_ Buf body = BUF_INIT;
    const HttpHeader headers[] = {
        { SV_INIT("content-type"),
          p->o->v2 ? SV("application/x-protobuf;proto=io.prometheus.write.v2.Request")
                   : SV("application/x-protobuf") },
        { SV_INIT("content-encoding"), SV_INIT("snappy") },
        { SV_INIT("x-prometheus-remote-write-version"), p->o->v2 ? SV("2.0.0") : SV("0.1.0") },
    };
    StrView answer;
    int status, r = remote_batch_encode(p->batch, p->o->v2, &body, p->err);
    if (r < 0)
        return r;
    const ServerRequest q = { .path = sv_cstr(p->o->path),
                              .body = buf_view(&body),
                              .headers = headers,
                              .n_headers = ARRAY_SIZE(headers),
                              .post = true,
                              .timeout_ms = p->o->timeout_ms };
    if ((r = server_request(p->server, &q, &p->arena, &status, &answer, p->err)) < 0)
        return r;
    if (status / 100 == 2)
        return 0;
    return err_set(p->err, ERR_PROTO, 0, "server returned HTTP status %d %s: %.*s", status,
                   http_reason(status), SV_FMT(sv_head(sv_trim(answer), 500)));
}

/* `path` NULL: the input stream. */
static int push_file(Push *p, const char *path)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err = { 0 };
    p->err = &err;
    p->now = clock_real_ns() / NSEC_PER_MSEC;
    arena_init(&p->arena, ARENA_DEFAULT_LIMIT);
    int r = tool_read(p->io, path, &text, &err);
    if (path)
        fprintf(p->io->out, "Parsing metrics file %s\n", path);
    else
        fputs("Parsing standard input\n", p->io->out);
    p->batch = remote_batch_new();
    if (r == 0)
        r = p->batch ? read_text(p, buf_view(&text)) : err_nomem(&err);
    if (r == 0)
        r = send_batch(p);
    p->batch = remote_batch_free(p->batch);
    arena_free(&p->arena);
    if (r < 0)
        tool_complain(p->io, "  FAILED: %s\n", err.msg);
    else if (path)
        fprintf(p->io->out, "  SUCCESS: metrics file %s pushed to remote write.\n", path);
    else
        fputs("  SUCCESS: metrics pushed to remote write.\n", p->io->out);
    return r < 0 ? TOOL_FAILED : TOOL_OK;
}

int tool_push_metrics(const ToolIo *io, const PushOptions *o, ToolFiles files)
{
    Push p = { .io = io, .o = o };
    Err err = { 0 };
    int code = TOOL_OK;
    for (unsigned i = 0; i < o->n_labels; i++)
        if (sv_find_char(sv_cstr(o->labels[i]), '=') <= 0) {
            err_set(&err, ERR_INVALID, 0, "expected KEY=VALUE got '%s'", o->labels[i]);
            return tool_failed(io, &err);
        }
    int r = server_new(&o->server, &p.server, &err);
    p.parser = r == 0 ? expo_parser_new(EXPO_FORMAT_TEXT, SV(""), NULL) : NULL;
    if (r == 0 && !p.parser)
        r = err_nomem(&err);
    for (unsigned i = 0; r == 0 && i < MAX(files.len, 1u); i++)
        if (push_file(&p, files.len ? files.items[i] : NULL) != TOOL_OK)
            code = TOOL_FAILED;
    expo_parser_free(p.parser);
    server_free(p.server);
    return r < 0 ? tool_failed(io, &err) : code;
}
