/* adopt.c - a copy of a store becomes one that is served. */
#include <limits.h>
#include <stdio.h>

#include "store/sqlite_internal.h"

/* Clients saw revisions after the copy was made: more than are written between two backups, where
 * the store that it replaces is not there to be asked. */
enum { REVISIONS_BETWEEN = 1000000 };

static int ignore_row(void *ctx, const ObjectRev *row, Err *err)
{
    return 0;
}

static int ignore_past(void *ctx, uint64_t rev, StrView key, const ObjectRev *prev, int64_t age,
                       Err *err)
{
    return 0;
}

static uint64_t newest_of(const char *old_dir)
{
    char path[PATH_MAX];
    Mark mark = { 0 };
    Err err = { 0 };
    bool bad;
    snprintf(path, sizeof path, "%s/mark", old_dir);
    return mark_read(path, &mark, &bad, &err) < 0 ? 0 : mark.last.rev;
}

int store_adopt(const char *dir, const char *old_dir, uint64_t *ret_rev, Err *err)
{
    static const EngineLoad ignore = { .row = ignore_row, .past = ignore_past };
    EngineState state = { 0 };
    void *self = NULL;
    char sql[160];
    int r = engine_sqlite.open(dir, &ignore, &self, &state, err);
    if (r < 0)
        return r;
    uint64_t old = old_dir ? newest_of(old_dir) : 0;
    uint64_t rev = MAX(state.rev, old) + REVISIONS_BETWEEN;
    snprintf(sql, sizeof sql,
             "INSERT INTO meta(name,value) VALUES('revision',%llu)"
             " ON CONFLICT(name) DO UPDATE SET value=excluded.value;",
             (unsigned long long)rev);
    r = sqlite_run(self, sql, "raise the revision of", err);
    if (r == 0)
        r = sqlite_settle(self, rev, err);
    engine_sqlite.close(self);
    *ret_rev = rev;
    return r;
}
