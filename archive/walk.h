/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_WALK_H
#define ARCHIVE_WALK_H

/*
 * The walker's own state, shared by backup_walk.c (folders) and
 * backup_roots.c (what the sources put at the top). Used by the walker's
 * thread alone.
 */

#include "archive/backup_impl.h"

struct dirlist;

/* The source path of what is being looked at; `root`: length of the part that is the source's own. */
struct walk_path {
	char *text;
	size_t len, cap, root;
};

/* Appends a component; the length before, for walk_path_pop(). Without memory the path is cut, which only shortens
 * messages and skips excludes. */
size_t walk_path_push(struct walk_path *p, const char *name);
void walk_path_pop(struct walk_path *p, size_t mark);
/* Replaces the whole path and marks it as a source's root. */
int walk_path_set(struct walk_path *p, const char *text, struct error *err);
/* Behind the source's root. */
const char *walk_path_relative(const struct walk_path *p);

/* A folder that is being walked. */
struct level {
	struct level *parent;
	struct folder *folder;
	struct dirlist *list;
	struct buf prefix; /* of keys */
	dev_t dev;         /* of the source, for --one-file-system */
	size_t mark;       /* path length before it */
	bool has_folders;
};

struct walk {
	struct backup *b;
	struct tree_cursor *cursor; /* in the parent's tree; NULL */
	struct walk_path path;
	struct stat *skips;
	size_t skip_count;
	bool top;
};

/* Walks folder `name` of dirfd ("." for itself) and all below it; keys begin with `prefix`. What cannot be read is
 * told. */
int walk_tree(struct walk *w, int dirfd, const char *name, const struct buf *prefix, dev_t dev, struct error *err);
/* One entry at the top of the dataset. *ret_enter: it is a folder to walk afterwards. */
int walk_one(struct walk *w, struct folder *folder, const char *name, const struct stat *st, dev_t dev, bool *ret_enter,
	struct error *err);

#endif
