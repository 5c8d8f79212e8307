/* SPDX-License-Identifier: MIT */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/feed_impl.h"

static char *user_name(void)
{
	const struct passwd *pw = getpwuid(getuid());

	return strdup(pw == NULL ? "" : pw->pw_name);
}

/* Caller frees list and texts, also of one that is not whole: *ret_count tells how far it came. */
static char **copy_list(char *const *list, size_t count, unsigned *ret_count)
{
	char **copy = calloc(count == 0 ? 1 : count, sizeof(char *));

	*ret_count = 0;
	for (size_t i = 0; copy != NULL && i < count && (copy[i] = strdup(list[i])) != NULL; i++)
		++*ret_count;
	return copy;
}

static int copy_texts(struct backup *b, struct snapshot *s)
{
	const struct backup_options *o = b->options;

	free(s->dataset);
	free(s->host);
	free(s->user);
	s->dataset = strdup(o->dataset);
	s->host = host_name();
	s->user = user_name();
	if (o->description != NULL) {
		free(s->description);
		s->description = strdup(o->description);
	}
	s->paths = copy_list(o->paths, o->path_count, &s->path_count);
	s->tags = copy_list(o->tags, o->tag_count, &s->tag_count);
	bool lists = s->path_count == o->path_count && s->tag_count == o->tag_count;
	bool texts = s->dataset != NULL && s->host != NULL && s->user != NULL && s->description != NULL;
	return lists && texts ? 0 : ERR_NO_MEMORY;
}

static void take_lists(struct backup *b, struct snapshot *s)
{
	backup_notes_end(b);
	s->checks = b->checks;
	s->check_count = b->check_count;
	s->notes = b->notes;
	s->note_count = b->note_count;
	b->checks = NULL;
	b->notes = NULL;
	b->check_count = b->note_count = 0;
}

static int set_top(struct backup *b, struct snapshot *s, struct error *err)
{
	size_t len = b->top_xattrs.len;
	uint8_t *xattrs = len == 0 ? NULL : malloc(len);

	free((char *)s->top.user);
	free((char *)s->top.group);
	s->top = b->top;
	s->top.key = NULL;
	s->top.key_len = 0;
	s->top.user = strdup(b->top.user);
	s->top.group = strdup(b->top.group);
	if (xattrs != NULL)
		memcpy(xattrs, b->top_xattrs.data, len);
	s->top.xattrs = xattrs;
	s->top.xattrs_len = xattrs == NULL ? 0 : len;
	return s->top.user == NULL || s->top.group == NULL || s->top.xattrs_len != len
		       ? error_no_memory(err, "a snapshot")
		       : 0;
}

static void set_figures(struct backup *b, struct snapshot *s)
{
	struct writer_stats stats;

	writer_get_stats(b->writer, &stats);
	s->started = b->started;
	s->files = b->result->files;
	s->dirs = b->result->dirs;
	s->others = b->result->others;
	s->bytes = b->result->bytes;
	s->link_max = b->link_max;
	s->new_bytes = b->result->new_bytes = stats.new_bytes;
	s->stored_bytes = b->result->stored_bytes = stats.stored_bytes;
	s->archive_bytes = b->session->set->archive_bytes + stats.stored_bytes;
	s->state = b->bad ? SNAPSHOT_PARTIAL : b->missing ? SNAPSHOT_INCOMPLETE : SNAPSHOT_WHOLE;
	if (b->parent != NULL)
		s->parent = b->parent->id;
}

/* The root node travels inside the snapshot, so that a reader needs no round trip for it. */
static void carry_root(struct backup *b, struct snapshot *s)
{
	if (s->root.entries == 0 || writer_root_node(b->writer, &s->root.ref.id, &s->root_sealed, s->root_key))
		return;
	if (b->parent != NULL && id_equal(&b->parent->root.ref.id, &s->root.ref.id) &&
		id_equal(&b->parent->root.ref.chain[0].pack, &s->root.ref.chain[0].pack)) {
		buf_put(&s->root_sealed, b->parent->root_sealed.data, b->parent->root_sealed.len);
		memcpy(s->root_key, b->parent->root_key, FORMAT_KEY_LEN);
	}
}

int make_snapshot(struct backup *b, struct snapshot **ret_snapshot, struct error *err)
{
	struct snapshot *s = snapshot_new();
	int r = s == NULL || copy_texts(b, s) < 0 ? error_no_memory(err, "a snapshot") : 0;

	if (r == 0)
		r = set_top(b, s, err);
	if (r == 0)
		r = tree_builder_finish(b->builder, &s->root, err);
	if (r == 0 && b->feed != NULL)
		r = feed_finish(b, s, err);
	if (r == 0 && b->feed != NULL && feed_is_base(b, s)) {
		snapshot_free(s);
		*ret_snapshot = NULL;
		return 0;
	}
	if (r == 0)
		r = writer_finish(b->writer, err);
	if (r == 0)
		r = judge_tree(b, &s->root, err);
	if (r < 0) {
		snapshot_free(s);
		return r;
	}
	set_figures(b, s);
	carry_root(b, s);
	take_lists(b, s);
	*ret_snapshot = s;
	return 0;
}
