/* image_progress.c - see image_progress.h. On a terminal the block of bars is drawn again whenever
 * something has changed, at most ten times a second but for what ends; it grows when the image is
 * known, and never longer than the screen. */
#include "cmd/image_progress.h"

#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/vec.h"

enum { BAR_WIDTH = 30, ROWS_MAX = 128, DRAW_MS = 100 };

typedef struct Row {
    RegistryProgress now;
    bool said_begun, said_end;
} Row;

struct ImageProgress {
    FILE *out;
    const char *verb;
    bool terminal;
    Row rows[ROWS_MAX];
    unsigned n, drawn; /* lines of the block on the screen */
    unsigned height, width;
    int64_t drawn_ns;
};

ImageProgress *image_progress_new(FILE *out, const char *verb)
{
    ImageProgress *p = calloc(1, sizeof *p);
    struct winsize size = { 0 };

    if (!p)
        return NULL;
    p->out = out;
    p->verb = verb;
    p->terminal = isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0;
    p->height = size.ws_row ? size.ws_row : 24;
    p->width = size.ws_col ? size.ws_col : 80;
    return p;
}

static void size_text(uint64_t bytes, char buf[static 16])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double n = (double)bytes;
    unsigned u = 0;

    while (n >= 1000 && u + 1 < ARRAY_SIZE(units)) {
        n /= 1000;
        u++;
    }
    snprintf(buf, 16, u && n < 100 ? "%.1f%s" : "%.0f%s", n, units[u]);
}

static const char *state_text(const ImageProgress *p, RegistryBlobState state)
{
    switch (state) {
    case REGISTRY_WAITING:
        return "Waiting";
    case REGISTRY_MOVING:
        return p->verb;
    case REGISTRY_RETRYING:
        return "Retrying";
    case REGISTRY_UNPACKING:
        return "Unpacking";
    case REGISTRY_DONE:
        return "Done";
    case REGISTRY_EXISTS:
        return "Exists";
    }
    return "";
}

static void name_of(const Row *r, char buf[static 24])
{
    snprintf(buf, 24, "%.12s", digest_hex(&r->now.digest));
}

static bool is_end(RegistryBlobState state)
{
    return state == REGISTRY_DONE || state == REGISTRY_EXISTS;
}

/* ---- a terminal ---- */

static void draw_row(ImageProgress *p, const Row *r)
{
    char name[24], bytes[16], total[16], bar[BAR_WIDTH + 1], line[256];
    unsigned full = r->now.total ? (unsigned)(r->now.bytes * BAR_WIDTH / r->now.total) : BAR_WIDTH;

    name_of(r, name);
    size_text(r->now.bytes, bytes);
    size_text(r->now.total, total);
    full = MIN(full, (unsigned)BAR_WIDTH);
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[BAR_WIDTH] = 0;
    if (r->now.state == REGISTRY_MOVING || r->now.state == REGISTRY_RETRYING)
        snprintf(line, sizeof line, "%s %-12s [%s] %s/%s", name, state_text(p, r->now.state), bar,
                 bytes, total);
    else
        snprintf(line, sizeof line, "%s %-12s %s", name, state_text(p, r->now.state), total);
    fprintf(p->out, "\r\033[K%.*s\n", (int)MIN(p->width - 1, sizeof line), line);
}

static void draw(ImageProgress *p)
{
    unsigned n = MIN(p->n, p->height - 1);

    if (p->drawn)
        fprintf(p->out, "\033[%uA", p->drawn);
    for (unsigned i = p->n - n; i < p->n; i++) /* the last ones, where not all fit */
        draw_row(p, &p->rows[i]);
    p->drawn = n;
    fflush(p->out);
}

/* ---- a log ---- */

static void say(ImageProgress *p, Row *r)
{
    char name[24], total[16];
    RegistryBlobState state = r->now.state;
    bool begun = state == REGISTRY_MOVING && !r->said_begun;
    bool ended = is_end(state) && !r->said_end;

    if (!begun && !ended && state != REGISTRY_RETRYING)
        return;
    r->said_begun |= begun;
    r->said_end |= ended;
    name_of(r, name);
    size_text(r->now.total, total);
    fprintf(p->out, "%s: %s (%s)\n", name, state_text(p, state), total);
    fflush(p->out);
}

void image_progress_show(ImageProgress *p, const RegistryProgress *now)
{
    int64_t t = clock_mono_ns();

    if (now->index >= ROWS_MAX)
        return;
    Row *r = &p->rows[now->index];
    bool changed = r->now.state != now->state;
    r->now = *now;
    p->n = MAX(p->n, MIN(now->index + 1, (unsigned)ROWS_MAX));
    if (!p->terminal) {
        say(p, r);
        return;
    }
    if (!changed && t - p->drawn_ns < DRAW_MS * NSEC_PER_MSEC)
        return;
    p->drawn_ns = t;
    draw(p);
}

ImageProgress *image_progress_free(ImageProgress *p)
{
    if (p && p->terminal && p->n)
        draw(p);
    free(p);
    return NULL;
}
