/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/backup_stream.h"

/*
 * Files of a dump's folder that are not read as they are told: they stay, or
 * were moved there with the folder. The base's verdict on them holds; where the
 * base knew of no dump there they are read.
 */

static int read_member(struct feed *f, const char *name, size_t len, const struct entry *entry,
	struct complete **ret_judge, struct error *err)
{
	struct told told = {0};
	struct complete *judge = NULL;
	int r = complete_new_member(name, len, true, &judge, err);

	if (r == 0)
		r = feed_archived(f->b, entry, &told.reader, err);
	if (r == 0) {
		r = judge_feed(f->b, &told, "a dump's file", entry->size, judge, err);
		told.reader.close(told.reader.arg);
	}
	if (r == 0)
		*ret_judge = judge;
	else
		complete_free(judge);
	return r;
}

int member_stays(struct feed *f, const struct buf *key, const char *name, size_t len, const struct entry *entry,
	struct error *err)
{
	struct complete *judge = NULL;
	struct error why = ERROR_INIT;
	const char *kind, *reason;

	if (!complete_pgdir_name(name, len) || !complete_pgdir_judged(name, len) || !S_ISREG(entry->mode) ||
		judge_member_kept(f->b, key->data, key->len, f->b->parent, entry))
		return 0;
	int r = read_member(f, name, len, entry, &judge, &why);
	if (r == 0 && complete_member(judge, &kind, &reason) == COMPLETE_BAD)
		judge_member_bad(f->b, key->data, key->len, kind, reason);
	complete_free(judge);
	if (r == ERR_CORRUPT) {
		judge_member_bad(f->b, key->data, key->len, "content", "does not read back");
		return 0;
	}
	if (r < 0 && err != NULL)
		*err = why;
	return r;
}
