/* target.c - many scrape targets in one process: bench-target PORT DIR
 *
 * Every path is a target. Each answers with the files of DIR in turn (0, 1, 2 …, recorded from a
 * real exporter), so that values move as they do in life; targets begin at different files. */
#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"
#include "net/http.h"

enum { BODY_MAX = 64 * 1024 * 1024, BODIES_MAX = 100000 };

typedef struct Targets {
    VEC(Buf) bodies;
    Map next; /* path -> number of its next body, from 1 */
} Targets;

static void handle(void *ctx, HttpReq *req)
{
    Targets *t = ctx;
    uintptr_t n = (uintptr_t)map_get(&t->next, req->path);
    if (!n)
        n = 1 + t->next.len * 7 % t->bodies.len;
    if (!map_set(&t->next, req->path, (void *)(n % t->bodies.len + 1), NULL))
        abort();
    http_respond(req, 200, SV("text/plain; version=0.0.4"), buf_view(&t->bodies.items[n - 1]));
}

static int read_bodies(Targets *t, const char *dir, Err *err)
{
    for (unsigned i = 0; i < BODIES_MAX; i++) {
        char path[4096];
        Buf body = BUF_INIT;
        snprintf(path, sizeof path, "%s/%u", dir, i);
        int r = file_read(AT_FDCWD, path, BODY_MAX, &body);
        if (r == -ENOENT && i > 0)
            return 0;
        if (r < 0)
            return err_neg(err, r, "read '%s'", path);
        if (!vec_push(&t->bodies, body))
            return err_nomem(err);
    }
    return 0;
}

int main(int argc, char **argv)
{
    Targets t = { 0 };
    Loop *l = NULL;
    HttpServer *s = NULL;
    Err err = { 0 };
    char addr[64];
    if (argc != 3) {
        fputs("usage: bench-target PORT DIR\n", stderr);
        return 2;
    }
    snprintf(addr, sizeof addr, "127.0.0.1:%s", argv[1]);
    const HttpServerConfig c = { .handler = handle, .ctx = &t, .body_max = 1024 };
    if (read_bodies(&t, argv[2], &err) < 0 || loop_new(&l, &err) < 0 ||
        http_server_new(l, addr, &c, &s, &err) < 0 || loop_run(l, &err) < 0)
        fprintf(stderr, "bench-target: %s\n", err.msg);
    return err.code != ERR_NONE;
}
