/* server_files.c - the node's log folder, to be looked through: lists of folders, and files.
 *
 * It is the folder that holds the pods' logs. Nothing outside of it is reached: names are opened
 * below its descriptor and links are not followed. A file is read only as fast as the reader takes
 * it, up to the size that it had. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "kubelet/server.h"

enum { BLOCK = 65536, PENDING_MAX = 512 * 1024, ENTRIES_MAX = 100000 };

typedef struct FileSession {
    Session session;
    HttpReq *req;
    int fd;
    off_t left;
} FileSession;

static void file_end(Session *x)
{
    FileSession *s = (FileSession *)x; /* its first member */
    session_del(x);
    close(s->fd);
    free(s);
}

/* The server ends: so does the answer. */
static void file_cut(Session *x)
{
    HttpReq *req = ((FileSession *)x)->req;
    http_on_close(req, NULL, NULL);
    file_end(x);
    http_abort(req);
}

static void on_peer_gone(void *ctx)
{
    file_end(&((FileSession *)ctx)->session);
}

static void pump_file(void *ctx)
{
    FileSession *s = ctx;
    HttpReq *req = s->req;
    char block[BLOCK];
    while (s->left > 0 && http_stream_pending(req) < PENDING_MAX) {
        ssize_t n = read(s->fd, block, (size_t)MIN(s->left, (off_t)BLOCK));
        if (n <= 0 || http_stream_write(req, block, (size_t)n, NULL) < 0) {
            file_cut(&s->session);
            return;
        }
        s->left -= n;
    }
    if (s->left > 0)
        return;
    http_on_close(req, NULL, NULL);
    file_end(&s->session);
    http_stream_end(req);
}

static void send_file(KubeletRequest *r, int fd, off_t size)
{
    char length[24];
    FileSession *s = calloc(1, sizeof *s);
    snprintf(length, sizeof length, "%lld", (long long)size);
    if (!s || http_set_header(r->req, SV("Content-Length"), sv_cstr(length), NULL) < 0 ||
        http_stream_start(r->req, 200, SV("text/plain; charset=utf-8"), NULL) < 0) {
        close(fd);
        free(s);
        kubelet_refuse(r->req, 500, "out of memory");
        return;
    }
    *s = (FileSession){ .req = r->req, .fd = fd, .left = size };
    session_add(r->server, &s->session, file_cut);
    http_on_close(r->req, on_peer_gone, s);
    http_stream_on_drain(r->req, pump_file, s);
    pump_file(s);
}

/* ---- folders ---- */

/* As text of HTML: all but the plainest as numbers. */
static void put_text(StrView name, Buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (isalnum(c) || strchr("-_.~", c))
            buf_putc(out, (char)c);
        else
            buf_printf(out, "&#%u;", c);
    }
}

static void send_folder(KubeletRequest *r, int fd)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    DIR *d = fdopendir(fd);
    struct dirent *e;
    unsigned n = 0;
    int more = 1;
    if (!d) {
        close(fd);
        kubelet_refuse(r->req, 500, "Error reading directory");
        return;
    }
    buf_sv(&b, SV("<pre>\n"));
    while (n < ENTRIES_MAX && (more = dir_next(d, &e)) > 0) {
        const char *slash = e->d_type == DT_DIR ? "/" : "";
        buf_sv(&b, SV("<a href=\""));
        percent_encode(sv_cstr(e->d_name), &b);
        buf_printf(&b, "%s\">", slash);
        put_text(sv_cstr(e->d_name), &b);
        buf_printf(&b, "%s</a>\n", slash);
        n++;
    }
    closedir(d);
    buf_sv(&b, SV("</pre>\n"));
    if (b.failed)
        kubelet_refuse(r->req, 500, "out of memory");
    else if (more < 0)
        kubelet_refuse(r->req, 500, "Error reading directory");
    else
        http_respond(r->req, 200, SV("text/html; charset=utf-8"), buf_view(&b));
}

/* ---- the request ---- */

/* The folder above the pods' logs. */
static int open_folder(const Kubelet *k)
{
    char path[PATH_SIZE];
    *strrchr(log_root(k, path), '/') = 0;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_below(int folder, const char *path)
{
    struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

void serve_log_files(KubeletRequest *r)
{
    StrView path = sv_skip(r->req->path, sizeof "/logs" - 1);
    while (path.len && path.ptr[0] == '/')
        path = sv_skip(path, 1);
    const char *name = arena_cstr(r->req->arena, path.len ? path : SV("."));
    int folder = open_folder(r->server->k), fd = -1;
    struct stat st;
    if (folder >= 0 && name)
        fd = open_below(folder, name);
    if (folder >= 0)
        close(folder);
    if (fd < 0 || fstat(fd, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))) {
        if (fd >= 0)
            close(fd);
        kubelet_refuse(r->req, 404, "404 page not found");
    } else if (S_ISDIR(st.st_mode))
        send_folder(r, fd);
    else
        send_file(r, fd, st.st_size);
}
