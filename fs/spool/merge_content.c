/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "fs/spool/merge_impl.h"

enum { BLOCK = 4096, MEASURE_FROM = 1 << 20 };

/*
 * Staged bytes that a feed reads. The files are opened with the first read and
 * closed with the last: thousands of told files wait in the feed's queue.
 */
struct staged {
	const struct merge_options *o;
	pthread_mutex_t lock;    /* of `content` */
	struct content *content; /* NULL: not opened yet */
	struct buf layers;
	uint64_t size;
};

static int open_staged(struct staged *s, struct reader_file *under, struct error *err)
{
	const struct content_options options = {.dir = s->o->frozen->data,
		.layers = s->layers.data,
		.layers_len = s->layers.len,
		.size = s->size,
		.under = under,
		.read_only = true};

	pthread_mutex_lock(&s->lock);
	int r = s->content != NULL ? 0 : content_open(&options, &s->content, err);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int staged_read(void *arg, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	struct staged *s = arg;
	int r = open_staged(s, NULL, err);

	if (r == 0)
		r = content_read(s->content, off, dst, len, ret_len, err);
	merge_progress(s->o);
	return r;
}

static int staged_seek(void *arg, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	struct staged *s = arg;
	int r = open_staged(s, NULL, err);

	return r < 0 ? r : content_seek(s->content, off, data, ret_off, err);
}

static void staged_close(void *arg)
{
	struct staged *s = arg;

	content_close(s->content);
	buf_release(&s->layers);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct staged *staged_new(const struct merge *m, const struct index_inode *inode)
{
	struct staged *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->o = m->o;
	s->size = inode->size;
	pthread_mutex_init(&s->lock, NULL);
	buf_put(&s->layers, inode->layers.data, inode->layers.len);
	if (!buf_failed(&s->layers))
		return s;
	staged_close(s);
	return NULL;
}

static struct feed_reader reader_of(struct staged *s)
{
	return (struct feed_reader){.read = staged_read, .seek = staged_seek, .close = staged_close, .arg = s};
}

static int find_in(struct merge *m, const struct snapshot *s, const struct index_inode *inode, struct merge_source *ret,
	struct error *err)
{
	const struct entry *e;
	int r = tree_find(
		m->nodes, &s->root, inode->content_key.data, inode->content_key.len, &ret->leaf, &e, NULL, err);

	if (r == ERR_NOT_FOUND)
		return r;
	if (r < 0)
		return error_wrap(err, r, "reading the tree of '%s/%s'", s->dataset, s->name);
	if (S_ISREG(e->mode)) {
		ret->content.entry = e;
		return 0;
	}
	m->nodes->put(m->nodes, ret->leaf);
	ret->leaf = NULL;
	error_clear(err);
	return error_set(err, ERR_NOT_FOUND, "no such file");
}

/* The entry in the archive that holds what lies under the layers; pinned. */
static int find_entry(struct merge *m, const struct index_inode *inode, struct merge_source *ret, struct error *err)
{
	const struct snapshot *s = m->o->find(m->o->find_arg, &inode->content_snapshot);
	int r = ERR_NOT_FOUND;

	if (s != NULL)
		r = find_in(m, s, inode, ret, err);
	else if (m->o->last != NULL) /* forgotten since; what was committed after it has the same file under this key */
		r = find_in(m, m->o->last, inode, ret, err);
	if (r != ERR_NOT_FOUND)
		return r;
	error_clear(err);
	return error_set(err, ERR_NOT_FOUND, "%s",
		s == NULL ? "the snapshot that holds its bytes was forgotten"
			  : "the snapshot that holds its bytes has no such file");
}

static int add_range(void *arg, uint64_t off, uint64_t len, struct error *err)
{
	struct merge_source *s = arg;

	if (s->range_count == s->range_cap) {
		size_t cap = s->range_cap == 0 ? 16 : s->range_cap * 2;
		struct feed_range *bigger = reallocarray(s->ranges, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "the changes of a file");
		s->ranges = bigger;
		s->range_cap = cap;
	}
	s->ranges[s->range_count++] = (struct feed_range){.off = off, .len = len};
	return 0;
}

/* Layers over an entry: opened to see how much of it they leave. The reader is the content's. */
static int source_over(struct merge *m, const struct index_inode *inode, struct staged *staged, struct merge_source *s,
	struct error *err)
{
	struct reader_file *under = NULL;
	int r = reader_file_open(m->o->reader, s->content.entry, &under, err);

	if (r == 0)
		r = open_staged(staged, under, err);
	if (r == 0)
		r = content_changes(staged->content, add_range, s, err);
	if (r < 0)
		return r;
	uint64_t old_size = s->content.entry->size;
	s->disk_bytes = min_u64(s->content.entry->disk_bytes + content_staged(staged->content),
		(inode->size + BLOCK - 1) / BLOCK * BLOCK);
	s->content.source = FEED_PATCH;
	if (s->range_count == 1 && s->ranges[0].off == 0 && s->ranges[0].len >= inode->size) {
		s->content.source = FEED_READ;
		content_close(staged->content); /* opened again when it is read, with nothing under it */
		staged->content = NULL;
	} else if (s->range_count == 0 && inode->size == old_size) {
		s->content.source = FEED_ENTRY;
		s->disk_bytes = s->content.entry->disk_bytes;
	} else if (s->range_count == 0 && inode->size < old_size) { /* it was cut short: it ends elsewhere */
		r = add_range(s, inode->size, 0, err);
	}
	s->content.changes = s->ranges;
	s->content.change_count = s->range_count;
	return r;
}

/* All of it is staged. */
static int source_read(
	const struct index_inode *inode, struct staged *staged, struct merge_source *s, struct error *err)
{
	s->content.source = FEED_READ;
	s->disk_bytes = (inode->size + BLOCK - 1) / BLOCK * BLOCK;
	if (inode->size < MEASURE_FROM)
		return 0;
	int r = open_staged(staged, NULL, err);
	if (r < 0)
		return r;
	s->disk_bytes = min_u64(s->disk_bytes, content_staged(staged->content));
	content_close(staged->content);
	staged->content = NULL;
	return 0;
}

static int source_layers(struct merge *m, const struct index_inode *inode, struct merge_source *s, struct error *err)
{
	struct staged *staged = staged_new(m, inode);
	int r;

	if (staged == NULL)
		return error_no_memory(err, "a file that is to be read");
	r = s->content.entry != NULL ? source_over(m, inode, staged, s, err) : source_read(inode, staged, s, err);
	if (r == 0 && s->content.source != FEED_ENTRY)
		s->content.reader = reader_of(staged);
	else
		staged_close(staged);
	return r;
}

static bool same_time(const struct entry_time *a, const struct entry_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

/*
 * Was this very state committed, by a run that was killed before it could note that? Its entry is taken then: small
 * files that are read again may come to lie in other chunks, and the snapshot would be made twice. False: no, or it
 * cannot be told.
 */
static bool committed_before(struct merge *m, const struct entry *as, struct merge_source *s)
{
	const struct entry *e;

	if (!m->o->resumed || m->o->last == NULL ||
		tree_find(m->nodes, &m->o->last->root, as->key, as->key_len, &s->leaf, &e, NULL, NULL) < 0)
		return false;
	if (e->mode == as->mode && e->size == as->size && same_time(&e->mtime, &as->mtime) &&
		same_time(&e->ctime, &as->ctime)) {
		s->content.source = FEED_ENTRY;
		s->content.entry = e;
		s->disk_bytes = e->disk_bytes;
		return true;
	}
	m->nodes->put(m->nodes, s->leaf);
	s->leaf = NULL;
	return false;
}

int merge_source(struct merge *m, const struct index_inode *inode, const struct entry *as, struct merge_source *ret,
	struct error *err)
{
	struct merge_source s = {.content.source = FEED_NONE};
	int r = 0;

	if (S_ISREG(inode->mode) && inode->size > 0 && (inode->layers.len == 0 || !committed_before(m, as, &s))) {
		if (!id_is_zero(&inode->content_snapshot))
			r = find_entry(m, inode, &s, err);
		if (r == 0 && s.content.entry != NULL && inode->layers.len == 0 &&
			s.content.entry->size == inode->size) {
			s.content.source = FEED_ENTRY;
			s.disk_bytes = s.content.entry->disk_bytes;
		} else if (r == 0) {
			r = source_layers(m, inode, &s, err);
		}
	}
	s.content.is_new = inode->ino >= INDEX_NEW;
	s.content.is_changed = !s.content.is_new && inode->layers.len > 0;
	if (r < 0)
		merge_source_release(m, &s);
	else
		*ret = s;
	return r;
}

void merge_source_release(struct merge *m, struct merge_source *s)
{
	if (s->leaf != NULL)
		m->nodes->put(m->nodes, s->leaf);
	free(s->ranges);
	*s = (struct merge_source){0};
}
