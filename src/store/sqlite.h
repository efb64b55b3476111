/* sqlite.h - the embedded engine: durable rows in one SQLite file. Used by the writer thread alone.
 */
#pragma once

#include "store/store.h"

typedef struct Engine Engine;

/* Called for every row at load; takes nothing over. */
typedef int EngineRowFn(void *ctx, const ObjectRev *row, Err *err);

int engine_open(const char *dir, EngineRowFn *row, void *ctx, Engine **ret, uint64_t *ret_rev,
                Err *err) NODISCARD;
Engine *engine_close(Engine *e);

/* One transaction: begin, any number of put/del, then commit (which also records the revision). A
 * failure anywhere rolls back. ERR_SYS with ENOSPC when the disk is full. */
int engine_begin(Engine *e, Err *err) NODISCARD;
int engine_put(Engine *e, const ObjectRev *o, Err *err) NODISCARD;
int engine_del(Engine *e, StrView key, Err *err) NODISCARD;
int engine_commit(Engine *e, uint64_t rev, Err *err) NODISCARD;
void engine_rollback(Engine *e);
int engine_backup(Engine *e, const char *path, Err *err) NODISCARD;

/* Gives the reserved disk space back to the file system (before deleting on a full disk), and takes
 * it again when there is room. */
void engine_release_reserve(Engine *e);
void engine_keep_reserve(Engine *e);
