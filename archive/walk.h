/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_WALK_H
#define ARCHIVE_WALK_H

/*
 * The walker's own state, shared by backup_source.c and backup_roots.c (the
 * sources), backup_walk.c (folders) and backup_plan.c (single entries). Used
 * by the walker's thread alone.
 */

#include "archive/backup_impl.h"

struct dirlist;
struct dirlist_entry;

/* A source as given: its folder, and the name to add; name NULL: what is inside. */
struct root {
	char *folder_path, *name;
	int fd;                /* of the folder; O_PATH where there is a name */
	struct folder *folder; /* the same for items; NULL until it is needed */
	struct stat st;        /* of the folder when name is NULL, else of the entry */
};

/* The source path of what is being looked at; `root`: length of the part that is the source's own. */
struct walk_path {
	char *text;
	size_t len, cap, root;
	char *folder; /* the absolute path of a source that was given without; NULL: it has one */
	size_t given; /* length of what `folder` stands for */
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
	bool dump, dump_known; /* the folder was written by pg_dump -Fd; the parent judged it */
};

/* By rsync's rule for a slash at the end. Zeroed with fd -1 before; filled as far as it came, for roots_free(). */
int root_open(struct root *root, const char *path, struct error *err);
void roots_free(struct backup *b, struct root *roots, size_t count);
/* Several sources, or one without a slash: their entries are gathered and sorted first. */
int walk_several(struct walk *w, struct root *roots, size_t count, struct error *err);

/* Tells of an entry of the folder at w->path that could not be looked at, unless it is left out anyway. */
void walk_unseen(struct walk *w, const struct dirlist_entry *d);
/* Walks folder `name` of dirfd ("." for itself) and all below it; keys begin with `prefix`. What cannot be read is
 * told. */
int walk_tree(struct walk *w, int dirfd, const char *name, const struct buf *prefix, dev_t dev, struct error *err);
/* One entry at the top of the dataset. *ret_enter: it is a folder to walk afterwards. */
int walk_one(struct walk *w, struct folder *folder, const char *name, const struct stat *st, dev_t dev, bool *ret_enter,
	struct error *err);
/*
 * Compares an entry, whose path w->path is, with the parent's tree and puts it into the queue. What cannot be saved is
 * told and left out; only what ends the run is returned.
 */
int plan_entry(struct walk *w, struct folder *folder, const struct buf *prefix, const char *name, const struct stat *st,
	struct error *err);

#endif
