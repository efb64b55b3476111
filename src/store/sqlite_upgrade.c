/* sqlite_upgrade.c - stores of older formats.
 *
 * Format 2 gave rows a rowid, 3 brought the mark and a table of recent events, 4 keeps those beside
 * the database (past.h) and gives values their kind and version. All is one transaction: a power
 * cut leaves the old store or the new one. The mark is written behind it, so table meta remembers
 * which checksum became which. */
#include <stdio.h>

#include "store/sqlite_internal.h"

typedef struct Upgrade {
    SqliteEngine *e;
    const EngineLoad *load;
    sqlite3_stmt *rows, *change;
    uint64_t from, to; /* checksums over all rows */
    Buf text;
} Upgrade;

static const char from_1[] = "CREATE TABLE kv2" SQLITE_KV_COLUMNS ";"
                             "INSERT INTO kv2(key,mod_rev,create_rev,expires,crc,val)"
                             " SELECT key,mod_rev,create_rev,expires,crc,val FROM kv;"
                             "DROP TABLE kv;"
                             "ALTER TABLE kv2 RENAME TO kv;"
                             "UPDATE meta SET value=2 WHERE name='format';";

/* The row that `rows` stands on. */
static int upgrade_row(Upgrade *u, Err *err)
{
    sqlite3_stmt *st = u->rows, *ch = u->change;
    ObjectRev o = { .key = sqlite_column(st, 1),
                    .val = sqlite_column(st, 2),
                    .mod_rev = (uint64_t)sqlite3_column_int64(st, 3),
                    .create_rev = (uint64_t)sqlite3_column_int64(st, 4),
                    .expires = sqlite3_column_int64(st, 5) };
    if ((uint32_t)sqlite3_column_int64(st, 6) != sqlite_row_crc(&o))
        return sqlite_bad_row(u->e, o.key, err);
    u->from += sqlite_row_sum(&o);
    buf_clear(&u->text);
    bool changes = u->load->upgrade(u->load->upgrade_ctx, o.key, o.val, &u->text);
    if (u->text.failed)
        return err_nomem(err);
    if (changes)
        o.val = buf_view(&u->text);
    u->to += sqlite_row_sum(&o);
    if (!changes)
        return 0;
    sqlite3_bind_blob(ch, 1, o.val.ptr, (int)o.val.len, SQLITE_STATIC);
    sqlite3_bind_int64(ch, 2, sqlite_row_crc(&o));
    sqlite3_bind_int64(ch, 3, sqlite3_column_int64(st, 0));
    int code = sqlite3_step(ch);
    sqlite3_reset(ch);
    return code == SQLITE_DONE ? 0 : sqlite_fail(u->e, err, "bring store to format 4:");
}

static int upgrade_rows(Upgrade *u, Err *err)
{
    static const char rows[] = "SELECT rowid,key,val,mod_rev,create_rev,expires,crc FROM kv";
    int code, r = 0;
    if (sqlite3_prepare_v2(u->e->db, rows, -1, &u->rows, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(u->e->db, "UPDATE kv SET val=?,crc=? WHERE rowid=?", -1, &u->change,
                           NULL) != SQLITE_OK)
        return sqlite_fail(u->e, err, "read store");
    while (r == 0 && (code = sqlite3_step(u->rows)) != SQLITE_DONE)
        r = code == SQLITE_ROW ? upgrade_row(u, err) : sqlite_fail(u->e, err, "read store");
    return r;
}

static int to_format_4(SqliteEngine *e, const EngineLoad *load, Err *err)
{
    Upgrade u = { .e = e, .load = load };
    char sql[256];
    int r = upgrade_rows(&u, err);
    sqlite3_finalize(u.rows);
    sqlite3_finalize(u.change);
    buf_free(&u.text);
    if (r < 0)
        return r;
    snprintf(sql, sizeof sql,
             "DROP TABLE IF EXISTS history; UPDATE meta SET value=4 WHERE name='format';"
             "INSERT OR REPLACE INTO meta(name,value) VALUES('" SQLITE_UPGRADED_FROM
             "',%lld),('" SQLITE_UPGRADED_TO "',%lld);",
             (long long)u.from, (long long)u.to);
    return sqlite_run(e, sql, "bring store to format 4:", err);
}

int sqlite_upgrade(SqliteEngine *e, uint64_t format, const EngineLoad *load, Err *err)
{
    int r = sqlite_run(e, "BEGIN IMMEDIATE", "bring store to format 4:", err);
    if (r == 0 && format == 1)
        r = sqlite_run(e, from_1, "bring store to format 2:", err);
    if (r == 0 && load->upgrade)
        r = to_format_4(e, load, err);
    if (r == 0)
        r = sqlite_run(e, "COMMIT", "bring store to format 4:", err);
    if (r < 0 && !sqlite3_get_autocommit(e->db))
        sqlite3_exec(e->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}
