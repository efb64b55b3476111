/* The log: the input is a segment file. Reading stops where it makes no sense; after the repair the
 * same records are there and nothing is damaged. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "monitor/tsdb/wal.h"
#include "monitor/tsdb/wal_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct Count {
    Arena scratch;
    uint64_t records;
} Count;

static int on_series(void *ctx, uint64_t ref, Labels l, Err *err)
{
    return labels_hash(l) == 1 ? -1 : 0; /* reads every byte of it */
}

static int on_histogram(void *ctx, uint64_t ref, int64_t t, const Histogram *h, Err *err)
{
    return histogram_equal(h, h) ? 0 : 0;
}

static int on_record(void *ctx, uint32_t segment, StrView rec, Err *err)
{
    Count *c = ctx;
    const WalHandler h = { .series = on_series, .histogram = on_histogram };
    c->records++;
    Err own = { 0 };
    (void)!wal_record_decode(rec, &h, &c->scratch, &own);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char dir[64]; /* one folder for the whole run */
    char path[96];
    WalDamage damage;
    Err err = { 0 };
    if (!*dir) {
        snprintf(dir, sizeof dir, "/dev/shm/knarr-fuzz-%d", (int)getpid());
        ASSERT(mkdir_p(AT_FDCWD, dir, 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/00000000", dir);
    ASSERT(file_write(AT_FDCWD, path, sv_n(n ? (const char *)data : "", n), 0600) == 0 ||
           file_write_atomic(AT_FDCWD, path, sv_n(n ? (const char *)data : "", n), 0600, false) ==
               0);
    Count first = { 0 }, second = { 0 };
    arena_init(&first.scratch, 64 << 20);
    arena_init(&second.scratch, 64 << 20);
    ASSERT(wal_read(dir, 0, 0, on_record, &first, &damage, &err) == 0);
    if (damage.found) {
        ASSERT(wal_repair(dir, &damage, &err) == 0);
        ASSERT(wal_read(dir, 0, 0, on_record, &second, &damage, &err) == 0);
        ASSERT(!damage.found && second.records == first.records);
    }
    arena_free(&first.scratch);
    arena_free(&second.scratch);
    rm_rf(AT_FDCWD, dir);
    *dir = 0;
    return 0;
}
