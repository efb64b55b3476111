/* watch.c - --config.auto-reload: notices that the configuration, or a file that it names, has
 * other contents than before. Files are read and digested on a pool thread. */
#include <glob.h>
#include <openssl/evp.h>

#include "base/file.h"
#include "base/log.h"
#include "monitor/parts/internal.h"

enum { WATCH_MIN_MS = 1000 };

typedef struct Sum {
    unsigned char bytes[EVP_MAX_MD_SIZE];
} Sum;

typedef struct ConfigWatch {
    Loop *loop;
    const char *file;
    ConfigOptions options;
    Source *timer;
    LoopFn *changed;
    void *ctx;
    bool looking, stopped, known;
    Sum sum, next;
    Err err;
    bool failed;
} ConfigWatch;

static int add_file(EVP_MD_CTX *md, const char *path, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text);
    if (r < 0)
        return err_neg(err, r, "read '%s'", path);
    EVP_DigestUpdate(md, path, strlen(path) + 1);
    EVP_DigestUpdate(md, text.ptr, text.len);
    EVP_DigestUpdate(md, "", 1);
    return 0;
}

static int add_pattern(EVP_MD_CTX *md, StrView pattern, Err *err)
{
    char text[4096];
    glob_t found = { 0 };
    int r = 0;
    if (!sv_copy_cstr(pattern, text, sizeof text))
        return err_set(err, ERR_LIMIT, 0, "the file name '%.*s' is too long", SV_FMT(pattern));
    if (glob(text, 0, NULL, &found) == 0)
        for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
            r = add_file(md, found.gl_pathv[i], err);
    globfree(&found);
    return r;
}

/* A configuration that is wrong counts by its own text: its error is for the reload to tell. */
static int digest(const ConfigWatch *w, Sum *ret, Err *err)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    Config *c = NULL;
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        return err_nomem(err);
    }
    int r = add_file(md, w->file, err);
    if (r == 0 && config_load(w->file, &w->options, &c, &(Err){ 0 }) == 0) {
        for (unsigned i = 0; r == 0 && i < c->rule_files.len; i++)
            r = add_pattern(md, c->rule_files.items[i], err);
        for (unsigned i = 0; r == 0 && i < c->scrape_config_files.len; i++)
            r = add_pattern(md, c->scrape_config_files.items[i], err);
    }
    config_unref(c);
    *ret = (Sum){ 0 };
    EVP_DigestFinal_ex(md, ret->bytes, NULL);
    EVP_MD_CTX_free(md);
    return r;
}

static void look_work(void *ctx)
{
    ConfigWatch *w = ctx;
    w->err = (Err){ 0 };
    w->failed = digest(w, &w->next, &w->err) < 0;
}

static void look_done(void *ctx)
{
    ConfigWatch *w = ctx;
    w->looking = false;
    if (w->stopped)
        return;
    if (w->failed) /* a file on its way from one name to another: the next look tells */
        log_warn("--config.auto-reload: %s", w->err.msg);
    else if (w->known && memcmp(&w->sum, &w->next, sizeof w->sum) != 0)
        w->changed(w->ctx);
    if (!w->failed) {
        w->sum = w->next;
        w->known = true;
    }
}

static void on_timer(void *ctx)
{
    ConfigWatch *w = ctx;
    if (!w->looking)
        w->looking = loop_work(w->loop, look_work, look_done, w, NULL) == 0;
}

int monitor_parts_watch(MonitorParts *p, int64_t interval_ms, LoopFn *changed, void *ctx, Err *err)
{
    ConfigWatch *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    *w = (ConfigWatch){ .loop = p->loop,
                        .file = p->opt.config_file,
                        .options = p->opt.config,
                        .changed = changed,
                        .ctx = ctx };
    uint64_t ms = (uint64_t)MAX(interval_ms, (int64_t)WATCH_MIN_MS);
    int r = loop_add_timer(p->loop, ms, ms, on_timer, w, &w->timer, err);
    if (r < 0) {
        free(w);
        return r;
    }
    p->watch = w;
    /* What is in force was read just now; a change since then is the first one to be noticed. */
    w->known = digest(w, &w->sum, &(Err){ 0 }) == 0;
    return 0;
}

void parts_watch_stop(MonitorParts *p)
{
    if (!p->watch)
        return;
    p->watch->stopped = true;
    p->watch->timer = source_free(p->watch->timer);
}

void parts_watch_free(MonitorParts *p)
{
    parts_watch_stop(p);
    free(p->watch);
    p->watch = NULL;
}
