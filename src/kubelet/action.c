/* action.c - what probes and hooks do to a container: an HTTP request, a TCP connection, a command
 * in it, a gRPC health check, or a pause.
 *
 * Each kind is asynchronous and ends in action_done(), which tells the owner in a later step of the
 * loop: the callback of a client may still be on the stack then. To add a kind: a function and a
 * row in kinds[]. */
#include "kubelet/action.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "kubelet/http_get.h"
#include "net/connect.h"
#include "net/grpc.h"
#include "net/http_client.h"

enum {
    EXEC_OUTPUT_MAX = 10 * 1024, /* of a command's output, for the event */
    CONNECT_MS = 10 * 1000,      /* of a hook, which has no time of its own */
    GRPC_REPLY_MAX = 4096,
    GRPC_SERVING = 1, /* grpc.health.v1.HealthCheckResponse.ServingStatus */
};

struct Action {
    Container *c;
    ActionFn *fn;
    void *ctx;
    bool probe; /* HTTP: the status counts, and the agent's name */
    int64_t timeout_ms;
    Source *deadline;
    bool over, ok;
    char text[1024]; /* what failed, or what to warn of */
    /* httpGet */
    HttpGet *get;
    /* grpc */
    HttpClient *http;
    HttpCall *call;
    GrpcReader reader;
    GrpcStatus end;
    Err broken; /* what came is no gRPC */
    /* tcpSocket */
    Connector *connector;
    /* exec */
    Pod *pod;
    Source *pod_source, *out_source[2];
    int out_fd[2];
    char exec_id[APP_ID_MAX + 1];
    bool exec_ended;
    int exit_code;
    Buf output;
};

/* ---- the end ---- */

/* Ends what is open, but for the HTTP clients: a callback of theirs may be on the stack. */
static void close_all(Action *p)
{
    uint32_t request;
    p->deadline = source_free(p->deadline);
    if (p->pod_source && !p->exec_ended) /* the command is not left behind */
        (void)!pod_send_signal(p->pod, p->exec_id, SIGKILL, &request, NULL);
    p->call = http_call_cancel(p->call);
    p->connector = connector_cancel(p->connector);
    for (int i = 0; i < 2; i++) {
        p->out_source[i] = source_free(p->out_source[i]);
        closep(&p->out_fd[i]);
    }
    p->pod_source = source_free(p->pod_source);
    p->pod = pod_close(p->pod);
    buf_free(&p->output);
}

static void tell(void *ctx)
{
    Action *p = ctx;
    p->fn(p->ctx, p->ok, p->text);
}

static void end(Action *p, bool ok, const char *fmt, va_list ap)
{
    if (p->over)
        return;
    p->over = true;
    p->ok = ok;
    if (fmt)
        vsnprintf(p->text, sizeof p->text, fmt, ap);
    close_all(p);
    if (loop_defer(p->c->worker->k->loop, tell, p, NULL) < 0)
        tell(p);
}

/* `fmt` says what failed, as in "HTTP probe failed with statuscode: 500"; NULL: success. */
static void PRINTF(2, 3) action_done(Action *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end(p, fmt == NULL, fmt, ap);
    va_end(ap);
}

/* A success that somebody should know something of. */
static void PRINTF(2, 3) action_warn(Action *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end(p, true, fmt, ap);
    va_end(ap);
}

static void on_deadline(void *ctx)
{
    Action *p = ctx;
    if (p->pod)
        action_done(p, "command timed out: timed out after %llds", (long long)p->timeout_ms / 1000);
    else
        action_done(p, "context deadline exceeded (no answer within %llds)",
                    (long long)p->timeout_ms / 1000);
}

/* ---- where to ---- */

/* A port is a number or the name of one of the container's ports; 0: there is none of that name. */
static uint16_t port_of(const Action *p, const Value *port)
{
    uint64_t n;
    if (value_is(port, VALUE_INT))
        return (uint16_t)port->i;
    StrView name = value_str(port);
    if (sv_to_u64(name, &n) == 0 && n <= UINT16_MAX)
        return (uint16_t)n;
    value_list_foreach (one, value_get(p->c->spec, SV("ports"))) {
        if (sv_eq(value_str(value_get(one, SV("name"))), name))
            return (uint16_t)value_int_or(value_get(one, SV("containerPort")), 0);
    }
    return 0;
}

static bool host_of(const Action *p, const Value *action, char *buf, size_t size)
{
    StrView host = value_str(value_get(action, SV("host")));
    const Worker *w = p->c->worker;
    const char *own = w->pod_ip[0] ? w->pod_ip : w->k->cfg.node_ip;
    return sv_copy_cstr(host.len ? host : sv_cstr(own), buf, size) && buf[0];
}

/* ---- httpGet ---- */

static void on_http_done(void *ctx, const FetchResult *r)
{
    Action *p = ctx;
    if (r->status && !p->probe) /* a hook has done its work with any answer, as in Kubernetes */
        action_done(p, NULL);
    else if (r->err)
        action_done(p, "%s", r->err->msg);
    else if (r->status >= 200 && r->status < 300)
        action_done(p, NULL);
    else if (r->status >= 300 && r->status < 400)
        action_warn(p, "Probe terminated redirects, Response body: %.*s",
                    SV_FMT(sv_head(r->body, sizeof p->text)));
    else
        action_done(p, "HTTP probe failed with statuscode: %d", r->status);
}

static int start_http(Action *p, const Value *get, Err *err)
{
    char host[256];
    const HttpGetSpec spec = { .action = get,
                               .host = host,
                               .port = port_of(p, value_get(get, SV("port"))),
                               .agent =
                                   p->probe ? SV("kube-probe/1.35") : SV("kube-lifecycle/1.35"),
                               .done = on_http_done,
                               .ctx = p };
    if (!spec.port || !host_of(p, get, host, sizeof host))
        return err_set(err, ERR_NOT_FOUND, 0, "the port or host is not known");
    return http_get_new(p->c->worker->k->loop, &spec, &p->get, err);
}

/* ---- tcpSocket ---- */

static void on_connected(void *ctx, int fd, const Err *err)
{
    Action *p = ctx;
    p->connector = NULL;
    if (fd >= 0) {
        close(fd);
        action_done(p, NULL);
    } else
        action_done(p, "dial tcp: %s", err->msg);
}

static int start_tcp(Action *p, const Value *tcp, Err *err)
{
    char host[256];
    uint16_t port = port_of(p, value_get(tcp, SV("port")));
    if (!port || !host_of(p, tcp, host, sizeof host))
        return err_set(err, ERR_NOT_FOUND, 0, "the port or host is not known");
    const ConnectTo to = { .host = host,
                           .port = port,
                           .timeout_ms = p->timeout_ms ? (uint32_t)p->timeout_ms : CONNECT_MS };
    return connector_new(p->c->worker->k->loop, &to, on_connected, p, &p->connector, err);
}

/* ---- exec ---- */

static void exec_judge(Action *p)
{
    if (!p->exec_ended)
        return;
    if (p->exit_code == 0)
        action_done(p, NULL);
    else
        action_done(p, "%.*s", (int)MIN(p->output.len, 400), p->output.len ? p->output.ptr : "");
}

static void read_output(Action *p, int i)
{
    char block[4096];
    ssize_t n;
    while ((n = read(p->out_fd[i], block, sizeof block)) > 0)
        if (p->output.len < EXEC_OUTPUT_MAX)
            buf_append(&p->output, block, (size_t)n);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    p->out_source[i] = source_free(p->out_source[i]);
    closep(&p->out_fd[i]);
}

static void on_exec_output(void *ctx, uint32_t events)
{
    Action *p = ctx;
    for (int i = 0; i < 2; i++)
        if (p->out_fd[i] >= 0)
            read_output(p, i);
}

static void take_outputs(Action *p, PodMsg *m)
{
    for (int i = 0; i < 2; i++) {
        p->out_fd[i] = TAKE_FD(m->fds[i + 1]);
        if (p->out_fd[i] < 0)
            continue;
        fd_set_nonblock(p->out_fd[i], true);
        if (loop_add_fd(p->c->worker->k->loop, p->out_fd[i], LOOP_READ, on_exec_output, p,
                        &p->out_source[i], NULL) < 0)
            closep(&p->out_fd[i]);
    }
}

static void on_exec_readable(void *ctx, uint32_t events)
{
    Action *p = ctx;
    PodMsg m;
    Err err = { 0 };
    int r;
    while (p->pod && (r = pod_read(p->pod, &m, &err)) != 0) {
        if (r < 0 || m.kind == POD_MSG_CLOSED) {
            close_all(p); /* the pod ends: that is no result */
            return;
        }
        bool own_reply = m.kind == POD_MSG_REPLY;
        Err reply = m.err;
        if (own_reply && reply.code == ERR_NONE)
            take_outputs(p, &m);
        else if (m.kind == POD_MSG_EXEC && strcmp(m.id, p->exec_id) == 0) {
            p->exec_ended = true;
            p->exit_code = m.exit_code;
            on_exec_output(p, 0);
        }
        pod_msg_close(&m);
        if (own_reply && reply.code != ERR_NONE) {
            action_done(p, "%s", reply.msg);
            return;
        }
        exec_judge(p);
    }
}

static int start_exec(Action *p, const Value *exec, Err *err)
{
    char dir[PATH_SIZE], app[APP_ID_MAX + 1];
    Worker *w = p->c->worker;
    const Value *command = value_get(exec, SV("command"));
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    const char **argv = arena_array(&a, const char *, value_len(command) + 1);
    if (!argv)
        return err_nomem(err);
    for (uint32_t i = 0; i < value_len(command); i++)
        if (!(argv[i] = arena_cstr(&a, value_str(value_at(command, i)))))
            return err_set(err, ERR_INVALID, 0, "the command holds a NUL byte");
    ExecSpec spec = { .id = p->exec_id,
                      .app = container_app_id(p->c, app),
                      .argv = { argv, value_len(command) },
                      .cwd = "",
                      .user = "",
                      .use_stdout = true,
                      .use_stderr = true };
    uint32_t request;
    int r;
    if ((r = pod_connect(worker_dir(w, dir), &p->pod, err)) < 0 ||
        (r = loop_add_fd(w->k->loop, pod_fd(p->pod), LOOP_READ, on_exec_readable, p, &p->pod_source,
                         err)) < 0)
        return r;
    return pod_send_exec(p->pod, &spec, &request, err);
}

/* ---- grpc ---- */

static void on_grpc_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    Action *p = ctx;
    for (uint32_t i = 0; i < n; i++) /* an error alone comes without a body */
        grpc_take_header(&p->end, headers[i].name, headers[i].value);
}

static void on_grpc_data(void *ctx, const void *data, size_t len)
{
    Action *p = ctx;
    if (!p->broken.code && grpc_feed(&p->reader, data, len, &p->broken) < 0)
        log_debug("gRPC probe: %s", p->broken.msg);
}

bool grpc_health_parse(StrView message, int *ret_status)
{
    const unsigned char *u = (const unsigned char *)message.ptr;
    *ret_status = 0;
    if (!message.len) /* the field is absent: 0 */
        return true;
    if (message.len < 2 || u[0] != 0x08 || u[1] >= 0x80) /* field 1, a small number */
        return false;
    *ret_status = u[1];
    return true;
}

static void on_grpc_done(void *ctx, const Err *err)
{
    static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" };
    Action *p = ctx;
    StrView message;
    int status = 0;
    p->call = NULL;
    bool answered =
        !p->broken.code && grpc_next(&p->reader, &message) && grpc_health_parse(message, &status);
    if (answered && status == GRPC_SERVING)
        action_done(p, NULL);
    else if (answered)
        action_done(p, "service unhealthy (responded with \"%s\")",
                    names[status < (int)ARRAY_SIZE(names) ? status : 0]);
    else if (p->end.known && p->end.code == GRPC_UNIMPLEMENTED)
        action_done(p,
                    "error: this server does not implement the grpc health protocol "
                    "(grpc.health.v1.Health): %s",
                    p->end.message);
    else if (p->end.known)
        action_done(p, "error: health rpc probe failed: code %u: %s", p->end.code, p->end.message);
    else
        action_done(p, "error: health rpc probe failed: %s",
                    p->broken.code ? p->broken.msg
                    : err          ? err->msg
                                   : "no answer");
}

/* One HealthCheckRequest: field 1, the service's name. */
static void grpc_request(StrView service, Buf *out)
{
    _cleanup_buf_ Buf message = BUF_INIT;
    if (service.len) {
        buf_putc(&message, 0x0a);
        for (size_t n = service.len; n; n >>= 7)
            buf_putc(&message, (char)((n & 0x7f) | (n >> 7 ? 0x80 : 0)));
        buf_sv(&message, service);
    }
    grpc_put_frame(buf_view(&message), out);
    out->failed |= message.failed;
}

static int start_grpc(Action *p, const Value *grpc, Err *err)
{
    char host[256], authority[300];
    _cleanup_buf_ Buf body = BUF_INIT;
    HttpHeader headers[1 + GRPC_HEADERS];
    uint16_t port = (uint16_t)value_int_or(value_get(grpc, SV("port")), 0);
    if (!port || !host_of(p, NULL, host, sizeof host))
        return err_set(err, ERR_NOT_FOUND, 0, "the port or host is not known");
    snprintf(authority, sizeof authority, "%s:%u", host, port);
    grpc_request(value_str(value_get(grpc, SV("service"))), &body);
    headers[0] = (HttpHeader){ SV("host"), sv_cstr(authority) };
    grpc_headers(SV("kube-probe/1.35"), headers + 1);
    p->reader.max = GRPC_REPLY_MAX;
    HttpClientConfig cfg = { .host = host,
                             .port = port,
                             .h2c = true,
                             .no_reuse = true,
                             .connect_timeout_ms = (uint32_t)p->timeout_ms };
    HttpCallSpec spec = { .method = SV("POST"),
                          .target = SV("/grpc.health.v1.Health/Check"),
                          .headers = headers,
                          .n_headers = ARRAY_SIZE(headers),
                          .body = buf_view(&body),
                          .on_head = on_grpc_head,
                          .on_data = on_grpc_data,
                          .on_done = on_grpc_done,
                          .ctx = p };
    if (body.failed)
        return err_nomem(err);
    int r = http_client_new(p->c->worker->k->loop, &cfg, &p->http, err);
    return r < 0 ? r : http_call(p->http, &spec, &p->call, err);
}

/* ---- sleep ---- */

static void on_slept(void *ctx)
{
    action_done(ctx, NULL);
}

static int start_sleep(Action *p, const Value *sleep, Err *err)
{
    int64_t ms = MAX(value_int_or(value_get(sleep, SV("seconds")), 0), INT64_C(0)) * 1000;
    p->deadline = source_free(p->deadline); /* it ends by itself, or with its owner's patience */
    ms = p->timeout_ms ? MIN(ms, p->timeout_ms) : ms;
    return loop_add_timer(p->c->worker->k->loop, (uint64_t)ms, 0, on_slept, p, &p->deadline, err);
}

/* ---- start ---- */

static const struct {
    StrView field;
    int (*start)(Action *p, const Value *action, Err *err);
} kinds[] = {
    { SV_INIT("httpGet"), start_http }, { SV_INIT("tcpSocket"), start_tcp },
    { SV_INIT("exec"), start_exec },    { SV_INIT("grpc"), start_grpc },
    { SV_INIT("sleep"), start_sleep },
};

static int start(Action *p, const Value *handler, Err *err)
{
    int r = p->timeout_ms ? loop_add_timer(p->c->worker->k->loop, (uint64_t)p->timeout_ms, 0,
                                           on_deadline, p, &p->deadline, err)
                          : 0;
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
        const Value *action = value_get(handler, kinds[i].field);
        if (action)
            return kinds[i].start(p, action, err);
    }
    return r < 0 ? r : err_set(err, ERR_INVALID, 0, "nothing is to be done");
}

int action_new(Container *c, const Value *handler, const ActionOptions *opt, Action **ret, Err *err)
{
    Action *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    *p = (Action){ .c = c,
                   .fn = opt->fn,
                   .ctx = opt->ctx,
                   .probe = opt->probe,
                   .timeout_ms = opt->timeout_ms,
                   .out_fd = { -1, -1 } };
    snprintf(p->exec_id, sizeof p->exec_id, "%s-%d-%.40s-%llu", opt->name, (int)getpid(), c->name,
             (unsigned long long)opt->number);
    Err own = { 0 };
    if (start(p, handler, &own) < 0)
        action_done(p, "%s", own.msg);
    *ret = p;
    return 0;
}

Action *action_free(Action *p)
{
    if (!p)
        return NULL;
    loop_defer_cancel(p->c->worker->k->loop, tell, p);
    close_all(p);
    http_get_free(p->get);
    http_client_free(p->http);
    grpc_reader_free(&p->reader);
    free(p);
    return NULL;
}
