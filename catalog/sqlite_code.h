/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_SQLITE_CODE_H
#define CATALOG_SQLITE_CODE_H

/*
 * SQLite's results as codes of base/error.h, for every database that drfs keeps in it: the catalog's and the spool's
 * index. Their texts are fixed, so a statement that does not fit what lies there means that it is damaged or foreign.
 *
 * Pure functions; by the thread that has the connection.
 */

#include <sqlite3.h>

#include "base/error.h"

/* What `rc`, which is not SQLITE_OK, means. `db` (NULL: it was not opened) tells the errno behind an I/O error: a full
 * disk, a quota and a limit of a file's size are ERR_NO_SPACE. */
enum error_code sqlite_code(sqlite3 *db, int rc);

#endif
