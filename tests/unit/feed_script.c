/* SPDX-License-Identifier: MIT */
#include "feed_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/checked.h"

static int blob_read(void *arg, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	struct feed_blob *b = arg;
	size_t n = off >= b->len ? 0 : (size_t)min_u64(len, b->len - off);

	if (b->fail_at > 0 && off + len >= b->fail_at)
		return error_set(err, ERR_IO, "the blob is broken");
	if (n > 0)
		memcpy(dst, b->data + off, n);
	__atomic_fetch_add(&b->read, n, __ATOMIC_RELAXED);
	*ret_len = n;
	return 0;
}

static int blob_seek(void *arg, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	const struct feed_blob *b = arg;

	if (off >= b->len)
		return error_set(err, ERR_NOT_FOUND, "behind the end");
	for (size_t i = 0; i < b->hole_count; i++) {
		const struct feed_range *h = &b->holes[i];
		if (h->off + h->len <= off)
			continue;
		if (data && h->off <= off)
			off = h->off + h->len;
		else if (!data) {
			*ret_off = h->off > off ? h->off : off;
			return 0;
		}
	}
	if (data && off >= b->len)
		return error_set(err, ERR_NOT_FOUND, "no more data");
	*ret_off = data ? off : b->len;
	return 0;
}

static void blob_close(void *arg)
{
	struct feed_blob *b = arg;

	__atomic_fetch_add(&b->closed, 1, __ATOMIC_RELAXED);
}

struct feed_reader feed_blob_reader(struct feed_blob *blob)
{
	blob->opened++;
	return (struct feed_reader){
		.read = blob_read, .seek = blob->hole_count > 0 ? blob_seek : NULL, .close = blob_close, .arg = blob};
}

static struct feed_step *next_step(struct feed_script *s)
{
	assert_true(s->count < ARRAY_LEN(s->steps));
	struct feed_step *step = &s->steps[s->count++];
	*step = (struct feed_step){.entry.xattr_ref = EXTENT_HOLE};
	return step;
}

struct feed_step *feed_step_add(struct feed_script *s, const char *path, uint32_t mode)
{
	struct feed_step *step = next_step(s);
	struct buf key = {0};

	assert_true(entry_key_from_path(&key, path, strlen(path)));
	step->key = key.data;
	step->entry = (struct entry){.key = key.data,
		.key_len = key.len,
		.mode = mode,
		.user = "u",
		.group = "g",
		.mtime = {.sec = 1000},
		.nlink = 1,
		.xattr_ref = EXTENT_HOLE};
	return step;
}

void feed_step_dir(struct feed_script *s, const char *path)
{
	feed_step_add(s, path, S_IFDIR | 0755);
}

void feed_step_empty(struct feed_script *s, const char *path)
{
	feed_step_add(s, path, S_IFREG | 0644);
}

void feed_step_link(struct feed_script *s, const char *path, const char *target)
{
	struct feed_step *step = feed_step_add(s, path, S_IFLNK | 0777);

	step->entry.target = (const uint8_t *)target;
	step->entry.target_len = step->entry.size = strlen(target);
}

struct feed_step *feed_step_read(struct feed_script *s, const char *path, struct feed_blob *blob)
{
	struct feed_step *step = feed_step_add(s, path, S_IFREG | 0644);

	step->entry.size = blob->len;
	step->content = (struct feed_content){.source = FEED_READ, .is_new = true};
	step->blob = blob;
	return step;
}

struct feed_step *feed_step_entry(struct feed_script *s, const struct entry *entry)
{
	struct feed_step *step = next_step(s);

	step->entry = *entry;
	if (S_ISREG(entry->mode))
		step->content = (struct feed_content){.source = FEED_ENTRY, .entry = entry};
	return step;
}

void feed_step_range(struct feed_script *s, uint64_t first, uint64_t end)
{
	struct feed_step *step = next_step(s);

	step->is_range = true;
	step->first = first;
	step->end = end;
}

void feed_script_clear(struct feed_script *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->steps[i].key);
	s->count = 0;
}

/* "a/b" as the beginning of the keys below it. */
static void put_prefix(struct buf *b, const char *path)
{
	for (const char *p = path; *p != '\0'; p++)
		buf_put_u8(b, *p == '/' ? 0 : (uint8_t)*p);
	if (*path != '\0')
		buf_put_u8(b, 0);
}

static int tell_range(struct feed *f, const struct feed_step *step, struct error *err)
{
	struct buf old = {0}, new = {0};

	if (step->new_prefix == NULL)
		return feed_range(f, step->first, step->end, NULL, err);
	put_prefix(&old, step->old_prefix);
	put_prefix(&new, step->new_prefix);
	struct feed_rename rename = {.old_prefix_len = old.len, .new_prefix = new.data, .new_prefix_len = new.len};
	int r = feed_range(f, step->first, step->end, &rename, err);
	buf_release(&old);
	buf_release(&new);
	return r;
}

static int tell(void *arg, struct feed *f, struct error *err)
{
	struct feed_script *s = arg;
	const struct entry root = {.mode = S_IFDIR | 0755,
		.user = "u",
		.group = "g",
		.mtime = {.sec = (int64_t)s->mtime},
		.nlink = 1,
		.xattr_ref = EXTENT_HOLE};
	s->runs++;
	int r = feed_root(f, &root, err);

	if (r == 0 && s->hook != NULL)
		r = s->hook(s->hook_arg, f, err);
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		struct feed_step *step = &s->steps[i];
		if (step->blob != NULL)
			step->content.reader = feed_blob_reader(step->blob);
		r = step->is_range ? tell_range(f, step, err) : feed_entry(f, &step->entry, &step->content, err);
	}
	return r;
}

static void warned(void *arg, const char *path, const char *what)
{
	struct archive_fixture *f = arg;

	(void)path;
	(void)what;
	pthread_mutex_lock(&f->lock);
	f->warnings++;
	pthread_mutex_unlock(&f->lock);
}

struct feed_options feed_script_options(
	struct archive_fixture *f, struct feed_script *s, const struct snapshot *base, struct reader *reader)
{
	return (struct feed_options){.dataset = "t",
		.base = base,
		.compression = 3,
		.threads = 2,
		.reader = reader,
		.warn = warned,
		.warn_arg = f,
		.feed = tell,
		.arg = s};
}

int feed_script_try(struct archive_fixture *f, struct feed_script *s, const struct snapshot *base,
	struct reader *reader, struct backup_result *ret_result, struct error *err)
{
	struct feed_options options = feed_script_options(f, s, base, reader);

	return feed_run(f->repo, f->catalog, &options, ret_result, err);
}

void feed_script_run(struct archive_fixture *f, struct feed_script *s, const struct snapshot *base,
	struct reader *reader, struct backup_result *ret_result)
{
	struct error err = ERROR_INIT;

	if (feed_script_try(f, s, base, reader, ret_result, &err) < 0)
		fail_msg("%s", error_text(&err));
}

struct reader *feed_script_reader(struct archive_fixture *f)
{
	struct reader_options options = {.threads = 1};
	struct error err = ERROR_INIT;
	struct reader *reader = NULL;

	if (reader_open(f->repo, &options, &reader, &err) < 0)
		fail_msg("%s", error_text(&err));
	return reader;
}
