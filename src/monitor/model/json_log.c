#include "monitor/model/json_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/clock.h"
#include "codec/json.h"

struct JsonLog {
    int fd;
};

int json_log_open(StrView path, JsonLog **ret, Err *err)
{
    char name[PATH_MAX];
    if (!sv_copy_cstr(path, name, sizeof name))
        return err_set(err, ERR_LIMIT, 0, "the name of a log is too long");
    JsonLog *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(err);
    l->fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (l->fd < 0) {
        int r = err_set(err, ERR_SYS, errno, "open '%s'", name);
        free(l);
        return r;
    }
    *ret = l;
    return 0;
}

JsonLog *json_log_close(JsonLog *l)
{
    if (l)
        close(l->fd);
    free(l);
    return NULL;
}

bool json_log_write(JsonLog *l, const char *level, StrView msg, StrView members)
{
    _cleanup_buf_ Buf line = BUF_INIT;
    char time[RFC3339_SIZE];
    buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":",
               rfc3339_format_nano(clock_real_ns(), time), level);
    json_encode_string(msg, &line);
    if (members.len)
        buf_putc(&line, ',');
    buf_sv(&line, members);
    buf_sv(&line, SV("}\n"));
    return !line.failed && write(l->fd, line.ptr, line.len) == (ssize_t)line.len;
}
