/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/restore_impl.h"

enum { BLOCK_BYTES = 16 << 10, BLOCK_ALIGN = 16 };

/* Memory of a job's items, given back with the job. */
struct restore_block {
	struct restore_block *next;
	size_t used, cap;
	_Alignas(BLOCK_ALIGN) uint8_t bytes[];
};

static void *job_alloc(struct restore_job *job, size_t len)
{
	struct restore_block *b = job->blocks;
	size_t need = (len + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
	if (!b || b->cap - b->used < need) {
		size_t cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
		b = malloc(sizeof(*b) + cap);
		if (!b)
			return NULL;
		*b = (struct restore_block){.next = job->blocks, .cap = cap};
		job->blocks = b;
	}
	void *p = b->bytes + b->used;
	b->used += need;
	return p;
}

static void *job_copy(struct restore_job *job, const void *from, size_t len)
{
	void *p = job_alloc(job, len + 1);
	if (!p)
		return NULL;
	if (len > 0)
		memcpy(p, from, len);
	((uint8_t *)p)[len] = 0;
	return p;
}

struct restore_job *restore_job_new(struct restore *r, struct restore_dir *dir, void (*run)(struct restore_job *job))
{
	struct restore_job *job = malloc(sizeof(*job));
	if (!job)
		return NULL;
	job->r = r;
	job->dir = restore_dir_ref(dir);
	job->run = run;
	job->count = 0;
	job->bytes = 0;
	job->blocks = NULL;
	return job;
}

void restore_job_free(struct restore_job *job)
{
	if (!job)
		return;
	for (unsigned i = 0; i < job->count; i++)
		reader_file_close(job->items[i].file);
	for (struct restore_block *b = job->blocks; b;) {
		struct restore_block *next = b->next;
		free(b);
		b = next;
	}
	restore_dir_unref(job->dir);
	free(job);
}

/* The extents and what they refer to: an entry's refs are those of its whole node, of which it uses a few. */
static bool copy_extents(struct restore_job *job, struct entry *e, const struct entry *from)
{
	uint32_t n = from->extent_count;
	struct extent *extents = job_alloc(job, (n + 1) * sizeof(*extents));
	struct chunk_ref *refs = job_alloc(job, (n + 1) * sizeof(*refs));
	uint32_t used = 0;
	if (!extents || !refs)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		extents[i] = from->extents[i];
		if (extents[i].ref == EXTENT_HOLE)
			continue;
		refs[used] = from->refs[extents[i].ref];
		extents[i].ref = used++;
	}
	e->extents = extents;
	e->refs = refs;
	e->ref_count = used;
	return true;
}

/* Attributes that lie in a piece are fetched by its reference, wherever the extents are. */
static bool copy_xattr_ref(struct restore_job *job, struct entry *e, const struct entry *from)
{
	if (from->xattr_ref == EXTENT_HOLE)
		return true;
	struct chunk_ref *refs = job_alloc(job, (e->ref_count + 1) * sizeof(*refs));
	if (!refs)
		return false;
	if (e->ref_count > 0)
		memcpy(refs, e->refs, e->ref_count * sizeof(*refs));
	refs[e->ref_count] = from->refs[from->xattr_ref];
	e->xattr_ref = e->ref_count++;
	e->refs = refs;
	return true;
}

static bool is_small(const struct entry *e)
{
	return e->piece_count == 0 && e->extent_count <= RESTORE_SMALL_EXTENTS && e->size <= RESTORE_SMALL_BYTES;
}

static int copy_content(struct restore_job *job, struct restore_item *item, const struct entry *from, struct error *err)
{
	struct entry *e = &item->entry;
	bool ok = true;
	e->extents = NULL;
	e->pieces = NULL;
	e->refs = NULL;
	e->extent_count = e->piece_count = e->ref_count = 0;
	if (S_ISREG(from->mode) && !is_small(from)) {
		int status = reader_file_open(job->r->reader, from, &item->file, err);
		if (status != 0)
			return status;
	} else if (S_ISREG(from->mode)) {
		ok = copy_extents(job, e, from);
		e->extent_count = from->extent_count;
	}
	return ok && copy_xattr_ref(job, e, from) ? 0 : error_no_memory(err, "an entry");
}

int restore_job_add(struct restore_job *job, const struct entry *entry, const char *name, struct error *err)
{
	struct restore_item *item = &job->items[job->count];
	struct entry *e = &item->entry;
	size_t name_len = 0;
	const uint8_t *own = name ? (const uint8_t *)name : restore_name(entry, &name_len);
	if (name)
		name_len = strlen(name);
	*item = (struct restore_item){.entry = *entry};
	owner_map_apply(job->r->owners, entry, &item->uid, &item->gid);
	int status = copy_content(job, item, entry, err);
	e->key = job_copy(job, entry->key, entry->key_len);
	e->target = job_copy(job, entry->target, entry->target_len);
	e->xattrs = entry->xattrs_len > 0 ? job_copy(job, entry->xattrs, entry->xattrs_len) : NULL;
	e->user = e->group = "";
	item->name = job_copy(job, own, name_len);
	if (status == 0 && (!e->key || !e->target || !item->name || (entry->xattrs_len > 0 && !e->xattrs)))
		status = error_no_memory(err, "an entry");
	if (status != 0) {
		reader_file_close(item->file);
		return status;
	}
	job->count++;
	job->bytes += item->file ? 0 : entry->size;
	return 0;
}

bool restore_job_full(const struct restore_job *job)
{
	return job->count == RESTORE_JOB_ITEMS || job->bytes >= RESTORE_JOB_BYTES;
}

static void job_run(void *arg)
{
	struct restore_job *job = arg;
	struct restore *r = job->r;
	job->run(job);
	restore_job_free(job);
	pool_group_done(&r->jobs);
}

void restore_job_submit(struct restore_job *job)
{
	if (!job)
		return;
	pool_group_add(&job->r->jobs);
	pool_submit(job->r->pool, job_run, job);
}
