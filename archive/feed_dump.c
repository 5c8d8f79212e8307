/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

/*
 * Folders written by pg_dump -Fd, as they are told: some of their files anew,
 * the rest in stretches of the base. What was told of such a folder is
 * gathered as it goes by, and it is judged when all has been told, as
 * backup_dump.c judges a folder on disk. Only names of such a dump's files are kept, and its tables of contents.
 */

/* Names and tables that are held of one dump, and renamed stretches; where there are more it is not judged. */
enum { DUMP_BYTES = 32 << 20, MOVES_MAX = 1 << 16 };

bool dump_is_list(const uint8_t *name, size_t len)
{
	return len >= sizeof("blobs.toc") - 1 && memcmp(name, "blobs", 5) == 0 &&
	       memcmp(name + len - 4, ".toc", 4) == 0;
}

static bool is_table(const uint8_t *name, size_t len)
{
	return dump_is_list(name, len) || (len == sizeof(DUMP_TOC) - 1 && memcmp(name, DUMP_TOC, len) == 0);
}

void dumps_release(struct feed *f)
{
	for (size_t i = 0; i < f->dump_count; i++) {
		buf_release(&f->dumps[i].prefix);
		buf_release(&f->dumps[i].bytes);
		free(f->dumps[i].files);
	}
	free(f->dumps);
	f->dumps = NULL;
	f->dump_count = 0;
	for (size_t i = 0; i < f->move_count; i++) {
		buf_release(&f->moves[i].old_prefix);
		buf_release(&f->moves[i].new_prefix);
	}
	free(f->moves);
	f->moves = NULL;
	f->move_count = 0;
}

static bool same(const struct buf *a, const uint8_t *data, size_t len)
{
	return a->len == len && (len == 0 || memcmp(a->data, data, len) == 0);
}

static struct dump *find_dump(const struct feed *f, const uint8_t *prefix, size_t len)
{
	for (size_t i = f->dump_count; i-- > 0;)
		if (same(&f->dumps[i].prefix, prefix, len))
			return &f->dumps[i];
	return NULL;
}

static int add_dump(struct feed *f, const uint8_t *prefix, size_t len, struct dump **ret_dump, struct error *err)
{
	*ret_dump = find_dump(f, prefix, len);
	if (*ret_dump != NULL)
		return 0;
	struct dump *bigger = reallocarray(f->dumps, f->dump_count + 1, sizeof(*bigger));
	if (bigger == NULL)
		return error_no_memory(err, "a dumped folder");
	f->dumps = bigger;
	*ret_dump = &bigger[f->dump_count++];
	**ret_dump = (struct dump){0};
	buf_put(&(*ret_dump)->prefix, prefix, len);
	return buf_failed(&(*ret_dump)->prefix) ? error_no_memory(err, "a dumped folder") : 0;
}

/* ---- what the base has ---- */

int dump_find_in_base(const struct feed *f, const struct buf *key, const struct node **ret_leaf,
	const struct entry **ret_entry, uint64_t *ret_rank, struct error *err)
{
	const struct snapshot *base = f->b->parent;

	if (buf_failed(key))
		return error_no_memory(err, "a key");
	return base == NULL ? ERR_NOT_FOUND
			    : tree_find(reader_nodes(f->b->reader), &base->root, key->data, key->len, ret_leaf,
				      ret_entry, ret_rank, err);
}

/* The folder's path as text. Caller frees. */
static char *text_of(const uint8_t *prefix, size_t len)
{
	struct buf b = {0};

	buf_put(&b, prefix, len);
	char *text = buf_failed(&b) ? NULL : judge_folder_path(&b);
	buf_release(&b);
	return text;
}

/* The base judged this folder, or it has a table of contents there. */
static int was_dump(const struct feed *f, const uint8_t *prefix, size_t len, bool *ret_was, struct error *err)
{
	const struct snapshot *base = f->b->parent;
	struct node_source *nodes = reader_nodes(f->b->reader);
	struct error why = ERROR_INIT;
	struct buf key = {0};
	const struct node *leaf;
	const struct entry *entry;
	uint64_t rank;

	*ret_was = false;
	char *text = base == NULL || base->check_count == 0 ? NULL : text_of(prefix, len);
	for (unsigned i = 0; text != NULL && i < base->check_count; i++)
		*ret_was = *ret_was ||
			   (strcmp(base->checks[i].path, text) == 0 && strcmp(base->checks[i].kind, DUMP_KIND) == 0);
	free(text);
	if (*ret_was)
		return 0;
	entry_key_put(&key, prefix, len, DUMP_TOC, sizeof(DUMP_TOC) - 1);
	int r = dump_find_in_base(f, &key, &leaf, &entry, &rank, &why);
	buf_release(&key);
	if (r == 0) {
		nodes->put(nodes, leaf);
		*ret_was = true;
	} else if (r != ERR_NOT_FOUND && err != NULL) {
		*err = why;
	}
	return r == ERR_NOT_FOUND ? 0 : r;
}

static int add_if_dump(
	struct feed *f, const uint8_t *old, size_t old_len, const uint8_t *prefix, size_t len, struct error *err)
{
	struct dump *dump;
	bool was = false;
	int r = was_dump(f, old, old_len, &was, err);

	return r == 0 && was ? add_dump(f, prefix, len, &dump, err) : r;
}

/* ---- what is told ---- */

int dump_meet_root(struct feed *f, struct error *err)
{
	return add_if_dump(f, NULL, 0, NULL, 0, err);
}

bool dump_at_top(const uint8_t *prefix, size_t len)
{
	return len > 1 && memchr(prefix, 0, len - 1) == NULL;
}

/* How many folders the beginning of a key names. */
static unsigned depth_of(const uint8_t *prefix, size_t len)
{
	unsigned depth = 0;

	for (size_t i = 0; i < len && !(prefix[i] == 0 && (i == 0 || prefix[i - 1] == 0)); i++)
		depth += prefix[i] == 0 ? 1 : 0;
	return depth;
}

static int add_move(struct feed *f, uint64_t first, uint64_t end, const struct entry *old,
	const struct feed_rename *rename, struct error *err)
{
	struct move *bigger = reallocarray(f->moves, f->move_count + 1, sizeof(*bigger));

	if (bigger == NULL)
		return error_no_memory(err, "a list of stretches");
	f->moves = bigger;
	struct move *m = &bigger[f->move_count++];
	*m = (struct move){.first = first, .end = end};
	buf_put(&m->old_prefix, old->key, rename->old_prefix_len);
	buf_put(&m->new_prefix, rename->new_prefix, rename->new_prefix_len);
	if (buf_failed(&m->old_prefix) || buf_failed(&m->new_prefix))
		return error_no_memory(err, "a list of stretches");
	return !dump_at_top(m->new_prefix.data, m->new_prefix.len)
		       ? 0
		       : add_if_dump(
				 f, m->old_prefix.data, m->old_prefix.len, m->new_prefix.data, m->new_prefix.len, err);
}

/* Kept is what can matter to the dumps whose verdicts count, those at the top. */
int dump_meet_move(struct feed *f, uint64_t first, uint64_t end, const struct feed_rename *rename, struct error *err)
{
	struct node_source *nodes = reader_nodes(f->b->reader);
	const struct node *leaf;
	const struct entry *entry;

	if (depth_of(rename->new_prefix, rename->new_prefix_len) > 1 || f->move_count == MOVES_MAX) {
		f->moves_lost = f->moves_lost || f->move_count == MOVES_MAX;
		f->moves_below = true;
		return 0;
	}
	int r = tree_at(nodes, &f->b->parent->root, first, &leaf, &entry, err);
	if (r < 0)
		return r;
	if (entry->key_len < rename->old_prefix_len)
		r = error_set(err, ERR_BUG, "a stretch has keys without the prefix to replace");
	else
		r = add_move(f, first, end, entry, rename, err);
	nodes->put(nodes, leaf);
	return r;
}

int dump_slurp(
	const struct feed_reader *reader, uint64_t size, struct dump *dump, struct dump_file *file, struct error *err)
{
	int r = 0;

	if (size > DUMP_BYTES || dump->bytes.len + size > DUMP_BYTES || !buf_reserve(&dump->bytes, (size_t)size)) {
		dump->too_large = true;
		return 0;
	}
	file->data_at = (uint32_t)dump->bytes.len;
	while (r == 0 && file->data_len < size) {
		size_t got = 0;
		r = reader->read(reader->arg, file->data_len, dump->bytes.data + dump->bytes.len,
			(size_t)size - file->data_len, &got, err);
		if (r < 0 || got == 0)
			break;
		dump->bytes.len += got;
		file->data_len += (uint32_t)got;
	}
	return r;
}

static int slurp_told(struct feed *f, const struct item *item, const struct feed_content *content, struct dump *dump,
	struct dump_file *file, struct error *err)
{
	struct feed_reader archived;

	if (content->source == FEED_NONE)
		return 0;
	if (content->source != FEED_ENTRY)
		return dump_slurp(&item->told->reader, item->entry.size, dump, file, err);
	if (content->entry == NULL)
		return 0;
	int r = feed_archived(f->b, content->entry, &archived, err);
	if (r < 0)
		return r;
	r = dump_slurp(&archived, content->entry->size, dump, file, err);
	archived.close(archived.arg);
	return r;
}

static int add_file(struct feed *f, struct dump *dump, const struct item *item, const uint8_t *name, size_t len,
	const struct feed_content *content, struct error *err)
{
	struct dump_file file = {.size = item->entry.size, .name_len = (uint32_t)len};
	int r = 0;

	if (dump->too_large || dump->bytes.len + len > DUMP_BYTES) {
		dump->too_large = true;
		return 0;
	}
	if (dump->count == dump->cap) {
		size_t cap = dump->cap == 0 ? 16 : dump->cap * 2;
		struct dump_file *bigger = reallocarray(dump->files, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "a dumped folder");
		dump->files = bigger;
		dump->cap = cap;
	}
	file.name_at = (uint32_t)dump->bytes.len;
	buf_put(&dump->bytes, name, len);
	if (is_table(name, len))
		r = slurp_told(f, item, content, dump, &file, err);
	dump->files[dump->count++] = file;
	return r == 0 && buf_failed(&dump->bytes) ? error_no_memory(err, "a dumped folder") : r;
}

int dump_meet_entry(struct feed *f, const struct item *item, const struct feed_content *content, struct error *err)
{
	const uint8_t *key = item->key.data, *name;
	size_t prefix_len, len;
	struct dump *dump = NULL;
	struct buf prefix = {0};
	int r = 0;

	if (!entry_key_split(key, item->key.len, &prefix_len, &name, &len))
		return 0;
	if (S_ISDIR(item->entry.mode)) {
		if (prefix_len == 0 && entry_key_to_prefix(&prefix, key, item->key.len))
			r = add_if_dump(f, prefix.data, prefix.len, prefix.data, prefix.len, err);
		buf_release(&prefix);
		return r;
	}
	if (!S_ISREG(item->entry.mode) || (!is_table(name, len) && !complete_pgdir_name((const char *)name, len)))
		return 0;
	r = add_dump(f, key, prefix_len, &dump, err);
	return r == 0 ? add_file(f, dump, item, name, len, content, err) : r;
}
