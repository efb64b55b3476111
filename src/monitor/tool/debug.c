/* debug.c - see debug.h. Profiles arrive compressed and are stored plain, as promtool does. */
#include "monitor/tool/debug.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/clock.h"
#include "codec/gzip.h"
#include "monitor/tool/internal.h"

#define DEBUG_ARCHIVE "debug.tar.gz"

enum { DEBUG_TIMEOUT_MS = 2 * 60 * 1000, DEBUG_FILE_MAX = 1024 * 1024 * 1024 };

static const struct {
    DebugWhat what;
    const char *path, *form, *file;
} sources[] = {
    { DEBUG_PPROF, "/debug/pprof/profile", "seconds=30", "cpu.pb" },
    { DEBUG_PPROF, "/debug/pprof/block", "", "block.pb" },
    { DEBUG_PPROF, "/debug/pprof/goroutine", "", "goroutine.pb" },
    { DEBUG_PPROF, "/debug/pprof/heap", "", "heap.pb" },
    { DEBUG_PPROF, "/debug/pprof/mutex", "", "mutex.pb" },
    { DEBUG_PPROF, "/debug/pprof/threadcreate", "", "threadcreate.pb" },
    { DEBUG_PPROF, "/debug/pprof/trace", "seconds=30", "trace.pb" },
    { DEBUG_METRICS, "/metrics", "", "metrics.txt" },
};

static bool is_gzip(StrView s)
{
    return sv_starts(s, SV("\x1f\x8b"));
}

static int add_file(struct archive *to, const char *name, StrView data, Err *err)
{
    struct archive_entry *e = archive_entry_new();
    if (!e)
        return err_nomem(err);
    archive_entry_set_pathname(e, name);
    archive_entry_set_size(e, (la_int64_t)data.len);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0666);
    int r = archive_write_header(to, e);
    archive_entry_free(e);
    if (r != ARCHIVE_OK || archive_write_data(to, data.ptr, data.len) != (la_ssize_t)data.len)
        return err_set(err, ERR_SYS, archive_errno(to), "write '%s'", DEBUG_ARCHIVE);
    return 0;
}

/* 1: it is in the archive. 0: the server does not have it. */
static int collect(const ToolIo *io, Server *s, size_t i, const char *url, struct archive *to,
                   Err *err)
{
    _cleanup_arena_ Arena a;
    _cleanup_buf_ Buf plain = BUF_INIT;
    const ServerRequest q = { .path = sv_cstr(sources[i].path),
                              .form = sv_cstr(sources[i].form),
                              .timeout_ms = DEBUG_TIMEOUT_MS };
    StrView body;
    int status;
    arena_init(&a, 0);
    fprintf(io->out, "collecting: %s%s%s%s\n", url, sources[i].path, *sources[i].form ? "?" : "",
            sources[i].form);
    fflush(io->out);
    int r = server_request(s, &q, &a, &status, &body, err);
    if (r < 0)
        return err_wrap(err, "error executing HTTP request");
    if (status != 200) {
        tool_complain(io, "the server does not offer %s: it answers with status %d\n",
                      sources[i].path, status);
        return 0;
    }
    bool trace = strcmp(sources[i].file, "trace.pb") == 0;
    if (sources[i].what == DEBUG_PPROF && !trace && is_gzip(body)) {
        if ((r = gunzip(body, DEBUG_FILE_MAX, &plain, err)) < 0)
            return err_wrap(err, "%s", sources[i].path);
        body = buf_view(&plain);
    }
    r = add_file(to, sources[i].file, body, err);
    return r < 0 ? r : 1;
}

static int write_archive(const ToolIo *io, const char *url, unsigned what, Server *s, Err *err)
{
    struct archive *to = archive_write_new();
    int found = 0, r = 0;
    if (!to)
        return err_nomem(err);
    if (archive_write_add_filter_gzip(to) != ARCHIVE_OK ||
        archive_write_set_format_ustar(to) != ARCHIVE_OK ||
        archive_write_open_filename(to, DEBUG_ARCHIVE) != ARCHIVE_OK)
        r = err_set(err, ERR_SYS, archive_errno(to), "error creating archive \"%s\"",
                    DEBUG_ARCHIVE);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sources); i++) {
        if (!(sources[i].what & what))
            continue;
        r = collect(io, s, i, url, to, err);
        found += r > 0;
    }
    if (r >= 0 && archive_write_close(to) != ARCHIVE_OK)
        r = err_set(err, ERR_SYS, archive_errno(to), "error closing archive writer");
    archive_write_free(to);
    if (r >= 0 && !found)
        r = err_set(err, ERR_NOT_FOUND, 0, "the server offers nothing of what is asked for");
    if (r < 0)
        unlink(DEBUG_ARCHIVE);
    return r;
}

int tool_debug(const ToolIo *io, const char *url, unsigned what)
{
    const ServerOptions o = { .url = url };
    Server *s = NULL;
    Err err = { 0 };
    int r = server_new(&o, &s, &err);
    if (r >= 0)
        r = write_archive(io, url, what, s, &err);
    server_free(s);
    if (r < 0) {
        tool_complain(io, "error completing debug command: %s\n", err.msg);
        return TOOL_FAILED;
    }
    fprintf(io->out, "Compiling debug information complete, all files written in \"%s\".\n",
            DEBUG_ARCHIVE);
    return TOOL_OK;
}
