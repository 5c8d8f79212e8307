/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

static const char toc_magic[] = "PGDMP";

/* A dump while it is judged. */
struct looking {
	struct feed *f;
	struct dump *dump;
	int status;
	struct error why;
};

static const struct dump_file *find_told(const struct dump *dump, const char *name, size_t len)
{
	size_t low = 0, high = dump->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct dump_file *file = &dump->files[mid];
		size_t n = file->name_len < len ? file->name_len : len;
		int c = memcmp(dump->bytes.data + file->name_at, name, n);
		if (c == 0 && file->name_len == len)
			return file;
		if (c < 0 || (c == 0 && file->name_len < len))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Entry of the base under `key`, if its rank lies in [first, end), or with end 0 in what stays at its place. */
static int find_rank(const struct feed *f, const struct buf *key, uint64_t first, uint64_t end,
	const struct node **ret_leaf, const struct entry **ret_entry, struct error *err)
{
	struct node_source *nodes = reader_nodes(f->b->reader);
	uint64_t rank = 0;
	int r = dump_find_in_base(f, key, ret_leaf, ret_entry, &rank, err);

	if (r < 0 || (end == 0 ? feed_span_has(f, rank) : rank >= first && rank < end))
		return r;
	nodes->put(nodes, *ret_leaf);
	return ERR_NOT_FOUND;
}

/*
 * A file that stands in the dump through a stretch of the base: at its own place, or moved there. The leaf is put back
 * by the caller.
 */
static int find_kept(struct looking *l, const char *name, size_t len, const struct node **ret_leaf,
	const struct entry **ret_entry, struct error *err)
{
	const struct feed *f = l->f;
	struct buf key = {0}, old = {0};

	entry_key_put(&key, l->dump->prefix.data, l->dump->prefix.len, name, len);
	int r = find_rank(f, &key, 0, 0, ret_leaf, ret_entry, err);
	for (size_t i = 0; r == ERR_NOT_FOUND && i < f->move_count; i++) {
		const struct move *m = &f->moves[i];
		if (m->new_prefix.len > key.len || memcmp(m->new_prefix.data, key.data, m->new_prefix.len) != 0)
			continue;
		buf_clear(&old);
		buf_put(&old, m->old_prefix.data, m->old_prefix.len);
		buf_put(&old, key.data + m->new_prefix.len, key.len - m->new_prefix.len);
		r = find_rank(f, &old, m->first, m->end, ret_leaf, ret_entry, err);
	}
	buf_release(&key);
	buf_release(&old);
	return r;
}

static int judge_kept(struct looking *l, const char *name, size_t len, const struct entry *entry, struct error *err)
{
	const struct buf *prefix = &l->dump->prefix;
	struct buf key = {0};

	if (prefix->len > 0 && !dump_at_top(prefix->data, prefix->len))
		return 0; /* its verdict does not count, and was not kept */
	entry_key_put(&key, prefix->data, prefix->len, name, len);
	int r = buf_failed(&key) ? error_no_memory(err, "a key") : member_stays(l->f, &key, name, len, entry, err);
	buf_release(&key);
	return r;
}

static bool find_file(void *ctx, const char *name, size_t len, uint64_t *ret_size)
{
	struct looking *l = ctx;
	const struct dump_file *told = find_told(l->dump, name, len);
	struct error why = ERROR_INIT;
	const struct node *leaf;
	const struct entry *entry;

	if (told != NULL) {
		*ret_size = told->size;
		return true;
	}
	int r = entry_name_ok((const uint8_t *)name, len) ? find_kept(l, name, len, &leaf, &entry, &why)
							  : ERR_NOT_FOUND;
	if (r == 0) {
		bool file = S_ISREG(entry->mode);
		*ret_size = entry->size;
		r = file ? judge_kept(l, name, len, entry, &why) : 0;
		reader_nodes(l->f->b->reader)->put(reader_nodes(l->f->b->reader), leaf);
		if (r == 0)
			return file;
	}
	if (r != ERR_NOT_FOUND && l->status == 0) {
		l->status = r;
		l->why = why;
	}
	return false;
}

/* The bytes of a table of contents of the dump, appended to *ret. ERR_NOT_FOUND. */
static int read_table(struct looking *l, const char *name, size_t len, struct buf *ret, struct error *err)
{
	const struct dump_file *told = find_told(l->dump, name, len);
	struct node_source *nodes = reader_nodes(l->f->b->reader);
	struct feed_reader archived;
	const struct node *leaf;
	const struct entry *entry;
	struct dump space = {0};
	struct dump_file file = {0};

	if (told != NULL) {
		buf_put(ret, l->dump->bytes.data + told->data_at, told->data_len);
		return buf_failed(ret) ? error_no_memory(err, "a dumped folder") : 0;
	}
	int r = find_kept(l, name, len, &leaf, &entry, err);
	if (r < 0)
		return r;
	r = S_ISREG(entry->mode) ? feed_archived(l->f->b, entry, &archived, err) : ERR_NOT_FOUND;
	if (r == 0) {
		r = dump_slurp(&archived, entry->size, &space, &file, err);
		archived.close(archived.arg);
		buf_put(ret, space.bytes.data, space.bytes.len);
	}
	l->dump->too_large = l->dump->too_large || space.too_large;
	buf_release(&space.bytes);
	nodes->put(nodes, leaf);
	return r == 0 && buf_failed(ret) ? error_no_memory(err, "a dumped folder") : r;
}

/* Lists of large objects: those that were told, and "blobs.toc" where it stayed. */
static int judge_lists(struct looking *l, enum complete_verdict *v, char *reason, bool *ret_any, struct error *err)
{
	static const char blobs[] = "blobs.toc";
	const struct dump *d = l->dump;
	struct buf list = {0};
	int r = read_table(l, blobs, sizeof(blobs) - 1, &list, err);

	*ret_any = r == 0;
	if (r == 0 && *v == COMPLETE_OK)
		*v = complete_pgdir_blobs(list.data, list.len, find_file, l, reason);
	buf_release(&list);
	for (size_t i = 0; i < d->count; i++) {
		const struct dump_file *file = &d->files[i];
		if (!dump_is_list(d->bytes.data + file->name_at, file->name_len))
			continue;
		*ret_any = true;
		if (*v == COMPLETE_OK && file->name_len != sizeof(blobs) - 1)
			*v = complete_pgdir_blobs(d->bytes.data + file->data_at, file->data_len, find_file, l, reason);
	}
	return r == ERR_NOT_FOUND ? 0 : r;
}

/* As judge_folder(). *ret_is: it is a dump. */
static int look(struct looking *l, enum complete_verdict *v, char *reason, bool *ret_is, struct error *err)
{
	struct buf toc = {0};
	bool lists = false;
	int r = read_table(l, DUMP_TOC, sizeof(DUMP_TOC) - 1, &toc, err);
	bool has_toc = r == 0;

	*v = COMPLETE_UNKNOWN;
	*ret_is =
		has_toc && toc.len >= sizeof(toc_magic) - 1 && memcmp(toc.data, toc_magic, sizeof(toc_magic) - 1) == 0;
	if (*ret_is)
		*v = complete_pgdir(toc.data, toc.len, find_file, l, reason);
	buf_release(&toc);
	if (r == 0 || r == ERR_NOT_FOUND)
		r = judge_lists(l, v, reason, &lists, err);
	if (r == 0 && !has_toc && lists) { /* the table is written last */
		*ret_is = true;
		*v = complete_pgdir(NULL, 0, find_file, l, reason);
	}
	if (r == 0 && l->status < 0 && err != NULL)
		*err = l->why;
	return r == 0 ? l->status : r;
}

static int judge_told(struct feed *f, struct dump *dump, struct error *err)
{
	struct looking l = {.f = f, .dump = dump, .why = ERROR_INIT};
	const struct buf *prefix = &dump->prefix;
	bool top = prefix->len == 0 || dump_at_top(prefix->data, prefix->len), is_dump = false;
	char reason[COMPLETE_REASON_MAX] = "";
	struct error why = ERROR_INIT;
	enum complete_verdict v;
	int r = look(&l, &v, reason, &is_dump, &why);

	if (r < 0 && err != NULL)
		*err = why;
	if (r < 0 || !is_dump)
		return r;
	bool unsure = dump->too_large || f->moves_lost || (!top && f->moves_below);
	char *text = judge_folder_path(prefix);
	if (unsure)
		backup_note(f->b, "%s: %s: too much of it was moved or is listed to be judged",
			text == NULL ? "?" : text, DUMP_KIND);
	judge_dump(f->b, text == NULL ? "?" : text, top, unsure ? COMPLETE_UNKNOWN : v, unsure ? "" : reason);
	free(text);
	return 0;
}

int dumps_judge(struct feed *f, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->dump_count; i++)
		r = judge_told(f, &f->dumps[i], err);
	return r;
}

bool dump_is_judged(const struct feed *f, const char *path)
{
	bool found = false;

	for (size_t i = 0; !found && i < f->dump_count; i++) {
		char *text = judge_folder_path(&f->dumps[i].prefix);
		found = text != NULL && strcmp(text, path) == 0;
		free(text);
	}
	return found;
}
