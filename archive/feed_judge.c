/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/backup_stream.h"

/*
 * Verdicts on files at the top. What is read on its way into the archive is
 * judged as in any backup; here is the rest: files that stay keep the base's
 * verdict, and what was put there from elsewhere in the archive is read for it.
 */

/* ---- the base's verdicts ---- */

/* A check's path as a key: printable text stands for bytes that are not. */
static bool key_of_text(const char *text, bool escaped, struct buf *ret)
{
	char *path = strdup(text);
	size_t n = 0;

	for (const char *p = text; path != NULL && *p != '\0'; n++) {
		char hex[3] = {0};
		if (escaped && p[0] == '\\' && p[1] == 'x' && p[2] != '\0' && p[3] != '\0') {
			hex[0] = p[2];
			hex[1] = p[3];
			path[n] = (char)strtol(hex, NULL, 16);
			p += 4;
		} else {
			path[n] = *p++;
		}
	}
	buf_clear(ret);
	bool ok = path != NULL && entry_key_from_path(ret, path, n) && !buf_failed(ret);
	free(path);
	return ok;
}

/* ERR_NOT_FOUND. */
static int rank_of(const struct backup *b, const struct buf *key, uint64_t *ret_rank, struct error *err)
{
	struct node_source *nodes = reader_nodes(b->reader);
	const struct node *leaf;
	const struct entry *entry;
	int r = tree_find(nodes, &b->parent->root, key->data, key->len, &leaf, &entry, ret_rank, err);

	if (r == 0)
		nodes->put(nodes, leaf);
	return r;
}

bool feed_span_has(const struct feed *f, uint64_t rank)
{
	size_t low = 0, high = f->span_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (f->spans[mid].end <= rank)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->span_count && f->spans[low].first <= rank;
}

/* Whether what a check of the base spoke of was taken over where it stood. */
static int stays(const struct feed *f, const struct snapshot_check *c, bool *ret_stays, struct error *err)
{
	struct buf key = {0};
	uint64_t rank = 0;
	int r = ERR_NOT_FOUND;

	for (int escaped = 0; escaped <= 1 && r == ERR_NOT_FOUND; escaped++) {
		struct error why = ERROR_INIT;
		if (key_of_text(c->path, escaped == 1, &key))
			r = rank_of(f->b, &key, &rank, &why);
		if (r < 0 && r != ERR_NOT_FOUND && err != NULL)
			*err = why;
	}
	buf_release(&key);
	*ret_stays = r == 0 && feed_span_has(f, rank);
	return r == ERR_NOT_FOUND ? 0 : r;
}

/* Of a dump's file, which has been looked at with the dump. Elsewhere at the top it may be a file like any other. */
static bool in_judged(const struct feed *f, const struct snapshot_check *c)
{
	const char *slash = strrchr(c->path, '/');
	char *folder = slash != NULL                               ? strndup(c->path, (size_t)(slash - c->path))
		       : strcmp(c->kind, COMPLETE_KIND_TABLE) == 0 ? strdup(".")
								   : NULL;
	bool judged = folder != NULL && dump_is_judged(f, folder);

	free(folder);
	return judged;
}

int feed_keep_checks(struct feed *f, struct error *err)
{
	const struct snapshot *base = f->b->parent;
	int r = 0;

	for (unsigned i = 0; base != NULL && r == 0 && i < base->check_count; i++) {
		const struct snapshot_check *c = &base->checks[i];
		bool keep = false;
		/* What was judged as a whole is judged again, with its files. */
		if (f->span_count == 0 || strcmp(c->path, ".") == 0 || dump_is_judged(f, c->path) || in_judged(f, c))
			continue;
		r = stays(f, c, &keep, err);
		if (r == 0 && keep)
			judge_verdict(f->b, c->path, true, c->ok ? COMPLETE_OK : COMPLETE_BAD, c->kind, c->reason);
	}
	return r;
}

/* ---- content of another entry ---- */

static bool same_content(const struct entry *a, const struct entry *b)
{
	return a->size == b->size && S_ISREG(a->mode) && S_ISREG(b->mode) &&
	       (a->flags & b->flags & ENTRY_HAS_CONTENT_HASH) != 0 && id_equal(&a->content, &b->content);
}

/* What a snapshot said of the file at its top is said of the item. */
static void judge_as(struct backup *b, const struct item *item, const struct snapshot *of, const struct entry *from)
{
	char *old = judge_path(from->key, from->key_len), *new = judge_path(item->key.data, item->key.len);

	for (unsigned i = 0; old != NULL && new != NULL &&i < of->check_count; i++) {
		const struct snapshot_check *c = &of->checks[i];
		if (strcmp(c->path, old) == 0)
			judge_verdict(b, new, true, c->ok ? COMPLETE_OK : COMPLETE_BAD, c->kind, c->reason);
	}
	free(old);
	free(new);
}

/* A file of a dump is known where both it and what it comes from are; one at the top may be both. */
static bool knows(struct backup *b, const struct item *item, const struct snapshot *of, const struct entry *from)
{
	size_t prefix_len, name_len;
	const uint8_t *name;

	if (!item->member)
		return true;
	return entry_key_split(from->key, from->key_len, &prefix_len, &name, &name_len) &&
	       complete_pgdir_name((const char *)name, name_len) &&
	       judge_member_kept(b, item->key.data, item->key.len, of, from);
}

/* The snapshot had this content, at its top or in a dump there, under `from`'s key: what it said of it holds.
 * *ret_known: it did. */
static int judge_known(struct backup *b, const struct item *item, const struct snapshot *of, const struct entry *from,
	bool *ret_known, struct error *err)
{
	struct node_source *nodes = reader_nodes(b->reader);
	const struct node *leaf;
	const struct entry *entry;
	size_t prefix_len, name_len;
	const uint8_t *name;

	if (*ret_known || of == NULL || !entry_key_split(from->key, from->key_len, &prefix_len, &name, &name_len) ||
		(prefix_len > 0) == item->top)
		return 0;
	int r = tree_find(nodes, &of->root, from->key, from->key_len, &leaf, &entry, NULL, err);
	if (r == ERR_NOT_FOUND) {
		if (err != NULL)
			error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	*ret_known = same_content(entry, from) && knows(b, item, of, from);
	nodes->put(nodes, leaf);
	if (*ret_known && item->top)
		judge_as(b, item, of, from);
	return 0;
}

int judge_plan_taken(struct backup *b, struct item *item, const struct entry *from, struct error *err)
{
	bool known = false;

	if (!item->top && !(item->member && complete_pgdir_judged(item->name, strlen(item->name))))
		return 0;
	int r = judge_known(b, item, b->feed->options->last, from, &known, err);
	if (r == 0)
		r = judge_known(b, item, b->parent, from, &known, err);
	if (r < 0 || known)
		return r;
	item->told->judged = true;
	item->work = WORK_LARGE;
	item->read = false;
	return 0;
}

static int file_read(void *arg, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	return reader_file_read(arg, off, dst, len, ret_len, err);
}

static int file_seek(void *arg, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	return reader_file_seek(arg, off, data, ret_off, err);
}

static void file_close(void *arg)
{
	reader_file_close(arg);
}

int feed_archived(struct backup *b, const struct entry *entry, struct feed_reader *ret_reader, struct error *err)
{
	struct reader_file *file = NULL;
	int r = reader_file_open(b->reader, entry, &file, err);

	if (r == 0)
		*ret_reader =
			(struct feed_reader){.read = file_read, .seek = file_seek, .close = file_close, .arg = file};
	return r;
}

int judge_feed(struct backup *b, const struct told *told, const char *name, uint64_t size, struct complete *judge,
	struct error *err)
{
	const struct feed_reader *reader = &told->reader;
	uint8_t *data = malloc(STREAM_READ);
	uint64_t begin = 0, end = 0;
	int r = data == NULL ? error_no_memory(err, "reading a file") : 0;

	for (uint64_t at = 0; r == 0 && at < size && complete_wants_more(judge); at = end) {
		r = told_next(told, at, size, &begin, &end, err);
		if (r == 0 && begin > at)
			complete_hole(judge, begin - at);
		for (size_t got; r == 0 && begin < end && complete_wants_more(judge); begin += got) {
			size_t n = (size_t)min_u64(STREAM_READ, end - begin);
			got = 0;
			r = backup_stopped(b) ? error_set(err, ERR_CANCELLED, "stopped")
					      : reader->read(reader->arg, begin, data, n, &got, err);
			if (r == 0 && got == 0)
				r = error_set(err, ERR_IO, "'%s' ended too early", name);
			if (r == 0)
				complete_feed(judge, data, got);
		}
	}
	free(data);
	return r;
}

int judge_whole(struct backup *b, struct item *item, struct error *err)
{
	struct complete *judge = NULL;
	int r = judge_begin(b, item, &judge, err);

	if (r == 0)
		r = judge_feed(b, item->told, item->name, item->entry.size, judge, err);
	judge_end(b, item, judge, r == 0);
	return r;
}

int judge_taken(struct backup *b, struct item *item, struct error *err)
{
	struct told *told = item->told;

	item_seal(item);
	int r = feed_archived(b, &item->entry, &told->reader, err);
	if (r == 0) {
		told->open = true;
		atomic_fetch_add(&b->folders, 1);
		r = judge_whole(b, item, err);
	}
	item->work = WORK_NONE; /* its content stays as it was taken */
	if (r != ERR_CORRUPT)
		return r;
	char *path = judge_path(item->key.data, item->key.len);
	if (item->top)
		judge_verdict(b, path == NULL ? item->name : path, true, COMPLETE_BAD, "content", "does not read back");
	if (item->member)
		judge_member_bad(b, item->key.data, item->key.len, "content", "does not read back");
	free(path);
	if (err != NULL)
		error_clear(err);
	return 0;
}
