/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_OBJECT_DELETE_H
#define ARCHIVE_OBJECT_DELETE_H

/*
 * Taking an object away whose content stands elsewhere (the input of a merge).
 */

#include "archive/object.h"

/* Deletes the object, then its wraps of every generation, so that what is seen can always be opened. What is not there
 * counts as deleted. */
int object_delete(struct repo *repo, enum object_kind kind, const struct id *id, struct error *err);

#endif
