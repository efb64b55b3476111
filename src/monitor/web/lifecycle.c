/* lifecycle.c - /-/healthy, /-/ready, /-/reload and /-/quit. */
#include "base/log.h"
#include "monitor/web/internal.h"

void serve_healthy(Call *c)
{
    call_text(c, 200, "Prometheus Server is Healthy.\n");
}

void serve_ready(Call *c)
{
    call_text(c, 200, "Prometheus Server is Ready.\n");
}

static bool lifecycle_allowed(Call *c)
{
    if (c->method == METHOD_GET)
        call_text(c, 405, "Only POST or PUT requests allowed");
    else if (!c->web->opt.lifecycle)
        call_text(c, 403, "Lifecycle API is not enabled.");
    else
        return true;
    return false;
}

void serve_reload(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    Err err = { 0 };
    if (!lifecycle_allowed(c))
        return;
    bool ok = !p->reload || p->reload(p->ctx, &err) == 0;
    web_reloaded(c->web, ok);
    c->out_type = SV("text/plain; charset=utf-8");
    if (!ok) {
        log_error("reload: %s", err.msg);
        call_text(c, 500, "failed to reload config: %s\n", err.msg);
    }
}

void serve_quit(Call *c)
{
    if (!lifecycle_allowed(c))
        return;
    call_text(c, 200, "Requesting termination... Goodbye!");
    notice_set(c->web, NOTICE_STOPPING, true);
    c->web->quit = true; /* once the answer is on its way */
}
