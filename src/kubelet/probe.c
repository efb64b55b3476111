/* probe.c - liveness, readiness and startup probes of a running container.
 *
 * Each probe is a timer and at most one try under way. A try is an HTTP request, a TCP connection
 * or a command in the container; each is asynchronous and ends in try_done(). Results count towards
 * the thresholds, and only a threshold that is reached changes anything. While a startup probe has
 * not succeeded the others wait. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "kubelet/internal.h"
#include "net/connect.h"
#include "net/http_client.h"

enum {
    EXEC_OUTPUT_MAX = 10 * 1024, /* of a command's output, for the event */
    HTTP_BODY_MAX = 10 * 1024,
    DEFAULT_TIMEOUT_SEC = 1,
    DEFAULT_PERIOD_SEC = 10,
    DEFAULT_FAILURES = 3,
};

struct Probe {
    Container *c;
    ProbeKind kind;
    const char *what; /* "Liveness" */
    int64_t period_ms, timeout_ms;
    unsigned success_threshold, failure_threshold;
    unsigned run; /* equal results in a row */
    bool last_ok, busy;
    uint64_t tries;
    Source *timer, *deadline;
    /* httpGet */
    HttpClient *http;
    HttpCall *call;
    int status;
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

static const char *const kind_names[] = { "Startup", "Liveness", "Readiness" };
static const StrView kind_fields[] = { SV_INIT("startupProbe"), SV_INIT("livenessProbe"),
                                       SV_INIT("readinessProbe") };

static const Value *probe_spec(const Probe *p)
{
    return value_get(p->c->spec, kind_fields[p->kind]);
}

static int64_t number(const Value *spec, StrView name, int64_t fallback)
{
    int64_t v = value_int_or(value_get(spec, name), 0);
    return v > 0 ? v : fallback;
}

/* Ends what a try has open, but for the HTTP client: its own callback may be on the stack. */
static void try_close(Probe *p)
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
    p->busy = false;
}

/* ---- results ---- */

static void startup_succeeded(Container *c)
{
    c->started = true;
    if (!c->probes[PROBE_READINESS])
        c->ready = true;
    for (ProbeKind kind = PROBE_LIVENESS; kind <= PROBE_READINESS;
         kind++) /* those that waited begin now */
        if (c->probes[kind])
            source_set_timer(c->probes[kind]->timer, 0, (uint64_t)c->probes[kind]->period_ms, NULL);
    worker_wake(c->worker);
}

static void apply(Probe *p, bool ok)
{
    Container *c = p->c;
    if (p->kind == PROBE_STARTUP && ok && !c->started)
        startup_succeeded(c);
    else if (p->kind == PROBE_READINESS && c->ready != ok) {
        c->ready = ok;
        worker_wake(c->worker);
    } else if (p->kind != PROBE_READINESS && !ok) {
        char why[160];
        snprintf(why, sizeof why, "Container %s failed %s probe, will be restarted", c->name,
                 p->kind == PROBE_STARTUP ? "startup" : "liveness");
        p->run = 0;
        container_stop(c, why);
    }
}

/* The end of a try. `fmt` says what failed, as in "HTTP probe failed with statuscode: 500"; NULL:
 * success. */
static void PRINTF(2, 3) try_done(Probe *p, const char *fmt, ...)
{
    char text[512];
    bool ok = fmt == NULL;
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        worker_event(p->c->worker, p->c, SV("Warning"), SV("Unhealthy"), "%s probe failed: %s",
                     p->what, text);
    }
    try_close(p);
    p->run = ok == p->last_ok ? p->run + 1 : 1;
    p->last_ok = ok;
    if (p->run >= (ok ? p->success_threshold : p->failure_threshold))
        apply(p, ok);
}

static void on_deadline(void *ctx)
{
    Probe *p = ctx;
    if (p->pod)
        try_done(p, "command timed out: timed out after %llds", (long long)p->timeout_ms / 1000);
    else
        try_done(p, "context deadline exceeded (no answer within %llds)",
                 (long long)p->timeout_ms / 1000);
}

/* ---- where to ---- */

/* A port is a number or the name of one of the container's ports; 0: there is none of that name. */
static uint16_t port_of(const Probe *p, const Value *port)
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

static bool host_of(const Probe *p, const Value *action, char *buf, size_t size)
{
    StrView host = value_str(value_get(action, SV("host")));
    const Worker *w = p->c->worker;
    const char *own = w->pod_ip[0] ? w->pod_ip : w->k->cfg.node_ip;
    return sv_copy_cstr(host.len ? host : sv_cstr(own), buf, size) && buf[0];
}

/* ---- httpGet ---- */

static void on_http_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    ((Probe *)ctx)->status = status;
}

static void on_http_done(void *ctx, const Err *err)
{
    Probe *p = ctx;
    p->call = NULL;
    if (p->status >= 200 && p->status < 400)
        try_done(p, NULL);
    else if (p->status)
        try_done(p, "HTTP probe failed with statuscode: %d", p->status);
    else
        try_done(p, "Get failed: %s", err ? err->msg : "no answer");
}

static int http_headers(const Value *get, StrView authority, HttpHeader *ret, uint32_t max)
{
    uint32_t n = 0;
    bool host = false, agent = false, accept = false;
    value_list_foreach (h, value_get(get, SV("httpHeaders"))) {
        HttpHeader one = { value_str(value_get(h, SV("name"))),
                           value_str(value_get(h, SV("value"))) };
        host |= sv_eq_nocase(one.name, SV("host"));
        agent |= sv_eq_nocase(one.name, SV("user-agent"));
        accept |= sv_eq_nocase(one.name, SV("accept"));
        if (n < max - 3)
            ret[n++] = one;
    }
    if (!host)
        ret[n++] = (HttpHeader){ SV("host"), authority };
    if (!agent)
        ret[n++] = (HttpHeader){ SV("user-agent"), SV("kube-probe/1.35") };
    if (!accept)
        ret[n++] = (HttpHeader){ SV("accept"), SV("*/*") };
    return (int)n;
}

static int http_try(Probe *p, const Value *get, Err *err)
{
    char host[256], authority[300], target[2048];
    HttpHeader headers[32];
    uint16_t port = port_of(p, value_get(get, SV("port")));
    StrView path = value_str(value_get(get, SV("path")));
    if (!port || !host_of(p, get, host, sizeof host))
        return err_set(err, ERR_NOT_FOUND, 0, "the probe's port or host is not known");
    snprintf(authority, sizeof authority, "%s:%u", host, port);
    snprintf(target, sizeof target, "%s%.*s", path.len && path.ptr[0] == '/' ? "" : "/",
             SV_FMT(path));
    TlsContext *tls = NULL;
    TlsConfig insecure = { .insecure_skip_verify = true };
    int r = sv_eq(value_str(value_get(get, SV("scheme"))), SV("HTTPS"))
                ? tls_context_new_client(&insecure, &tls, err)
                : 0;
    if (r < 0)
        return r;
    HttpClientConfig cfg = { .host = host,
                             .port = port,
                             .tls = tls,
                             .connect_timeout_ms = (uint32_t)p->timeout_ms,
                             .http1_only = true,
                             .no_reuse = true };
    r = http_client_new(p->c->worker->k->loop, &cfg, &p->http, err);
    tls_context_unref(tls);
    if (r < 0)
        return r;
    HttpCallSpec spec = { .method = SV("GET"),
                          .target = sv_cstr(target),
                          .headers = headers,
                          .on_head = on_http_head,
                          .on_done = on_http_done,
                          .ctx = p,
                          .n_headers = (uint32_t)http_headers(get, sv_cstr(authority), headers,
                                                              ARRAY_SIZE(headers)) };
    p->status = 0;
    return http_call(p->http, &spec, &p->call, err);
}

/* ---- tcpSocket ---- */

static void on_connected(void *ctx, int fd, const Err *err)
{
    Probe *p = ctx;
    p->connector = NULL;
    if (fd >= 0) {
        close(fd);
        try_done(p, NULL);
    } else
        try_done(p, "dial tcp: %s", err->msg);
}

static int tcp_try(Probe *p, const Value *tcp, Err *err)
{
    char host[256];
    uint16_t port = port_of(p, value_get(tcp, SV("port")));
    if (!port || !host_of(p, tcp, host, sizeof host))
        return err_set(err, ERR_NOT_FOUND, 0, "the probe's port or host is not known");
    return connector_new(p->c->worker->k->loop, host, port, (uint32_t)p->timeout_ms, on_connected,
                         p, &p->connector, err);
}

/* ---- exec ---- */

static void exec_judge(Probe *p)
{
    if (!p->exec_ended)
        return;
    if (p->exit_code == 0)
        try_done(p, NULL);
    else
        try_done(p, "%.*s", (int)MIN(p->output.len, 400), p->output.len ? p->output.ptr : "");
}

static void read_output(Probe *p, int i)
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
    Probe *p = ctx;
    for (int i = 0; i < 2; i++)
        if (p->out_fd[i] >= 0)
            read_output(p, i);
}

static void take_outputs(Probe *p, PodMsg *m)
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
    Probe *p = ctx;
    PodMsg m;
    Err err = { 0 };
    int r;
    while (p->pod && (r = pod_read(p->pod, &m, &err)) != 0) {
        if (r < 0 || m.kind == POD_MSG_CLOSED) {
            try_close(p); /* the pod ends: that is no result */
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
            try_done(p, "%s", reply.msg);
            return;
        }
        exec_judge(p);
    }
}

static int exec_try(Probe *p, const Value *exec, Err *err)
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
    p->exec_ended = false;
    snprintf(p->exec_id, sizeof p->exec_id, "probe-%d-%.40s-%d-%llu", (int)getpid(), p->c->name,
             (int)p->kind, (unsigned long long)++p->tries);
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

/* ---- tries ---- */

static void on_period(void *ctx)
{
    Probe *p = ctx;
    Err err = { 0 };
    const Value *spec = probe_spec(p), *action;
    Container *c = p->c;
    if (p->busy || !spec || c->stopping || (p->kind == PROBE_STARTUP ? c->started : !c->started))
        return;
    p->busy = true;
    p->http = http_client_free(p->http); /* of the last try */
    int r = loop_add_timer(c->worker->k->loop, (uint64_t)p->timeout_ms, 0, on_deadline, p,
                           &p->deadline, &err);
    if (r == 0 && (action = value_get(spec, SV("httpGet"))))
        r = http_try(p, action, &err);
    else if (r == 0 && (action = value_get(spec, SV("tcpSocket"))))
        r = tcp_try(p, action, &err);
    else if (r == 0 && (action = value_get(spec, SV("exec"))))
        r = exec_try(p, action, &err);
    if (r < 0)
        try_done(p, "%s", err.msg);
}

static void probe_start(Container *c, ProbeKind kind)
{
    const Value *spec = value_get(c->spec, kind_fields[kind]);
    Err err = { 0 };
    if (!spec)
        return;
    Probe *p = calloc(1, sizeof *p);
    if (!p) {
        log_error("pod %s/%s: no memory for a probe", c->worker->ns, c->worker->name);
        return;
    }
    *p = (Probe){ .c = c, .kind = kind, .what = kind_names[kind], .out_fd = { -1, -1 } };
    p->period_ms = number(spec, SV("periodSeconds"), DEFAULT_PERIOD_SEC) * 1000;
    p->timeout_ms = number(spec, SV("timeoutSeconds"), DEFAULT_TIMEOUT_SEC) * 1000;
    p->success_threshold = (unsigned)number(spec, SV("successThreshold"), 1);
    p->failure_threshold = (unsigned)number(spec, SV("failureThreshold"), DEFAULT_FAILURES);
    int64_t delay = number(spec, SV("initialDelaySeconds"), 0) * 1000;
    c->probes[kind] = p;
    if (loop_add_timer(c->worker->k->loop, (uint64_t)delay, (uint64_t)p->period_ms, on_period, p,
                       &p->timer, &err) < 0)
        log_error("pod %s/%s: start a probe: %s", c->worker->ns, c->worker->name, err.msg);
}

void probes_start(Container *c)
{
    probes_stop(c);
    for (ProbeKind kind = PROBE_STARTUP; kind <= PROBE_READINESS; kind++)
        probe_start(c, kind);
}

void probes_stop(Container *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(c->probes); i++) {
        Probe *p = TAKE_PTR(c->probes[i]);
        if (!p)
            continue;
        try_close(p);
        http_client_free(p->http);
        source_free(p->timer);
        free(p);
    }
}
