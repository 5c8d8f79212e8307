/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

const char *feed_owner(struct feed *f, const char *name)
{
	if (name == NULL || *name == '\0')
		return "";
	for (size_t i = f->owner_count; i-- > 0;) {
		char *found = f->owners[i];
		if (strcmp(found, name) != 0)
			continue;
		f->owners[i] = f->owners[f->owner_count - 1]; /* to where it is found first: neighbours share owners */
		f->owners[f->owner_count - 1] = found;
		return found;
	}
	if (f->owner_count == f->owner_cap) {
		size_t cap = f->owner_cap == 0 ? 8 : f->owner_cap * 2;
		char **bigger = reallocarray(f->owners, cap, sizeof(char *));
		if (bigger == NULL)
			return NULL;
		f->owners = bigger;
		f->owner_cap = cap;
	}
	char *copy = strdup(name);
	if (copy != NULL)
		f->owners[f->owner_count++] = copy;
	return copy;
}

static int root_xattrs(struct feed *f, const struct entry *root, struct error *err)
{
	struct buf *dst = &f->b->top_xattrs;

	buf_clear(dst);
	if (root->xattrs_len == 0 && root->xattr_ref < root->ref_count)
		return entry_xattrs(reader_nodes(f->b->reader), root, dst, err);
	buf_put(dst, root->xattrs, root->xattrs_len);
	return buf_failed(dst) ? error_no_memory(err, "the root") : 0;
}

int feed_root(struct feed *f, const struct entry *root, struct error *err)
{
	struct entry *top = &f->b->top;

	if (f->rooted)
		return error_set(err, ERR_BUG, "the root folder was told twice");
	if (!S_ISDIR(root->mode))
		return error_set(err, ERR_BUG, "the root was told as no folder");
	*top = (struct entry){.mode = root->mode,
		.uid = root->uid,
		.gid = root->gid,
		.user = feed_owner(f, root->user),
		.group = feed_owner(f, root->group),
		.mtime = root->mtime,
		.ctime = root->ctime,
		.inode = root->inode,
		.disk_bytes = root->disk_bytes,
		.nlink = root->nlink,
		.xattr_ref = EXTENT_HOLE};
	f->rooted = true;
	int r = top->user == NULL || top->group == NULL ? error_no_memory(err, "the root") : root_xattrs(f, root, err);
	return r == 0 ? dump_meet_root(f, err) : r;
}

void feed_note(struct feed *f, const char *path, const char *what, bool missing)
{
	if (missing)
		walk_warn(f->b, path, "%s", what);
	else
		backup_note(f->b, "%s: %s", path, what);
}

/*
 * Nodes that are not read may be named only if they are of a snapshot that this session saw listed and not forgotten:
 * then every prune that may still run counts it. What was marked as damaged may lack some.
 */
static bool base_stands(const struct backup *b)
{
	const struct snapshot *base = b->parent;
	const struct snapshot *listed = base == NULL ? NULL : snapset_by_id(b->session->set, &base->id);

	return listed != NULL && listed->state != SNAPSHOT_DAMAGED && listed->root.entries == base->root.entries &&
	       id_equal(&listed->root.ref.id, &base->root.ref.id);
}

void *feed_main(void *backup)
{
	struct backup *b = backup;
	struct feed *f = b->feed;
	struct error err = ERROR_INIT;

	f->b = b;
	f->rooted = false;
	f->span_count = 0;
	dumps_release(f);
	f->moves_lost = f->moves_below = false;
	f->whole = base_stands(b);
	if (b->parent != NULL)
		b->link_max = max_u64(b->link_max, b->parent->link_max);
	int r = f->options->feed(f->options->arg, f, &err);
	if (r == 0 && !f->rooted)
		r = error_set(&err, ERR_BUG, "the root folder was not told");
	if (r == 0)
		r = dumps_judge(f, &err);
	if (r == 0)
		r = feed_keep_checks(f, &err);
	if (r < 0)
		backup_fail(b, r, &err);
	queue_end(b);
	return NULL;
}

/* The tree's own sums say most; what is neither file nor folder must be counted. */
static int figures(struct backup *b, const struct snapshot *s, struct error *err)
{
	struct backup_result *res = b->result;
	uint64_t kept = 0;
	int r = feed_count_others(b->feed, &kept, err);

	res->dirs = s->root.dirs;
	res->others = min_u64(res->others + kept, s->root.entries - s->root.dirs);
	res->files = s->root.entries - s->root.dirs - res->others;
	res->bytes = s->root.bytes;
	res->unchanged_files = res->files - min_u64(res->files, res->new_files + res->changed_files);
	return r;
}

int feed_finish(struct backup *b, const struct snapshot *s, struct error *err)
{
	return figures(b, s, err);
}

static bool same_time(const struct entry_time *a, const struct entry_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

/* All that a restore would bring back. */
static bool same_top(const struct entry *a, const struct entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->group, b->group) == 0 && same_time(&a->mtime, &b->mtime) && a->xattrs_len == b->xattrs_len &&
	       (a->xattrs_len == 0 || memcmp(a->xattrs, b->xattrs, a->xattrs_len) == 0);
}

bool feed_is_base(const struct backup *b, const struct snapshot *s)
{
	const struct snapshot *last = b->feed->options->last, *base = last != NULL ? last : b->parent;

	return base != NULL && base->root.entries == s->root.entries && id_equal(&base->root.ref.id, &s->root.ref.id) &&
	       same_top(&base->top, &s->top);
}

int feed_run(struct repo *repo, struct catalog *catalog, const struct feed_options *options,
	struct backup_result *ret_result, struct error *err)
{
	struct feed f = {.options = options};
	const struct backup_options run = {.dataset = options->dataset,
		.stdin_fd = -1,
		.compression = options->compression,
		.check_command = options->check_command,
		.description = options->description,
		.tags = options->tags,
		.tag_count = options->tag_count,
		.threads = options->threads,
		.warn = options->warn,
		.warn_arg = options->warn_arg,
		.cancel = options->cancel};
	int r = options->reader == NULL ? error_set(err, ERR_BUG, "a feed has no reader")
					: backup_tries(repo, catalog, &run, &f, ret_result, err);

	for (size_t i = 0; i < f.owner_count; i++)
		free(f.owners[i]);
	free(f.owners);
	free(f.spans);
	dumps_release(&f);
	return r;
}
