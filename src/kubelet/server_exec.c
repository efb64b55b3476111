/* server_exec.c - exec and attach: the channels of a client joined with the descriptors that the
 * pod's supervisor hands out.
 *
 * The upgrade is answered first; then, over a connection of its own, the supervisor is asked to run
 * the command (or to attach). Whatever goes wrong from there on is told as a Status on the error
 * channel, where clients look for the exit code as well. */
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/encode.h"
#include "codec/json.h"
#include "kubelet/pump.h"
#include "kubelet/server.h"

enum { ARGS_MAX = 1024, PENDING_MAX = 1024 * 1024, STDIN_MAX = 256 * 1024, DRAIN_MS = 2000 };

typedef struct ExecSession {
    Session session;
    KubeletServer *server;
    Channels *ch;
    Pod *pod;
    Source *pod_source, *timer;
    Pump *in, *out, *err; /* with an exec's terminal `in` and `out` are the same */
    Arena arena;
    ExecSpec spec;
    char id[64], app[APP_ID_MAX + 1];
    bool attach, begun, exited, finished, stdin_closed;
    int code;
    uint16_t cols, rows;
    Buf early; /* input that came before there was where to write it */
} ExecSession;

static void exec_end(Session *x)
{
    ExecSession *s = (ExecSession *)x; /* its first member */
    uint32_t request;
    session_del(x);
    /* A command whose client has gone is not left behind; an app that was attached to is. */
    if (s->pod_source && !s->attach && !s->exited)
        (void)!pod_send_signal(s->pod, s->id, SIGKILL, &request, NULL);
    source_free(s->pod_source);
    source_free(s->timer);
    if (s->out != s->in)
        pump_free(s->out);
    pump_free(s->in);
    pump_free(s->err);
    pod_close(s->pod);
    channels_free(s->ch);
    buf_free(&s->early);
    arena_free(&s->arena);
    free(s);
}

/* ---- the end ---- */

static void send_status(ExecSession *s, const Err *err)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    char text[640] = "";
    if (err)
        snprintf(text, sizeof text, "error executing command in container: %s", err->msg);
    else if (s->code)
        snprintf(text, sizeof text, "command terminated with non-zero exit code: exit status %d",
                 s->code);
    if (channels_plain_status(s->ch)) {
        channels_write(s->ch, CHANNEL_ERROR, text, strlen(text), NULL);
        return;
    }
    buf_printf(&b, "{\"metadata\":{},\"status\":\"%s\"", text[0] ? "Failure" : "Success");
    if (text[0]) {
        buf_sv(&b, SV(",\"message\":"));
        json_encode_string(sv_cstr(text), &b);
    }
    if (err)
        buf_sv(&b, SV(",\"reason\":\"InternalError\",\"code\":500"));
    else if (s->code)
        buf_printf(
            &b,
            ",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\","
            "\"message\":\"%d\"}]}",
            s->code);
    buf_putc(&b, '}');
    channels_write(s->ch, CHANNEL_ERROR, b.ptr, b.len, NULL);
}

static void finish(ExecSession *s, const Err *err)
{
    if (s->finished)
        return;
    s->finished = true;
    s->timer = source_free(s->timer);
    s->pod_source = source_free(s->pod_source);
    send_status(s, err);
    channels_end(s->ch); /* on_end follows */
}

static void on_timer(void *ctx)
{
    finish(ctx, NULL);
}

/* The end is told when the command has ended and its output is complete; a child that keeps the
 * pipes open is waited for no longer than DRAIN_MS. */
static void maybe_finish(ExecSession *s)
{
    bool quiet = !s->out && !s->err;
    if (quiet && (s->exited || s->attach))
        finish(s, NULL);
    else if (s->exited && !s->timer && !s->finished)
        (void)!loop_add_timer(s->server->k->loop, DRAIN_MS, 0, on_timer, s, &s->timer, NULL);
}

/* ---- output ---- */

static void on_output(void *ctx, Pump *p, const void *data, size_t len)
{
    ExecSession *s = ctx;
    channels_write(s->ch, p == s->err ? CHANNEL_STDERR : CHANNEL_STDOUT, data, len, NULL);
    if (channels_pending(s->ch) > PENDING_MAX) {
        if (s->out)
            pump_pause(s->out, true);
        if (s->err)
            pump_pause(s->err, true);
    }
}

static void on_output_end(void *ctx, Pump *p, int error)
{
    ExecSession *s = ctx;
    if (p == s->in)
        s->in = NULL;
    if (p == s->out)
        s->out = NULL;
    else
        s->err = NULL;
    pump_free(p);
    maybe_finish(s);
}

static void on_client_drain(void *ctx)
{
    ExecSession *s = ctx;
    if (s->out)
        pump_pause(s->out, false);
    if (s->err)
        pump_pause(s->err, false);
}

/* ---- input ---- */

static void on_input_written(void *ctx, Pump *p)
{
    ExecSession *s = ctx;
    channels_pause(s->ch, false);
}

static void resize(ExecSession *s, const void *data, size_t len)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    Value v;
    uint32_t request;
    if (json_decode(sv_n(data, len), &a, NULL, &v, NULL) < 0)
        return;
    s->cols = (uint16_t)value_int_or(value_get(&v, SV("Width")), 0);
    s->rows = (uint16_t)value_int_or(value_get(&v, SV("Height")), 0);
    struct winsize size = { .ws_col = s->cols, .ws_row = s->rows };
    if (s->attach && s->begun)
        (void)!pod_send_resize(s->pod, s->app, s->cols, s->rows, &request, NULL);
    else if (s->in)
        ioctl(pump_fd(s->in), TIOCSWINSZ, &size);
}

static void on_channel_data(void *ctx, unsigned channel, const void *data, size_t len)
{
    ExecSession *s = ctx;
    if (channel == CHANNEL_RESIZE)
        resize(s, data, len);
    if (channel != CHANNEL_STDIN)
        return;
    if (!s->begun)
        buf_append(&s->early, data, len);
    else if (s->in)
        pump_write(s->in, data, len);
    if ((s->in ? pump_pending(s->in) : s->early.len) > STDIN_MAX)
        channels_pause(s->ch, true);
}

static void close_input(ExecSession *s)
{
    if (s->in && s->in != s->out)
        pump_shut(s->in);
}

static void on_channel_close(void *ctx, unsigned channel)
{
    ExecSession *s = ctx;
    if (channel != CHANNEL_STDIN)
        return;
    s->stdin_closed = true;
    close_input(s);
}

static void on_client_end(void *ctx, const Err *why)
{
    exec_end(ctx);
}

/* ---- the supervisor ---- */

static int take_fd(ExecSession *s, int *fd, bool reads, Pump **ret, Err *err)
{
    PumpSpec spec = { .loop = s->server->k->loop,
                      .fd = *fd,
                      .reads = reads,
                      .on_data = on_output,
                      .on_end = on_output_end,
                      .on_drain = on_input_written,
                      .ctx = s };
    *fd = -1;
    return pump_new(&spec, ret, err);
}

static int take_fds(ExecSession *s, PodMsg *m, Err *err)
{
    bool terminal = !s->attach && s->spec.tty;
    int r = 0;
    if (m->fds[0] >= 0 && (terminal || s->spec.use_stdin))
        r = take_fd(s, &m->fds[0], terminal, &s->in, err);
    if (terminal)
        s->out = s->in;
    if (r == 0 && m->fds[1] >= 0 && !terminal)
        r = take_fd(s, &m->fds[1], true, &s->out, err);
    if (r == 0 && m->fds[2] >= 0 && !terminal)
        r = take_fd(s, &m->fds[2], true, &s->err, err);
    return r;
}

static void begin(ExecSession *s, PodMsg *m)
{
    uint32_t request;
    Err err = { 0 };
    if (m->err.code != ERR_NONE || take_fds(s, m, &err) < 0) {
        finish(s, m->err.code != ERR_NONE ? &m->err : &err);
        return;
    }
    s->begun = true;
    if (s->cols && s->attach)
        (void)!pod_send_resize(s->pod, s->app, s->cols, s->rows, &request, NULL);
    else if (s->cols && s->in) {
        struct winsize size = { .ws_col = s->cols, .ws_row = s->rows };
        ioctl(pump_fd(s->in), TIOCSWINSZ, &size);
    }
    if (s->in && s->early.len)
        pump_write(s->in, s->early.ptr, s->early.len);
    buf_free(&s->early);
    if (s->stdin_closed)
        close_input(s);
    maybe_finish(s);
}

static void on_pod(void *ctx, uint32_t events)
{
    ExecSession *s = ctx;
    PodMsg m;
    Err err = { 0 };
    int r = 0;
    while (!s->finished && (r = pod_read(s->pod, &m, &err)) > 0) {
        if (m.kind == POD_MSG_REPLY && !s->begun)
            begin(s, &m);
        else if (m.kind == POD_MSG_EXEC && strcmp(m.id, s->id) == 0) {
            s->exited = true;
            s->code = m.exit_code;
            maybe_finish(s);
        } else if (m.kind == POD_MSG_CLOSED) {
            s->exited = true;
            s->code = 137; /* killed with its pod */
            finish(s, s->begun ? NULL : &(Err){ .code = ERR_CLOSED, .msg = "the pod has ended" });
        }
        pod_msg_close(&m);
    }
    if (r < 0)
        finish(s, &err);
}

static void on_ready(void *ctx)
{
    ExecSession *s = ctx;
    uint32_t request;
    Err err = { 0 };
    int r = s->attach ? pod_send_attach(s->pod, s->app, &request, &err)
                      : pod_send_exec(s->pod, &s->spec, &request, &err);
    if (r == 0)
        r = loop_add_fd(s->server->k->loop, pod_fd(s->pod), LOOP_READ, on_pod, s, &s->pod_source,
                        &err);
    if (r < 0)
        finish(s, &err);
}

/* ---- the request ---- */

static int read_command(KubeletRequest *r, ExecSession *s, Err *err)
{
    const char **argv = arena_array(&s->arena, const char *, ARGS_MAX + 1);
    StrView rest = r->req->query, name, value;
    if (!argv)
        return err_nomem(err);
    s->spec.argv.items = argv;
    while (http_query_next(r->req->arena, &rest, &name, &value)) {
        if (!sv_eq(name, SV("command")))
            continue;
        if (s->spec.argv.len == ARGS_MAX)
            return err_set(err, ERR_LIMIT, 0, "more than %d words in the command", ARGS_MAX);
        if (!(argv[s->spec.argv.len++] = arena_cstr(&s->arena, value)))
            return err_set(err, ERR_INVALID, 0, "a word of the command holds a NUL");
    }
    return s->spec.argv.len || s->attach
               ? 0
               : err_set(err, ERR_INVALID, 0, "you must specify a command");
}

static int open_session(KubeletRequest *r, Container *c, ExecSession *s, Err *err)
{
    char dir[PATH_SIZE], uuid[UUID_SIZE];
    const HttpReq *q = r->req;
    s->spec.tty = s->attach ? value_bool_or(value_get(c->spec, SV("tty")), false)
                            : kubelet_flag(q, SV("tty"));
    s->spec.use_stdin = kubelet_flag(q, SV("input"));
    s->spec.use_stdout = kubelet_flag(q, SV("output"));
    s->spec.use_stderr = kubelet_flag(q, SV("error")) && !s->spec.tty;
    if (!s->spec.use_stdin && !s->spec.use_stdout && !s->spec.use_stderr)
        return err_set(err, ERR_INVALID, 0, "you must specify at least 1 of stdin, stdout, stderr");
    if (uuid4(uuid) < 0)
        return err_set(err, ERR_SYS, 0, "no random numbers");
    snprintf(s->id, sizeof s->id, "exec-%s", uuid);
    container_app_id(c, s->app);
    s->spec.id = s->id;
    s->spec.app = s->app;
    s->spec.cwd = s->spec.user = "";
    int rc = read_command(r, s, err);
    if (rc < 0 || (rc = pod_connect(worker_dir(c->worker, dir), &s->pod, err)) < 0)
        return rc;
    ChannelsSpec spec = { .kind = CHANNELS_COMMAND,
                          .in = s->spec.use_stdin,
                          .out = s->spec.use_stdout,
                          .err = s->spec.use_stderr,
                          .tty = s->spec.tty };
    ChannelsEvents ev = { .on_ready = on_ready,
                          .on_data = on_channel_data,
                          .on_close_channel = on_channel_close,
                          .on_drain = on_client_drain,
                          .on_end = on_client_end,
                          .ctx = s };
    return channels_accept(r->req, &spec, &ev, &s->ch, err);
}

static void serve_command(KubeletRequest *r, bool attach)
{
    Container *c = kubelet_request_container(r);
    Err err = { 0 };
    if (!c)
        return;
    if (c->phase != PHASE_RUNNING) {
        kubelet_refuse(r->req, 500, "container not found (\"%s\")", c->name);
        return;
    }
    ExecSession *s = calloc(1, sizeof *s);
    if (!s) {
        kubelet_refuse(r->req, 500, "out of memory");
        return;
    }
    s->server = r->server;
    s->attach = attach;
    arena_init(&s->arena, 0);
    session_add(r->server, &s->session, exec_end);
    if (open_session(r, c, s, &err) < 0) {
        exec_end(&s->session);
        kubelet_refuse(r->req, kubelet_upgrade_status(&err), "%s", err.msg);
    }
}

void serve_exec(KubeletRequest *r)
{
    serve_command(r, false);
}

void serve_attach(KubeletRequest *r)
{
    serve_command(r, true);
}
