/* log.c - what podman, containerd and people read of an error: lines of logrus' text or JSON form.
 * conmon and containerd take the last {"level":"error"} of the file that --log names. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "codec/json.h"
#include "cmd/oci/verbs.h"

static const char *const level_names[] = { "debug", "warning", "error" };
static const char *const level_short[] = { "\033[37mDEBU", "\033[33mWARN", "\033[31mERRO" };

static void format_time(char ret[static 48])
{
    time_t now = time(NULL);
    struct tm tm;
    char zone[8];
    size_t n;

    localtime_r(&now, &tm);
    n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm); /* "+0100" */
    if (!strcmp(zone, "+0000"))
        snprintf(ret + n, 48 - n, "Z");
    else
        snprintf(ret + n, 48 - n, "%.3s:%.2s", zone, zone + 3);
}

static bool needs_quotes(const char *text)
{
    return !*text || text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-._/@^+")];
}

static void format_line(const OciGlobal *g, OciLevel level, const char *text, bool tty, Buf *out)
{
    char when[48];

    format_time(when);
    if (tty) {
        buf_printf(out, "%s\033[0m[0000] %-44s\n", level_short[level], text);
    } else if (g->log_json) {
        buf_printf(out, "{\"level\":\"%s\",\"msg\":", level_names[level]);
        json_encode_string(sv_cstr(text), out);
        buf_printf(out, ",\"time\":\"%s\"}\n", when);
    } else {
        buf_printf(out, "time=\"%s\" level=%s msg=", when, level_names[level]);
        if (needs_quotes(text))
            json_encode_string(sv_cstr(text), out);
        else
            buf_printf(out, "%s", text);
        buf_putc(out, '\n');
    }
}

void oci_log(const OciGlobal *g, OciLevel level, const char *text)
{
    _cleanup_close_ int file = -1;
    _cleanup_buf_ Buf line = BUF_INIT;

    if (g->log)
        file = open(g->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    format_line(g, level, text, file < 0 && !g->log_json && isatty(2), &line);
    if (!line.failed)
        (void)!fd_write_full(file < 0 ? 2 : file, line.ptr, line.len);
}

/* Go says "no such file or directory" where the C library begins with a capital letter, and callers
 * look for that. */
static void lower_reason(const Err *err, char *text)
{
    const char *reason = err->sys ? strerror(err->sys) : NULL;
    char *at = reason ? strstr(text, reason) : NULL;

    if (at && *at >= 'A' && *at <= 'Z' && !(at[1] >= 'A' && at[1] <= 'Z'))
        *at = (char)(*at + 32);
}

int oci_fail(const OciGlobal *g, int code, const Err *err)
{
    char text[sizeof err->msg];

    memcpy(text, err->msg, sizeof text);
    lower_reason(err, text);
    oci_log(g, OCI_LEVEL_ERROR, text);
    if (g->log)
        fprintf(stderr, "%s\n", text);
    return code;
}

int oci_fail_with(const OciGlobal *g, int code, const char *words, Err *err)
{
    err_wrap(err, "%s", words);
    return oci_fail(g, code, err);
}
