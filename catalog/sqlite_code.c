/* SPDX-License-Identifier: MIT */
#include "catalog/sqlite_code.h"

#include <errno.h>

/* A full disk shows as SQLITE_FULL or, on some paths, as an I/O error with its errno. */
static enum error_code code_of_io(sqlite3 *db)
{
	switch (db != NULL ? sqlite3_system_errno(db) : 0) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

enum error_code sqlite_code(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* the texts are fixed: what they name is missing */
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_FORMAT:
	case SQLITE_TOOBIG:
		return ERR_CORRUPT;
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return ERR_BUSY;
	case SQLITE_NOMEM:
		return ERR_NO_MEMORY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
		return ERR_BUG;
	default:
		return code_of_io(db);
	}
}
