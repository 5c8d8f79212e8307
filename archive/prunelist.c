/* SPDX-License-Identifier: MIT */
#include "archive/prunelist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/prunelist_codec.h"
#include "archive/wave.h"
#include "base/host.h"

enum { PRUNELIST_TRIES = 4, PRUNELIST_LISTS_MAX = 1000000 };

/* One object under prune/. */
struct list_file {
	uint64_t n;
	bool verdict;
	struct prunelist list;
	int status;
	struct error err;
};

struct reading {
	struct repo *repo;
	struct list_file **files;
	size_t count, cap;
};

/* "prune/12.verdict". False for a name of another form. */
static bool parse_name(const char *name, uint64_t *ret_n, bool *ret_verdict)
{
	static const char prefix[] = "prune/";
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	const char *p = name + sizeof(prefix) - 1;
	size_t digits = strspn(p, "0123456789");
	if (digits == 0 || digits > 18 || (p[0] == '0' && digits > 1))
		return false;
	bool verdict = strcmp(p + digits, ".verdict") == 0;
	if (!verdict && strcmp(p + digits, ".condemned") != 0)
		return false;
	*ret_n = strtoull(p, NULL, 10);
	*ret_verdict = verdict;
	return true;
}

static void name_of(uint64_t n, bool verdict, char dst[static FORMAT_NAME_MAX])
{
	snprintf(dst, FORMAT_NAME_MAX, "prune/%llu.%s", (unsigned long long)n, verdict ? "verdict" : "condemned");
}

static int take_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct reading *r = arg;
	struct list_file found = {0};
	(void)size;
	if (!parse_name(name, &found.n, &found.verdict)) {
		log_warn(r->repo->log, "'%s' is no object of a repository and is left alone", name);
		return 0;
	}
	if (r->count >= PRUNELIST_LISTS_MAX)
		return error_set(err, ERR_CORRUPT, "there are more than %d prune lists", PRUNELIST_LISTS_MAX);
	if (r->count == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct list_file **more = reallocarray(r->files, cap, sizeof(*more));
		if (!more)
			return error_no_memory(err, "the prune lists");
		r->files = more;
		r->cap = cap;
	}
	struct list_file *file = malloc(sizeof(*file));
	if (!file)
		return error_no_memory(err, "the prune lists");
	*file = found;
	r->files[r->count++] = file;
	return 0;
}

static void read_one(void *arg, size_t index)
{
	struct reading *r = arg;
	struct list_file *f = r->files[index];
	struct buf object = {0};
	char name[FORMAT_NAME_MAX];
	name_of(f->n, f->verdict, name);
	f->status = store_get_all(r->repo->store, NULL, name, OBJECT_STORED_MAX, &object, &f->err);
	if (f->status == 0)
		f->status = prunelist_open(r->repo, f->n, f->verdict, object.data, object.len, &f->list, &f->err);
	/*
	 * Who signed matters for deleting. For not referring to a pack the mere claim is enough: the worst that a
	 * forged one does is that a chunk is stored once more.
	 */
	if (f->status == 0 && !f->list.proven)
		log_warn(r->repo->log, "'%s' is not signed by a key that may prune", name);
	buf_release(&object);
}

static void reading_clear(struct reading *r)
{
	for (size_t i = 0; i < r->count; i++) {
		prunelist_release(&r->files[i]->list);
		free(r->files[i]);
	}
	r->count = 0;
}

/* All lists. One that was listed and is gone was folded into another: then it is listed again. */
static int read_lists(struct reading *r, struct error *err)
{
	int rc = 0;
	for (int tries = 0; tries < PRUNELIST_TRIES; tries++) {
		reading_clear(r);
		rc = store_list(r->repo->store, NULL, "prune/", "", take_name, r, err);
		if (rc != 0)
			return rc;
		wave_run(wave_threads(r->repo->store), r->count, read_one, r);
		for (size_t i = 0; rc == 0 && i < r->count; i++)
			if (r->files[i]->status != 0)
				rc = error_set(
					err, (enum error_code)r->files[i]->status, "%s", error_text(&r->files[i]->err));
		if (rc != ERR_NOT_FOUND)
			return rc;
		error_clear(err);
	}
	return error_set(err, ERR_NOT_FOUND, "a prune list is listed and cannot be read");
}

static bool has_verdict(const struct reading *r, uint64_t n)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->files[i]->verdict && r->files[i]->n == n)
			return true;
	return false;
}

static int gather(const struct reading *r, struct id_list *banned, struct id_list *dead, struct error *err)
{
	bool ok = true;
	for (size_t i = 0; i < r->count; i++) {
		const struct list_file *f = r->files[i];
		const struct id_list *packs = &f->list.packs;
		if (f->verdict)
			ok &= id_list_add_all(dead, packs->ids, packs->count);
		if (f->verdict || !has_verdict(r, f->n))
			ok &= id_list_add_all(banned, packs->ids, packs->count);
	}
	id_list_sort(banned);
	id_list_sort(dead);
	return ok ? 0 : error_no_memory(err, "the prune lists");
}

int prunelist_read(struct repo *repo, struct id **ret_packs, size_t *ret_count, struct id **ret_dead,
	size_t *ret_dead_count, struct error *err)
{
	struct reading r = {.repo = repo};
	struct id_list banned = {0}, dead = {0};
	int rc = read_lists(&r, err);
	if (rc == 0)
		rc = gather(&r, &banned, &dead, err);
	reading_clear(&r);
	free(r.files);
	if (rc == 0 && ret_dead) {
		*ret_dead = dead.ids;
		*ret_dead_count = dead.count;
	} else {
		id_list_release(&dead);
	}
	if (rc != 0) {
		id_list_release(&banned);
		return error_wrap(err, rc, "reading what prunes have decided");
	}
	*ret_packs = banned.ids;
	*ret_count = banned.count;
	return 0;
}

int prunelist_put(struct repo *repo, uint64_t n, bool verdict, const struct id *packs, size_t pack_count,
	const struct id *marks, size_t mark_count, struct error *err)
{
	struct prunelist list = {0};
	struct buf object = {0};
	char name[FORMAT_NAME_MAX];
	int rc = 0;
	if (!(repo->own->rights & RIGHT_PRUNE))
		return error_set(err, ERR_DENIED, "this key may not prune");
	if (!id_list_add_all(&list.packs, packs, pack_count) || !id_list_add_all(&list.marks, marks, mark_count))
		rc = error_no_memory(err, "a prune list");
	id_list_sort(&list.packs);
	id_list_sort(&list.marks);
	if (rc == 0)
		rc = prunelist_seal(repo, n, verdict, &list, &object, err);
	name_of(n, verdict, name);
	if (rc == 0)
		rc = store_put_mem(repo->store, NULL, name, object.data, object.len, NULL, err);
	prunelist_release(&list);
	buf_release(&object);
	return rc;
}
