/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/backup_impl.h"

/*
 * Folders written by pg_dump -Fd: what their tables of contents say, which
 * the walker learns, and what the readers find in their files, in any order.
 * Both are gathered by folder, and put together when all has been read. A bad
 * file has a check of its own beside the folder's, so that the next snapshot
 * knows which of the files that stay were bad.
 */

/* Bad files of one folder that are remembered; those that follow are only counted. */
enum { BAD_MAX = 1000 };

struct bad_member {
	char *path, *kind, *reason;
};

struct dump_verdict {
	struct dump_verdict *next;
	char *folder;
	bool is_dump, top;
	enum complete_verdict verdict;
	char *reason;
	struct bad_member *bad;
	size_t bad_count, more;
};

/* That folder's, made in order of name where there is none; NULL without memory. */
static struct dump_verdict *verdict_of_locked(struct backup *b, const char *folder)
{
	struct dump_verdict **at = &b->dumps;

	while (*at != NULL && strcmp((*at)->folder, folder) < 0)
		at = &(*at)->next;
	if (*at != NULL && strcmp((*at)->folder, folder) == 0)
		return *at;
	struct dump_verdict *v = calloc(1, sizeof(*v));
	char *copy = strdup(folder);
	if (v == NULL || copy == NULL) {
		free(v);
		free(copy);
		return NULL;
	}
	v->folder = copy;
	v->next = *at;
	*at = v;
	return v;
}

void judge_dump(struct backup *b, const char *folder, bool top, enum complete_verdict verdict, const char *reason)
{
	char *copy = strdup(reason);

	pthread_mutex_lock(&b->lock);
	struct dump_verdict *v = copy == NULL ? NULL : verdict_of_locked(b, folder);
	if (v != NULL) {
		v->is_dump = true;
		v->top = top;
		v->verdict = verdict;
		free(v->reason);
		v->reason = copy;
		copy = NULL;
	}
	b->bad = b->bad || (v == NULL && top); /* nobody can say that it is whole */
	pthread_mutex_unlock(&b->lock);
	free(copy);
}

static void bad_free(struct bad_member *m)
{
	free(m->path);
	free(m->kind);
	free(m->reason);
}

static bool has_bad(const struct dump_verdict *v, const char *path)
{
	for (size_t i = 0; i < v->bad_count; i++)
		if (strcmp(v->bad[i].path, path) == 0)
			return true;
	return false;
}

static bool add_bad_locked(struct dump_verdict *v, struct bad_member *m)
{
	struct bad_member *bigger = NULL;

	if (v == NULL || has_bad(v, m->path))
		return false;
	if (v->bad_count < BAD_MAX)
		bigger = reallocarray(v->bad, v->bad_count + 1, sizeof(*bigger));
	if (bigger == NULL) {
		v->more++;
		return false;
	}
	v->bad = bigger;
	v->bad[v->bad_count++] = *m;
	return true;
}

void judge_member_bad(struct backup *b, const uint8_t *key, size_t key_len, const char *kind, const char *reason)
{
	char *folder = member_folder(key, key_len);
	struct bad_member m = {.path = judge_path(key, key_len), .kind = strdup(kind), .reason = strdup(reason)};
	bool whole = folder != NULL && m.path != NULL && m.kind != NULL && m.reason != NULL, kept = false;

	pthread_mutex_lock(&b->lock);
	if (whole)
		kept = add_bad_locked(verdict_of_locked(b, folder), &m);
	b->bad = b->bad || !whole;
	pthread_mutex_unlock(&b->lock);
	if (!kept)
		bad_free(&m);
	free(folder);
}

char *member_folder(const uint8_t *key, size_t key_len)
{
	size_t prefix_len, name_len;
	const uint8_t *name;
	struct buf prefix = {0};

	if (!entry_key_split(key, key_len, &prefix_len, &name, &name_len))
		return NULL;
	buf_put(&prefix, key, prefix_len);
	char *text = buf_failed(&prefix) ? NULL : judge_folder_path(&prefix);
	buf_release(&prefix);
	return text;
}

/* ---- what an earlier snapshot says ---- */

bool judged_as_dump(const struct snapshot *of, const char *folder)
{
	for (unsigned i = 0; of != NULL && folder != NULL && i < of->check_count; i++)
		if (strcmp(of->checks[i].path, folder) == 0 && strcmp(of->checks[i].kind, DUMP_KIND) == 0)
			return true;
	return false;
}

bool judge_member_kept(
	struct backup *b, const uint8_t *key, size_t key_len, const struct snapshot *of, const struct entry *from)
{
	char *folder = member_folder(from->key, from->key_len);
	bool known = judged_as_dump(of, folder);
	char *path = known ? judge_path(from->key, from->key_len) : NULL;

	for (unsigned i = 0; path != NULL && i < of->check_count; i++) {
		const struct snapshot_check *c = &of->checks[i];
		if (!c->ok && strcmp(c->path, path) == 0)
			judge_member_bad(b, key, key_len, c->kind, c->reason);
	}
	free(path);
	free(folder);
	return known;
}

/* ---- at the end ---- */

static const char *name_of(const struct bad_member *m)
{
	const char *slash = strrchr(m->path, '/');

	return slash == NULL ? m->path : slash + 1;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct bad_member *)a)->path, ((const struct bad_member *)b)->path);
}

/* Of a version that is not known it is not known either how a table's data ends. */
static bool counts(const struct dump_verdict *v, const struct bad_member *m)
{
	return v->verdict != COMPLETE_UNKNOWN || strcmp(m->kind, COMPLETE_KIND_TABLE) != 0;
}

/* In a dump that is the dataset itself a file may have been judged like others. */
static bool is_told(const struct backup *b, const char *path)
{
	for (unsigned i = 0; i < b->check_count; i++)
		if (!b->checks[i].ok && strcmp(b->checks[i].path, path) == 0)
			return true;
	return false;
}

static void tell_dump(struct backup *b, struct dump_verdict *v)
{
	char reason[2 * COMPLETE_REASON_MAX + ENTRY_NAME_MAX];
	const struct bad_member *first = NULL;
	size_t count = v->more;

	for (size_t i = v->bad_count; i-- > 0;) {
		if (counts(v, &v->bad[i])) {
			first = &v->bad[i];
			count++;
		}
	}
	if (first == NULL || v->verdict == COMPLETE_BAD)
		snprintf(reason, sizeof(reason), "%s", v->reason);
	else
		snprintf(reason, sizeof(reason), "%s: %s%s", name_of(first), first->reason,
			count > 1 ? "; other files of it are bad too" : "");
	judge_verdict(b, v->folder, v->top, first != NULL ? COMPLETE_BAD : v->verdict, DUMP_KIND, reason);
	for (size_t i = 0; v->top && i < v->bad_count; i++) {
		const struct bad_member *m = &v->bad[i];
		if (counts(v, m) && !is_told(b, m->path))
			judge_verdict(b, m->path, true, COMPLETE_BAD, m->kind, m->reason);
	}
}

/* No dump after all: what is compressed is still damaged. Those at the top were also judged like any other file. */
static void tell_others(struct backup *b, const struct dump_verdict *v)
{
	for (size_t i = 0; strcmp(v->folder, ".") != 0 && i < v->bad_count; i++)
		if (strcmp(v->bad[i].kind, COMPLETE_KIND_TABLE) != 0)
			judge_verdict(b, v->bad[i].path, false, COMPLETE_BAD, v->bad[i].kind, v->bad[i].reason);
}

void judge_dumps_end(struct backup *b, bool whole)
{
	struct dump_verdict *v = b->dumps, *next;

	b->dumps = NULL;
	for (; v != NULL; v = next) {
		next = v->next;
		if (v->bad_count > 0)
			qsort(v->bad, v->bad_count, sizeof(*v->bad), by_path);
		if (whole && v->is_dump)
			tell_dump(b, v);
		else if (whole)
			tell_others(b, v);
		for (size_t i = 0; i < v->bad_count; i++)
			bad_free(&v->bad[i]);
		free(v->bad);
		free(v->reason);
		free(v->folder);
		free(v);
	}
}
