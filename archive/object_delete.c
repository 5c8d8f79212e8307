/* SPDX-License-Identifier: MIT */
#include "archive/object_delete.h"

int object_delete(struct repo *repo, enum object_kind kind, const struct id *id, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	object_name(kind, 0, id, name);
	int rc = store_del(repo->store, NULL, name, err);
	for (unsigned i = 0; rc == 0 && i < repo->sec->wrap_count; i++) {
		object_name(KIND_WRAP, repo->sec->wraps[i].generation, id, name);
		rc = store_del(repo->store, NULL, name, err);
	}
	return rc;
}
