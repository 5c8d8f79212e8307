/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_CATALOG_PLACE_H
#define CATALOG_CATALOG_PLACE_H

/*
 * The folder of a catalog kept in a file: catalog.sqlite (0600), SQLite's -wal
 * and -shm beside it, catalog.lock, and for a while catalog.sqlite.damaged and
 * catalog.sqlite.suspect.
 *
 * Whoever uses the file holds a shared flock of catalog.lock, so that it is
 * moved aside only by one who is alone: SQLite does not survive a rename under
 * a user. `.suspect` is put there by a user that read a wrong row, and tells
 * the next one that opens. A place is used by one thread at a time, but
 * catalog_place_suspect() may be called by any.
 */

#include <stdbool.h>

#include "base/error.h"

struct catalog_place;

/* Makes the folder where missing, shares its lock and makes the file where missing. ERR_BUSY: it is being moved. */
int catalog_place_open(const char *dir, struct catalog_place **ret_place, struct error *err);
/* Gives the lock back. NULL is a no-op. */
void catalog_place_close(struct catalog_place *place);
/* The database file, absolute. Borrowed. */
const char *catalog_place_file(const struct catalog_place *place);
/* Trades the shared lock for the only one. ERR_BUSY: another user stays; no lock is held then. */
int catalog_place_lock_alone(struct catalog_place *place, struct error *err);
/* Trades the only lock for a shared one. */
int catalog_place_share(struct catalog_place *place, struct error *err);
/* Moves the file to `.damaged`, over an older one, and makes an empty one. Only under the only lock. */
int catalog_place_begin_anew(struct catalog_place *place, struct error *err);
/* Notes for the next one that opens that the file is damaged. Failure has no consequence but a later discovery. */
void catalog_place_suspect(const struct catalog_place *place);
/* Whether it was noted. */
bool catalog_place_is_suspect(const struct catalog_place *place);

#endif
