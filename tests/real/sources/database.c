/* A database in memory, open between calls. */

#include <stdint.h>

#include "sqlite3.h"

static sqlite3 *database;

/* Whether a statement fails. */
static int fails(const char *statement) {
    return sqlite3_exec(database, statement, 0, 0, 0) != SQLITE_OK;
}

__attribute__((export_name("begin"))) int begin(void) {
    return sqlite3_open(":memory:", &database) != SQLITE_OK ||
           fails("create table numbers (n integer primary key, square integer)") ||
           fails("create index squares on numbers (square)");
}

__attribute__((export_name("put"))) int put(int n) {
    sqlite3_stmt *insert;
    int made = sqlite3_prepare_v2(database, "insert into numbers values (?1, ?1 * ?1)", -1, &insert, 0);
    if (made != SQLITE_OK) return 1;
    sqlite3_bind_int(insert, 1, n);
    int done = sqlite3_step(insert);
    sqlite3_finalize(insert);
    return done != SQLITE_DONE;
}

__attribute__((export_name("total"))) int64_t total(int least) {
    sqlite3_stmt *select;
    int64_t found = -1;
    if (sqlite3_prepare_v2(database, "select total(n) + 1000 * count(*) from numbers where square >= ?1",
                           -1, &select, 0) != SQLITE_OK)
        return found;
    sqlite3_bind_int(select, 1, least);
    if (sqlite3_step(select) == SQLITE_ROW) found = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return found;
}
