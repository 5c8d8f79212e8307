/* SPDX-License-Identifier: MIT */
#include "archive/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/id_list.h"
#include "base/fileio.h"
#include "base/hex.h"

enum { FILE_MAX = 4 << 20 };

static struct seen_row *find(struct seen_row *rows, size_t count, const struct id *slot)
{
	for (size_t i = 0; i < count; i++)
		if (id_equal(&rows[i].slot, slot))
			return &rows[i];
	return NULL;
}

/* ---- the file ---- */

/* 0: *ret_rows is what it holds, nothing where it is missing or not ours. Else it cannot be read, which was told. */
static int read_file(const struct seen *seen, struct seen_row **ret_rows, size_t *ret_count)
{
	struct buf text = {0};
	struct error why = ERROR_INIT;
	*ret_rows = NULL;
	*ret_count = 0;
	int rc = fileio_slurp(seen->path, FILE_MAX, &text, &why);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc == 0)
		rc = seen_decode(text.data, text.len, ret_rows, ret_count, &why);
	buf_release(&text);
	if (rc == ERR_CORRUPT || rc == ERR_USAGE) {
		log_warn(seen->repo->log,
			"'%s' is not what drfs wrote: what was seen of the repository begins anew: %s", seen->path,
			error_text(&why));
		return 0;
	}
	if (rc != 0)
		log_info(seen->repo->log, "what was seen of the repository before is not known: %s", error_text(&why));
	return rc;
}

/* Takes our changes into what the file holds now. Of two that changed a row the higher number wins. */
static bool merge(const struct seen *seen, struct seen_row **rows, size_t *count)
{
	struct seen_row *all = reallocarray(*rows, *count + seen->count + 1, sizeof(*all));
	if (!all)
		return false;
	*rows = all;
	for (size_t i = 0; i < seen->count; i++) {
		const struct seen_row *ours = &seen->rows[i];
		struct seen_row *theirs = find(all, *count, &ours->slot);
		if (!ours->changed)
			continue;
		if (!theirs)
			all[(*count)++] = *ours;
		else if (theirs->seq < ours->seq || id_equal(&theirs->snapshot, &ours->was))
			*theirs = *ours;
	}
	return true;
}

static void save(struct seen *seen)
{
	struct seen_row *rows = NULL;
	size_t count = 0;
	struct buf text = {0};
	struct error why = ERROR_INIT;
	bool any = false;
	for (size_t i = 0; i < seen->count; i++)
		any |= seen->rows[i].changed;
	if (!any || !seen->writable || read_file(seen, &rows, &count) != 0)
		return;
	if (merge(seen, &rows, &count)) {
		seen_encode(rows, count, &text);
		int rc = buf_failed(&text) ? error_no_memory(&why, seen->path)
					   : fileio_replace(seen->path, 0600, text.data, text.len, &why);
		for (size_t i = 0; rc == 0 && i < seen->count; i++)
			seen->rows[i].changed = false;
		if (rc != 0)
			log_info(seen->repo->log, "what was seen of the repository is not kept: %s", error_text(&why));
	}
	buf_release(&text);
	free(rows);
}

/* <dir>/seen/<repository id>; the folders are made where that can be. NULL without memory. */
static char *path_of(const struct repo *repo, const char *dir)
{
	char hex[2 * FORMAT_REPO_LEN + 1];
	struct error why = ERROR_INIT;
	char *state = dir ? strdup(dir) : fileio_state_dir();
	char *folder = state ? fileio_format("%s/seen", state) : NULL;
	hex_encode(repo->config.repository, FORMAT_REPO_LEN, hex);
	char *path = folder ? fileio_format("%s/%s", folder, hex) : NULL;
	if (path && fileio_mkdirs(folder, 0700, &why) != 0)
		log_info(repo->log, "what is seen of the repository will not be kept: %s", error_text(&why));
	free(folder);
	free(state);
	return path;
}

int seen_open(const struct repo *repo, const char *dir, struct seen **ret_seen, struct error *err)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	char *path = path_of(repo, dir);
	if (!seen || !path) {
		free(seen);
		free(path);
		return error_no_memory(err, "what was seen of a repository");
	}
	*seen = (struct seen){.repo = repo, .path = path};
	seen->writable = read_file(seen, &seen->rows, &seen->count) == 0;
	*ret_seen = seen;
	return 0;
}

void seen_free(struct seen *seen)
{
	if (!seen)
		return;
	free(seen->path);
	free(seen->rows);
	free(seen);
}

/* ---- looking ---- */

/* There, forgotten, or there and not opening or not counting, which is told as such. */
static bool accounted(const struct snapset *set, const struct id *snapshot)
{
	const struct id_list forgotten = {.ids = set->forgotten, .count = set->forgotten_count};
	if (snapset_by_id(set, snapshot) || id_list_has(&forgotten, snapshot))
		return true;
	for (size_t i = 0; i < set->fault_count; i++)
		if (id_equal(&set->faults[i].id, snapshot))
			return true;
	return false;
}

static size_t compare(struct seen *seen, const struct snapset *set)
{
	size_t lost = 0;
	for (size_t i = 0; i < seen->count; i++) {
		struct seen_row *row = &seen->rows[i];
		row->lost = !accounted(set, &row->snapshot);
		row->told = row->told && row->lost;
		if (!row->lost)
			continue;
		const struct snapshot *newest = snapset_newest_of(set, &row->slot);
		row->there = newest ? newest->seq : 0;
		lost++;
	}
	return lost;
}

static void raise_to(struct seen *seen, const struct snapshot *s)
{
	struct seen_row *row = find(seen->rows, seen->count, &s->slot);
	if (!row) {
		struct seen_row *more = reallocarray(seen->rows, seen->count + 1, sizeof(*more));
		if (!more)
			return; /* the next command notes it */
		seen->rows = more;
		row = &more[seen->count++];
		*row = (struct seen_row){.slot = s->slot};
	}
	if (row->lost || s->seq <= row->seq)
		return;
	if (!row->changed)
		row->was = row->snapshot;
	row->seq = s->seq;
	row->snapshot = s->id;
	row->changed = true;
}

size_t seen_look(struct seen *seen, const struct snapset *set)
{
	struct snapshot_seen *slots = NULL;
	unsigned count = 0;
	if (!seen)
		return 0;
	size_t lost = compare(seen, set);
	if (snapset_seen(set, &slots, &count, NULL) == 0)
		for (unsigned i = 0; i < count; i++)
			raise_to(seen, snapset_newest_of(set, &slots[i].slot));
	free(slots);
	save(seen);
	return lost;
}

void seen_note(struct seen *seen, const struct snapshot *snapshot)
{
	if (!seen)
		return;
	raise_to(seen, snapshot);
	save(seen);
}

int seen_load(struct seen *seen, struct repo *repo, struct catalog *catalog, const struct snapset *old,
	const struct snapset **ret_set, struct error *err)
{
	const struct snapset *set = NULL, *again = NULL;
	int rc = snapset_load(repo, catalog, old, &set, err);
	if (rc != 0)
		return rc;
	if (seen && set != old && compare(seen, set) > 0) {
		rc = snapset_load(repo, catalog, set, &again, err);
		snapset_unref(set);
		set = again;
	}
	if (rc != 0)
		return rc;
	if (set != old)
		seen_look(seen, set);
	*ret_set = set;
	return 0;
}

/* ---- telling ---- */

void seen_text(const struct seen *seen, const struct seen_row *row, char dst[static SEEN_TEXT_MAX])
{
	char slot[ID_HEX_MAX], there[64] = "none of it is there";
	id_hex(&row->slot, slot);
	if (row->there > 0)
		snprintf(there, sizeof(there), "the newest of it that is there is number %llu",
			(unsigned long long)row->there);
	snprintf(dst, SEEN_TEXT_MAX,
		"the repository '%s' was rolled back or snapshots were removed, unless it is an older copy: this host "
		"saw snapshot number %llu of the key slot '%.8s', %s; see who may delete or write there and bring the "
		"store back from a copy; if it is meant, delete '%s'",
		seen->repo->store->url, (unsigned long long)row->seq, slot, there, seen->path);
}

size_t seen_tell(struct seen *seen)
{
	char text[SEEN_TEXT_MAX];
	size_t lost = 0;
	for (size_t i = 0; seen && i < seen->count; i++) {
		struct seen_row *row = &seen->rows[i];
		if (!row->lost)
			continue;
		lost++;
		if (row->told)
			continue;
		seen_text(seen, row, text);
		log_error(seen->repo->log, "%s", text);
		row->told = true;
	}
	return lost;
}
