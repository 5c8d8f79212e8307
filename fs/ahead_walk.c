/* SPDX-License-Identifier: MIT */
/* Listing what is below a folder, and then what stands behind it. */
#include "fs/ahead_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "fs/nodeid.h"

enum {
	PIECE = 128 << 10,    /* asked for at a time */
	DEPTH_MOST = 64,      /* folders that are open */
	NAMES_MOST = 1 << 20, /* bytes of names of folders in one: the rest of them is left out */
	HANDLE_TYPE = 0x81,   /* linux/exportfs.h: FILEID_INO64_GEN, as FUSE makes them */
	HANDLE_LEN = 3 * 4,
	FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

struct walk {
	const struct ahead_walk *o;
	int top; /* the root folder */
	unsigned left;
	void *piece;
};

/* Folders in a folder. */
struct folders {
	struct buf text;   /* their names, each with its NUL */
	struct buf starts; /* a struct folder each */
};

struct folder {
	uint64_t ino;
	size_t at; /* of its name */
};

static uint64_t inode_of(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) == 0 ? st.stx_ino : 0;
}

static bool may_list(struct walk *w, int fd)
{
	uint64_t ino = inode_of(fd);

	return ino != 0 && w->left > 0 && w->o->go_on(w->o->arg, ino);
}

static void note(struct folders *f, const struct dirent64 *d)
{
	struct folder folder = {.ino = d->d_ino, .at = f->text.len};

	if (d->d_type != DT_DIR || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		f->text.len > NAMES_MOST)
		return;
	buf_put(&f->text, d->d_name, strlen(d->d_name) + 1);
	buf_put(&f->starts, &folder, sizeof(folder));
}

static int compare(const void *a, const void *b, void *arg)
{
	const char *text = arg;
	const struct folder *x = a, *y = b;

	return strcmp(text + x->at, text + y->at);
}

/* Asks for all names of a folder; false: it was the last one. */
static bool list(struct walk *w, int fd, struct folders *f)
{
	ssize_t n;

	while (w->left > 0 && (n = getdents64(fd, w->piece, PIECE)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *d = (const void *)((const char *)w->piece + at);
			note(f, d);
			at += d->d_reclen;
			w->left -= w->left > 0;
		}
	}
	if (buf_failed(&f->text) || buf_failed(&f->starts))
		return false;
	if (f->starts.len > 0)
		qsort_r(f->starts.data, f->starts.len / sizeof(struct folder), sizeof(struct folder), compare,
			f->text.data);
	return w->left > 0;
}

static bool below(struct walk *w, int fd, unsigned depth);

/* What is below the folders behind the one that is called `after` (0: all of them). */
static bool each(struct walk *w, int fd, const struct folders *f, uint64_t after, unsigned depth)
{
	const struct folder *folders = (const void *)f->starts.data;
	size_t count = f->starts.len / sizeof(*folders), from = 0;
	bool on = true;

	for (size_t i = 0; after != 0 && i < count; i++)
		if (folders[i].ino == after)
			from = i + 1;
	for (size_t i = from; on && i < count; i++) {
		int at = openat(fd, (const char *)f->text.data + folders[i].at, FOLDER_FLAGS);
		if (at < 0)
			continue;
		on = below(w, at, depth + 1);
		close(at);
	}
	return on;
}

/* The folder and all below it. False: that is the end of the walk. */
static bool below(struct walk *w, int fd, unsigned depth)
{
	struct folders f = {0};
	bool on = depth < DEPTH_MOST && may_list(w, fd) && list(w, fd, &f) && each(w, fd, &f, 0, depth);

	buf_release(&f.text);
	buf_release(&f.starts);
	return on;
}

/* Of one snapshot, or of one working copy. */
static bool same_tree(uint64_t a, uint64_t b)
{
	struct nodeid x, y;

	return nodeid_parse(a, &x) && nodeid_parse(b, &y) && x.kind == y.kind && x.number == y.number &&
	       (x.kind == NODEID_ENTRY || x.kind == NODEID_WORK);
}

/* The folder above, where that belongs to the same tree; else -1, and nothing was asked of it. */
static int open_above(int fd, uint64_t ino)
{
	int place = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int above = place >= 0 && same_tree(inode_of(place), ino) ? openat(place, ".", FOLDER_FLAGS) : -1;

	if (place >= 0)
		close(place);
	return above;
}

/* What stands behind a folder in the one above it; -1: nothing more. The folder is closed. */
static int behind(struct walk *w, int fd)
{
	struct folders f = {0};
	uint64_t ino = inode_of(fd);
	int above = open_above(fd, ino);

	close(fd);
	if (above < 0)
		return -1;
	bool on = may_list(w, above) && list(w, above, &f) && each(w, above, &f, ino, 0);
	buf_release(&f.text);
	buf_release(&f.starts);
	if (on)
		return above;
	close(above);
	return -1;
}

static int open_node(const struct walk *w, uint64_t node)
{
	union {
		struct file_handle head;
		char room[sizeof(struct file_handle) + HANDLE_LEN];
	} h = {.head = {.handle_bytes = HANDLE_LEN, .handle_type = HANDLE_TYPE}};
	uint32_t words[HANDLE_LEN / 4] = {(uint32_t)(node >> 32), (uint32_t)node, 0};

	memcpy(h.room + sizeof(struct file_handle), words, sizeof(words));
	return open_by_handle_at(w->top, &h.head, FOLDER_FLAGS);
}

void ahead_walk(const struct ahead_walk *o, uint64_t folder)
{
	/* What only names a place is not enough for open_by_handle_at(). */
	struct walk w = {.o = o, .left = o->budget, .top = openat(o->mount, ".", FOLDER_FLAGS), .piece = malloc(PIECE)};

	if (w.piece != NULL && w.top >= 0) {
		int fd = open_node(&w, folder);
		bool on = fd >= 0 && below(&w, fd, 0);
		while (on && fd >= 0)
			fd = behind(&w, fd);
		if (fd >= 0)
			close(fd);
	}
	if (w.top >= 0)
		close(w.top);
	free(w.piece);
}
