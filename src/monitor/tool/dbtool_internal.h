/* dbtool_internal.h - what the verbs of `promtool tsdb` share. */
#pragma once

#include "base/vec.h"
#include "monitor/promql/promql.h"
#include "monitor/tool/dbtool.h"
#include "monitor/tool/internal.h"
#include "monitor/tsdb/block.h"

typedef VEC(Block *) DbBlocks;

enum { DB_SELECTORS_MAX = 64 };

/* All blocks of a folder, by time. ERR_CORRUPT when one of them cannot be read. db_close_blocks()
 * ends them, whatever it returned. */
int db_open_blocks(const char *dir, DbBlocks *ret, Err *err) NODISCARD;
void db_close_blocks(DbBlocks *l);
/* As `tsdb list` prints them. */
void db_print_blocks(FILE *out, const Block *const *blocks, size_t n, bool header, bool human);

/* A selector, which unlike PromQL's may match everything. *ret_ms lives in the tree, which
 * promql_expr_free() ends. */
int db_selector(const char *text, Arena *a, PromqlExpr **ret, const Matcher **ret_ms,
                unsigned *ret_n, Err *err) NODISCARD;

/* A series as OpenMetrics names it: name{a="b"}. */
void db_put_openmetrics_labels(Labels l, Buf *out);
/* Blocks of the samples in a text, in the folder of `o`, which is made where it is not there;
 * o->input is not looked at. */
int db_import_text(const ToolIo *io, const TsdbImportOptions *o, StrView text, Err *err) NODISCARD;
/* How long blocks are that may be as long as what is asked for (ms). */
int64_t db_block_duration(int64_t asked);
