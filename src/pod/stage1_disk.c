/* stage1_disk.c - the files below apps/ID that outlive stage1. Each is replaced in one step, and
 * before anybody is told what it says; what must outlive the machine, too, is synced (pod.h). */
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "pod/stage1.h"

static int disk_write(Stage1 *s, const char *app, const char *file, StrView text, bool durable,
                      Err *err)
{
    char path[APP_ID_MAX + 64];
    int r;

    snprintf(path, sizeof path, "apps/%s/%s", app, file);
    r = file_write_atomic(s->dir_fd, path, text, 0600, durable);
    return r < 0 ? err_neg(err, r, "write %s", path) : 0;
}

static void put_string(Buf *out, const char *text)
{
    buf_putc(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_printf(out, "\\%c", *c);
        else if (*c < 0x20)
            buf_printf(out, "\\u%04x", *c);
        else
            buf_putc(out, (char)*c);
    }
    buf_putc(out, '"');
}

static void put_time(Buf *out, const char *key, int64_t ns)
{
    char stamp[RFC3339_SIZE];

    if (ns)
        buf_printf(out, ",\"%s\":\"%s\"", key, rfc3339_format(ns, 9, stamp));
}

int disk_write_exit(Stage1 *s, const App *app, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    const AppStatus *st = &app->st;

    buf_printf(&out, "{\"exitCode\":%d,\"signal\":%d,\"oomKilled\":%s", st->exit_code, st->signal,
               st->oom_killed ? "true" : "false");
    put_time(&out, "startedAt", st->started_ns);
    put_time(&out, "finishedAt", st->finished_ns);
    buf_printf(&out, ",\"reason\":");
    put_string(&out, st->reason);
    buf_printf(&out, ",\"message\":");
    put_string(&out, st->message);
    buf_printf(&out, "}\n");
    return out.failed ? err_nomem(err) : disk_write(s, st->id, "exit", buf_view(&out), true, err);
}

int disk_write_started(Stage1 *s, const App *app, Err *err)
{
    char text[RFC3339_SIZE + 1], pid[16];
    int r;

    rfc3339_format(app->st.started_ns, 9, text);
    snprintf(pid, sizeof pid, "%d\n", (int)app->st.pid);
    r = disk_write(s, app->st.id, "pid", sv_cstr(pid), false, err);
    return r < 0 ? r : disk_write(s, app->st.id, "started", sv_cstr(text), false, err);
}
