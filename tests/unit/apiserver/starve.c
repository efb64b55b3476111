/* starve.c - see starve.h. */
#include "starve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CASES_MAX = 64,
    FINE_TO =
        4096, /* where an arena's first chunk has its whole size: up to there in small steps */
    FINE_STEP = 120,
    COARSE_PART = 8,          /* further steps are such a part of what there is */
    ENOUGH = 4 * 1024 * 1024, /* for any of the requests */
    HEAD_MAX = 2048,          /* below, not even a request's head may fit */
};

static size_t next_limit(size_t n)
{
    return n + (n < FINE_TO ? FINE_STEP : n / COARSE_PART);
}

const Shortage short_arenas = {
    .set = server_restart, .first = 8, .last = ENOUGH, .next = next_limit, .mute_to = HEAD_MAX
};

static const char *of_run(Server *s, const char *text, const char *run)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    for (; text && *text; text++)
        if (*text == '@')
            buf_sv(&out, sv_cstr(run));
        else
            buf_putc(&out, *text);
    return text ? arena_cstr(&s->arena, buf_view(&out)) : NULL;
}

void starve_make(Server *s, const char *path, const char *body)
{
    server_make(s, path, of_run(s, body, "run0"));
    server_make(s, path, of_run(s, body, "run1"));
}

/* ---- what is never the same twice ---- */

static bool is_one_time(StrView key)
{
    static const char *const keys[] = {
        "uid",  "resourceVersion",     "creationTimestamp", "token",     "lastTransitionTime",
        "time", "expirationTimestamp", "deletionTimestamp", "clusterIP", "clusterIPs",
    };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (sv_eq(key, sv_cstr(keys[i])))
            return true;
    return false;
}

static bool is_age(StrView text)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    return digits && digits + 1 == text.len && sv_ends(text, SV("s"));
}

static int by_manager(const void *a, const void *b)
{
    int c = sv_cmp(value_path_str(a, "manager"), value_path_str(b, "manager"));
    return c ? c : sv_cmp(value_path_str(a, "operation"), value_path_str(b, "operation"));
}

static void scrub(Value *v)
{
    value_map_foreach (m, v) {
        if (sv_eq(m->key, SV("managedFields")) && m->val.kind == VALUE_LIST && m->val.len)
            qsort(m->val.items, m->val.len, sizeof *m->val.items, by_manager); /* else by time */
        if (is_one_time(m->key) && !value_is(&m->val, VALUE_MAP))
            m->val = value_null();
        else
            scrub(&m->val);
    }
    value_list_foreach (it, v) {
        scrub(it);
    }
    if (is_age(value_str(v)))
        *v = value_null();
}

/* The text with @ for a word and so many bytes behind it. */
static const char *without(Server *s, const char *text, const char *word, size_t more)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    for (const char *at; (at = strstr(text, word)); text = at + strlen(word) + more) {
        buf_append(&out, text, (size_t)(at - text));
        buf_putc(&out, '@');
    }
    buf_sv(&out, sv_cstr(text));
    return arena_cstr(&s->arena, buf_view(&out));
}

/* The answer as it is compared. */
static const char *essence(Server *s, const Answer *a, const char *run)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Value v = a->body;
    if (memchr(a->text.ptr, 0, a->text.len))
        buf_printf(&out, "%zu bytes, %llx", a->text.len,
                   (unsigned long long)sv_hash_stable(a->text));
    else if (v.kind == VALUE_NULL)
        buf_sv(&out, a->text);
    else {
        scrub(&v);
        json_encode(&v, &out);
    }
    const char *text = arena_cstr(&s->arena, buf_view(&out));
    assert_non_null(text);
    text = without(s, text, run, 0);
    return without(s, text, "kube-api-access-", 5);
}

/* ---- runs ---- */

static Answer ask_once(Server *s, const StarveCase *c, const char *run)
{
    Ask ask = c->ask;
    ask.path = of_run(s, ask.path, run);
    ask.body = of_run(s, ask.body, run);
    if (!c->watch)
        return server_ask(s, &ask);
    ServerWatch *w = server_watch(s, ask.path);
    Answer a = server_watch_next(w);
    a.status = server_watch_status(w);
    server_watch_free(w);
    return a;
}

static bool says_why(const Answer *a)
{
    return a->status == 413 || a->status == 429 || a->status == 431 || a->status == 500 ||
           a->status == 503;
}

/* True when the request has succeeded with so little. */
static bool succeeds(Server *s, const StarveCase *c, size_t limit, size_t mute_to,
                     const char *reference)
{
    uint64_t rev = store_revision(s->store);
    Answer a = ask_once(s, c, "run1");
    if (a.status == c->code) {
        const char *got = c->varies ? reference : essence(s, &a, "run1");
        size_t same = 0;
        while (got[same] && got[same] == reference[same])
            same++;
        if (got[same] || reference[same])
            fail_msg("%s %s with %zu, behind %zu equal ones: got\n%.300s\nwant\n%.300s",
                     c->ask.method, c->ask.path, limit, same, got + same, reference + same);
        return true;
    }
    if (!says_why(&a) && (a.status || (limit > mute_to && !c->cut)))
        fail_msg("%s %s with %zu: %d %.*s", c->ask.method, c->ask.path, limit, a.status,
                 SV_FMT(a.text));
    if (store_revision(s->store) != rev)
        fail_msg("%s %s with %zu: %d, but something was written", c->ask.method, c->ask.path, limit,
                 a.status);
    return false;
}

void starve(Server *s, const Shortage *of, const StarveCase *cases, size_t n)
{
    const char *reference[CASES_MAX];
    bool done[CASES_MAX] = { false };
    size_t left = n;
    assert_in_range(n, 1, CASES_MAX);
    of->set(s, 0);
    for (size_t i = 0; i < n; i++) {
        Answer a = ask_once(s, &cases[i], "run0");
        if (a.status != cases[i].code)
            fail_msg("%s %s: %d %.*s", cases[i].ask.method, cases[i].ask.path, a.status,
                     SV_FMT(a.text));
        reference[i] = cases[i].varies ? "" : essence(s, &a, "run0");
    }
    for (size_t limit = of->first; left && limit < of->last; limit = of->next(limit)) {
        of->set(s, limit);
        for (size_t i = 0; i < n; i++)
            if (!done[i] && (done[i] = succeeds(s, &cases[i], limit, of->mute_to, reference[i])))
                left--;
    }
    of->set(s, 0);
    for (size_t i = 0; i < n; i++)
        if (!done[i])
            fail_msg("%s %s never succeeds", cases[i].ask.method, cases[i].ask.path);
    Answer a = server_get(s, "/readyz");
    assert_code(&a, 200);
}
