/* node_link.c - the way to a kubelet: logs, exec, attach and port-forward of a pod.
 *
 * Logs are an ordinary request whose answer is streamed on. The others are upgraded connections
 * (join.h). The server shows the kubelet its own client certificate; the user's credentials end
 * here. */
#include "api/check.h"
#include "apiserver/backend.h"
#include "apiserver/handlers.h"
#include "apiserver/join.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "base/encode.h"
#include "net/ws.h"

enum { LOG_PENDING_MAX = 1024 * 1024 };

/* The container that is meant: the one named, or the only one. */
static bool choose_container(ApiCall *x, const Value *pod, StrView *ret)
{
    static const StrView lists[] = { SV_INIT("containers"), SV_INIT("initContainers"),
                                     SV_INIT("ephemeralContainers") };
    const Value *containers = value_path(pod, "spec.containers");
    if (!http_query(x->req, SV("container"), ret) || !ret->len) {
        *ret = value_str(value_get(value_at(containers, 0), SV("name")));
        if (value_len(containers) == 1)
            return true;
        _cleanup_buf_ Buf names = BUF_INIT;
        value_list_foreach (c, containers)
            buf_printf(&names, "%s%.*s", names.len ? " " : "",
                       SV_FMT(value_str(value_get(c, SV("name")))));
        respond_status(x, REASON_BAD_REQUEST,
                       "a container name must be specified for pod %.*s, choose one of: [%.*s]",
                       SV_FMT(x->name), (int)names.len, names.ptr);
        return false;
    }
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        value_list_foreach (c, value_get(value_get(pod, SV("spec")), lists[l])) {
            if (sv_eq(value_str(value_get(c, SV("name"))), *ret))
                return true;
        }
    }
    respond_status(x, REASON_BAD_REQUEST, "container %.*s is not valid for pod %.*s", SV_FMT(*ret),
                   SV_FMT(x->name));
    return false;
}

static void escape(StrView s, Buf *out)
{
    percent_encode_but(s, "/", out);
}

/* The kubelet's own names for the options of exec and attach. */
static StrView kubelet_param(StrView name)
{
    if (sv_eq(name, SV("stdin")))
        return SV("input");
    if (sv_eq(name, SV("stdout")))
        return SV("output");
    if (sv_eq(name, SV("stderr")))
        return SV("error");
    return name;
}

/* "/exec/NS/POD/CONTAINER?command=…" */
static void build_target(ApiCall *x, const char *verb, StrView container, Buf *out)
{
    buf_printf(out, "/%s/", verb);
    escape(x->ns, out);
    buf_putc(out, '/');
    escape(x->name, out);
    if (container.len) {
        buf_putc(out, '/');
        escape(container, out);
    }
    StrView rest = x->req->query, name, value;
    char sep = '?';
    while (http_query_next(x->arena, &rest, &name, &value)) {
        if (sv_eq(name, SV("container")))
            continue;
        StrView own = kubelet_param(name);
        if (!sv_eq(own, name)) /* stdin=true becomes input=1 */
            value = http_bool_value(value) ? SV("1") : SV("0");
        buf_putc(out, sep);
        escape(own, out);
        buf_putc(out, '=');
        escape(value, out);
        sep = '&';
    }
}

/* ---- logs ---- */

typedef struct LogStream {
    ApiCall *x;
    HttpCall *call;
    bool started;
    StrView protocol; /* of a WebSocket, which carries pieces of the log as messages */
    bool wants_ws, base64;
    WsPush *ws;
    int status;
    Buf refused; /* the kubelet's words when it is not 200 */
} LogStream;

static void log_free(LogStream *s)
{
    http_call_cancel(s->call);
    ws_push_free(s->ws);
    buf_free(&s->refused);
    free(s);
}

static void on_log_peer_gone(void *ctx)
{
    log_free(ctx);
}

static void log_cut(LogStream *s)
{
    HttpReq *req = s->x->req;
    http_on_close(req, NULL, NULL);
    log_free(s);
    http_abort(req);
}

static int log_send(LogStream *s, const void *data, size_t len)
{
    static const WsPart text = { .text = true, .first = true, .last = true },
                        bytes = { .first = true, .last = true };
    if (!s->ws)
        return http_stream_write(s->x->req, data, len, NULL);
    if (!s->base64)
        return ws_push(s->ws, bytes, data, len, NULL);
    _cleanup_buf_ Buf b = BUF_INIT;
    base64_encode(BASE64_STD, sv_n(data, len), &b);
    return b.failed ? -ERR_NOMEM : ws_push(s->ws, text, b.ptr, b.len, NULL);
}

static void on_log_head(void *ctx, int status, const HttpHeader *headers, uint32_t n)
{
    LogStream *s = ctx;
    s->status = status;
    if (status != 200)
        return;
    int r = s->wants_ws ? ws_push_start(s->x->req, s->protocol, on_log_peer_gone, s, &s->ws, NULL)
                        : http_stream_start(s->x->req, 200, SV("text/plain"), NULL);
    s->started = r == 0;
    if (r < 0 || (s->ws && log_send(s, "", 0) < 0)) /* as the peer: it begins with an empty one */
        log_cut(s);
}

static void on_log_drain(void *ctx)
{
    LogStream *s = ctx;
    http_call_pause(s->call, false);
}

static void on_log_data(void *ctx, const void *data, size_t len)
{
    LogStream *s = ctx;
    if (!s->started) {
        if (s->refused.len < 1024)
            buf_append(&s->refused, data, len);
        return;
    }
    if (log_send(s, data, len) < 0) {
        log_cut(s); /* rather than leave something out */
        return;
    }
    if (http_stream_pending(s->x->req) > LOG_PENDING_MAX) {
        http_stream_on_drain(s->x->req, on_log_drain, s);
        http_call_pause(s->call, true);
    }
}

static void on_log_done(void *ctx, const Err *err)
{
    LogStream *s = ctx;
    ApiCall *x = s->x;
    s->call = NULL;
    if (s->started && err) {
        log_cut(s);
        return;
    }
    if (s->ws) {
        WsPush *ws = TAKE_PTR(s->ws);
        log_free(s);
        ws_push_end(ws);
        return;
    }
    http_on_close(x->req, NULL, NULL);
    if (s->started)
        http_stream_end(x->req);
    else if (err)
        respond_status(x, REASON_INTERNAL, "Internal error occurred: reach the kubelet: %s",
                       err->msg);
    else
        respond_status(x,
                       s->status == 404   ? REASON_NOT_FOUND
                       : s->status == 400 ? REASON_BAD_REQUEST
                                          : REASON_INTERNAL,
                       "%.*s", (int)s->refused.len, s->refused.ptr ? s->refused.ptr : "");
    log_free(s);
}

/* Refused before the kubelet is asked: what is no handshake, or names no protocol of ours. */
static bool choose_log_protocol(LogStream *s)
{
    ApiCall *x = s->x;
    s->base64 = false;
    if (!ws_wanted(x->req))
        respond_status(x, REASON_BAD_REQUEST,
                       "a WebSocket begins with GET over HTTP/1.1, version 13 and a key");
    else if (!ws_choose_protocol(x->req, SV("binary.k8s.io,base64.binary.k8s.io"), &s->protocol))
        respond_status(x, REASON_FORBIDDEN,
                       "requested protocol(s) are not supported: supports [ binary.k8s.io "
                       "base64.binary.k8s.io]");
    else {
        s->base64 = sv_starts(s->protocol, SV("base64."));
        return true;
    }
    return false;
}

static void open_log(ApiCall *x, HttpClient *client, StrView target)
{
    Err err = { 0 };
    LogStream *s = calloc(1, sizeof *s);
    if (!s) {
        err_nomem(&err);
        respond_err(x, &err);
        return;
    }
    s->x = x;
    s->wants_ws = ws_asked_for(x->req);
    if (s->wants_ws && !choose_log_protocol(s)) {
        log_free(s);
        return;
    }
    HttpCallSpec spec = { .method = SV("GET"),
                          .target = target,
                          .on_head = on_log_head,
                          .on_data = on_log_data,
                          .on_done = on_log_done,
                          .ctx = s };
    http_on_close(x->req, on_log_peer_gone, s);
    if (http_call(client, &spec, &s->call, &err) < 0) {
        http_on_close(x->req, NULL, NULL);
        log_free(s);
        respond_err(x, &err);
    }
}

/* ---- upgrades ---- */

static void open_stream(ApiCall *x, HttpClient *client, StrView target)
{
    _cleanup_buf_ Buf head = BUF_INIT;
    if (!http_header(x->req, SV("upgrade")).len) {
        respond_status(x, REASON_BAD_REQUEST, "Upgrade request required");
        return;
    }
    buf_printf(&head, "%.*s %.*s HTTP/1.1\r\nHost: kubelet\r\n", SV_FMT(x->req->method),
               SV_FMT(target));
    if (!join_headers(x->req, &head)) {
        respond_status(x, REASON_BAD_REQUEST, "a header's value must be one line");
        return;
    }
    buf_sv(&head, SV("\r\n"));
    if (head.failed)
        respond_nomem(x);
    else
        join_open(x, client, false, buf_view(&head));
}

bool node_link_handle(ApiCall *x)
{
    static const struct {
        StrView sub;
        const char *path;
        bool container;
    } rows[] = {
        { SV_INIT("log"), "containerLogs", true },
        { SV_INIT("exec"), "exec", true },
        { SV_INIT("attach"), "attach", true },
        { SV_INIT("portforward"), "portForward", false },
    };
    size_t i = 0;
    while (i < ARRAY_SIZE(rows) && !sv_eq(rows[i].sub, x->sub))
        i++;
    if (i == ARRAY_SIZE(rows) || !sv_eq(x->resource, SV("pods")))
        return false;
    Value pod;
    StrView container = SV_NULL;
    if (!object_core(x->srv->store, SV("pods"), x->ns, x->name, x->arena, &pod)) {
        respond_not_found(x);
        return true;
    }
    StrView node = value_path_str(&pod, "spec.nodeName");
    if (rows[i].container && !choose_container(x, &pod, &container))
        return true;
    if (!node.len) {
        if (respond_exhausted(x))
            return true;
        if (i == 0)
            http_respond(x->req, 200, SV("text/plain"),
                         SV("")); /* as the peer: no node, no log yet */
        else
            respond_status(x, REASON_BAD_REQUEST, "pod %.*s does not have a host assigned",
                           SV_FMT(x->name));
        return true;
    }
    HttpClient *client = backend_kubelet(x, node);
    if (!client)
        return true;
    _cleanup_buf_ Buf target = BUF_INIT;
    build_target(x, rows[i].path, container, &target);
    if (target.failed)
        respond_nomem(x);
    else if (respond_exhausted(x)) /* it may lack an option */
        return true;
    else if (i == 0)
        open_log(x, client, buf_view(&target));
    else
        open_stream(x, client, buf_view(&target));
    return true;
}
