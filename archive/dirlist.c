/* SPDX-License-Identifier: MIT */
#include "archive/dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fileio.h"

/* Some file systems have names longer than NAME_MAX; they are listed like others. READ_BYTES: what one call fetches. */
enum { NAME_LEN_MAX = 1024, WINDOW = 64 << 10, READ_BYTES = 32 << 10 };

struct row {
	size_t name; /* offset in names */
	int stat_errno;
	struct stat st;
};

/* A sorted stretch of the temporary file, and the window of it that is in memory. */
struct run {
	uint64_t begin, end, at; /* at: where the next window is read */
	uint8_t *window;
	size_t used, len; /* consumed, valid */
	struct dirlist_entry head;
	char name[NAME_LEN_MAX + 1];
	bool done;
};

struct dirlist {
	struct row *rows;
	size_t count, cap, next;
	struct buf names;
	int fd; /* of the runs; -1: all in memory */
	uint64_t written;
	struct run *runs;
	size_t run_count;
	struct run *last; /* its head was handed out */
	struct dirlist_entry entry;
};

struct dirlist *dirlist_new(void)
{
	struct dirlist *l = calloc(1, sizeof(*l));

	if (l != NULL)
		l->fd = -1;
	return l;
}

void dirlist_free(struct dirlist *l)
{
	if (l == NULL)
		return;
	if (l->fd >= 0)
		close(l->fd);
	for (size_t i = 0; i < l->run_count; i++)
		free(l->runs[i].window);
	free(l->runs);
	free(l->rows);
	buf_release(&l->names);
	free(l);
}

int dirlist_add(struct dirlist *l, const char *name, const struct stat *st, int stat_errno, struct error *err)
{
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct row *rows = reallocarray(l->rows, cap, sizeof(*rows));
		if (rows == NULL)
			return error_no_memory(err, "a folder's list");
		l->rows = rows;
		l->cap = cap;
	}
	struct row *row = &l->rows[l->count];
	*row = (struct row){.name = l->names.len, .stat_errno = stat_errno, .st = *st};
	buf_put(&l->names, name, strlen(name) + 1);
	if (buf_failed(&l->names))
		return error_no_memory(err, "a folder's list");
	l->count++;
	return 0;
}

static int by_name(const void *a, const void *b, void *names)
{
	const struct row *x = a, *y = b;
	const char *base = names;

	return strcmp(base + x->name, base + y->name);
}

static int by_inode(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->st.st_ino < y->st.st_ino ? -1 : x->st.st_ino > y->st.st_ino;
}

static void sort_rows(struct dirlist *l)
{
	if (l->count > 1)
		qsort_r(l->rows, l->count, sizeof(*l->rows), by_name, l->names.data);
}

/* Attributes of all rows, asked for in inode order, then by name. */
static void stat_rows(struct dirlist *l, int dirfd)
{
	if (l->count > 1)
		qsort(l->rows, l->count, sizeof(*l->rows), by_inode);
	for (size_t i = 0; i < l->count; i++) {
		struct row *row = &l->rows[i];
		const char *name = (const char *)l->names.data + row->name;
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0)
			row->st = st;
		else
			row->stat_errno = errno;
	}
	sort_rows(l);
}

/* Writes the rows in memory as a run and empties them. */
static int spill(struct dirlist *l, struct error *err)
{
	struct buf out = {0};
	int r = 0;

	if (l->fd < 0)
		r = fileio_tmpfile(fileio_tmpdir(), &l->fd, err);
	struct run *runs = reallocarray(l->runs, l->run_count + 1, sizeof(*runs));
	if (r == 0 && runs == NULL)
		r = error_no_memory(err, "a folder's list");
	if (runs != NULL)
		l->runs = runs;
	uint64_t begin = l->written;
	for (size_t i = 0; r == 0 && i < l->count; i++) {
		const char *name = (const char *)l->names.data + l->rows[i].name;
		buf_put_u16(&out, (uint16_t)strlen(name));
		buf_put(&out, &l->rows[i].stat_errno, sizeof(int));
		buf_put(&out, &l->rows[i].st, sizeof(struct stat));
		buf_put(&out, name, strlen(name));
		if (out.len >= WINDOW || i + 1 == l->count) {
			r = buf_failed(&out)
				    ? error_no_memory(err, "a folder's list")
				    : fileio_pwrite(l->fd, "a temporary file", out.data, out.len, l->written, err);
			l->written += out.len;
			buf_clear(&out);
		}
	}
	buf_release(&out);
	if (r == 0) {
		l->runs[l->run_count++] = (struct run){.begin = begin, .end = l->written, .at = begin};
		l->count = 0;
		buf_clear(&l->names);
	}
	return r;
}

static bool dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Adds what one getdents64() has brought. */
static int add_entries(struct dirlist *l, int dirfd, const uint8_t *data, size_t len, struct error *err)
{
	for (size_t at = 0; at < len;) {
		const struct dirent64 *d = (const void *)(data + at);
		struct stat st = {.st_ino = d->d_ino, .st_mode = (mode_t)DTTOIF(d->d_type)};
		int r = 0;
		at += d->d_reclen;
		if (dot(d->d_name))
			continue;
		if (strlen(d->d_name) > NAME_LEN_MAX)
			return error_set(err, ERR_UNSUPPORTED, "a name in this folder is too long");
		r = dirlist_add(l, d->d_name, &st, 0, err);
		if (r == 0 && l->count == DIRLIST_BATCH) {
			stat_rows(l, dirfd);
			r = spill(l, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Without a stream of the C library's: a folder then costs half the system calls. */
static int read_all(struct dirlist *l, int dirfd, const char *path, struct error *err)
{
	_Alignas(struct dirent64) uint8_t data[READ_BYTES];
	int r = 0;

	for (;;) {
		ssize_t n = getdents64(dirfd, data, sizeof(data));
		if (n < 0)
			return error_set_errno(err, errno, "cannot list '%s'", path);
		if (n == 0)
			break;
		r = add_entries(l, dirfd, data, (size_t)n, err);
		if (r < 0)
			return r;
	}
	stat_rows(l, dirfd);
	return l->run_count > 0 && l->count > 0 ? spill(l, err) : 0;
}

int dirlist_read(int dirfd, const char *path, struct dirlist **ret_list, struct error *err)
{
	struct dirlist *l = dirlist_new();
	int r = l == NULL ? error_no_memory(err, "a folder's list") : read_all(l, dirfd, path, err);

	if (r < 0) {
		dirlist_free(l);
		return r;
	}
	dirlist_rewind(l);
	*ret_list = l;
	return 0;
}

int dirlist_sort(struct dirlist *l, struct error *err)
{
	(void)err;
	sort_rows(l);
	dirlist_rewind(l);
	return 0;
}

void dirlist_rewind(struct dirlist *l)
{
	l->next = 0;
	l->last = NULL;
	for (size_t i = 0; i < l->run_count; i++) {
		l->runs[i].at = l->runs[i].begin;
		l->runs[i].used = l->runs[i].len = 0;
		l->runs[i].done = false;
		l->runs[i].head.name = NULL;
	}
}

/* At least one whole record in the window, unless the run is over. */
static int refill(struct dirlist *l, struct run *run, struct error *err)
{
	size_t left = run->len - run->used, got = 0;

	if (run->window == NULL && (run->window = malloc(WINDOW)) == NULL)
		return error_no_memory(err, "a folder's list");
	memmove(run->window, run->window + run->used, left);
	size_t want = WINDOW - left;
	if (want > run->end - run->at)
		want = (size_t)(run->end - run->at);
	int r = fileio_pread(l->fd, "a temporary file", run->window + left, want, run->at, &got, err);
	if (r == 0 && got != want)
		r = error_set(err, ERR_IO, "a temporary file is shorter than what was written to it");
	run->at += got;
	run->used = 0;
	run->len = left + got;
	return r;
}

static int step(struct dirlist *l, struct run *run, struct error *err)
{
	enum { FIXED = sizeof(uint16_t) + sizeof(int) + sizeof(struct stat) };

	if (run->len - run->used < FIXED + NAME_LEN_MAX && run->at < run->end) {
		int r = refill(l, run, err);
		if (r < 0)
			return r;
	}
	if (run->len == run->used) {
		run->done = true;
		return 0;
	}
	struct cursor c = cursor_of(run->window + run->used, run->len - run->used);
	size_t len = cursor_u16(&c);
	cursor_copy(&c, &run->head.stat_errno, sizeof(int));
	cursor_copy(&c, &run->head.st, sizeof(struct stat));
	const uint8_t *name = cursor_bytes(&c, len);
	if (name == NULL || len > NAME_LEN_MAX)
		return error_set(err, ERR_IO, "a temporary file is not as it was written");
	memcpy(run->name, name, len);
	run->name[len] = '\0';
	run->head.name = run->name;
	run->used += FIXED + len;
	return 0;
}

static int next_merged(struct dirlist *l, const struct dirlist_entry **ret_entry, struct error *err)
{
	struct run *best = NULL;

	for (size_t i = 0; i < l->run_count; i++) {
		struct run *run = &l->runs[i];
		if (run == l->last || run->head.name == NULL) {
			int r = run->done ? 0 : step(l, run, err);
			if (r < 0)
				return r;
		}
		if (!run->done && (best == NULL || strcmp(run->name, best->name) < 0))
			best = run;
	}
	l->last = best;
	*ret_entry = best == NULL ? NULL : &best->head;
	return 0;
}

int dirlist_next(struct dirlist *l, const struct dirlist_entry **ret_entry, struct error *err)
{
	if (l->run_count > 0)
		return next_merged(l, ret_entry, err);
	if (l->next == l->count) {
		*ret_entry = NULL;
		return 0;
	}
	const struct row *row = &l->rows[l->next++];
	l->entry = (struct dirlist_entry){
		.name = (const char *)l->names.data + row->name, .stat_errno = row->stat_errno, .st = row->st};
	*ret_entry = &l->entry;
	return 0;
}
