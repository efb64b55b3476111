/* stage1_log.c - log files in CRI's format (cri-api, "LogFormat"): time, stream, F for a full line
 * or P for a part of one, text. Lines over 16 KiB are split into parts; an output that ends without
 * a newline ends in a part, as containerd writes it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "pod/log_file.h"
#include "pod/stage1.h"

int log_open(App *app, Err *err)
{
    struct stat st;
    int fd;

    if (!*app->spec.log_path)
        return 0;
    fd = log_file_open(app->spec.log_path, O_WRONLY | O_APPEND | O_CREAT);
    if (fd < 0)
        return err_neg(err, fd, "open log '%s'", app->spec.log_path);
    closep(&app->log_fd);
    app->log_fd = fd;
    app->log_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    return 0;
}

static void put_line(Buf *out, const char *stamp, const char *name, char tag, StrView a, StrView b)
{
    buf_printf(out, "%s %s %c ", stamp, name, tag);
    buf_sv(out, a);
    buf_sv(out, b);
    buf_putc(out, '\n');
}

void log_format(Buf *partial, const char *name, const char *stamp, StrView data, bool end, Buf *out)
{
    while (data.len) {
        ssize_t nl = sv_find_char(data, '\n');
        size_t n = nl < 0 ? data.len : (size_t)nl;
        size_t room = LOG_LINE_MAX - partial->len;

        if (n > room || (nl < 0 && n == room)) {
            put_line(out, stamp, name, 'P', buf_view(partial), sv_head(data, room));
            data = sv_skip(data, room);
            buf_clear(partial);
        } else if (nl >= 0) {
            put_line(out, stamp, name, 'F', buf_view(partial), sv_head(data, n));
            data = sv_skip(data, n + 1);
            buf_clear(partial);
        } else {
            buf_sv(partial, data);
            data = SV("");
        }
    }
    if (end && partial->len) {
        put_line(out, stamp, name, 'P', buf_view(partial), SV(""));
        buf_clear(partial);
    }
}

/* What cannot be done now is tried again after as much output once more. */
static void rotate(App *app)
{
    app->log_bytes = 0;
    if (log_file_rotate(app->spec.log_path, app->spec.log_max_files) == 0)
        (void)!log_open(app, NULL);
}

void log_output(Stage1 *s, Stream *st, StrView data, bool end)
{
    char stamp[RFC3339_SIZE];

    if (st->app->log_fd < 0)
        return;
    buf_clear(&s->scratch);
    log_format(&st->partial, st->name, rfc3339_format(clock_real_ns(), 9, stamp), data, end,
               &s->scratch);
    /* A full disk must not stop the app: its output is lost then, ignoring. */
    (void)!fd_write_full(st->app->log_fd, s->scratch.ptr, s->scratch.len);
    st->app->log_bytes += s->scratch.len;
    if (st->app->spec.log_max_bytes && st->app->log_bytes >= st->app->spec.log_max_bytes)
        rotate(st->app);
    if (st->partial.len == 0)
        buf_free(&st->partial);
    if (s->scratch.cap > 64 * 1024)
        buf_free(&s->scratch);
}
