/* SPDX-License-Identifier: MIT */
#include "archive/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fileio.h"

enum { V_DATASET, V_SOURCE, V_FILE, V_COUNT };

/* The tree's single file on its way into the command. */
struct stream {
	struct reader *reader;
	struct reader_file *file; /* NULL: the tree is something else */
	char *name;
	uint64_t at;
};

static int open_single(struct stream *s, const struct tree_root *root, struct error *err)
{
	struct node_source *nodes = reader_nodes(s->reader);
	const struct node *leaf = NULL;
	const struct entry *e = NULL;
	const uint8_t *name;
	size_t prefix_len, len;

	if (root->entries != 1)
		return 0;
	int r = tree_at(nodes, root, 0, &leaf, &e, err);
	if (r == 0 && S_ISREG(e->mode) && entry_key_split(e->key, e->key_len, &prefix_len, &name, &len)) {
		s->name = strndup((const char *)name, len);
		r = s->name == NULL ? error_no_memory(err, "a name") : reader_file_open(s->reader, e, &s->file, err);
	}
	if (leaf != NULL)
		nodes->put(nodes, leaf);
	return r;
}

static int feed(void *arg, void *dst, size_t cap, size_t *ret_len, struct error *err)
{
	struct stream *s = arg;
	size_t len = 0;
	int r = reader_file_read(s->file, s->at, dst, cap, &len, err);

	if (r == 0 && len == 0 && s->at < reader_file_size(s->file))
		r = error_set(err, ERR_CORRUPT, "the file ends before its size");
	if (r == 0)
		*ret_len = len;
	s->at += len;
	return r;
}

/* "DRFS_SOURCE=" and the paths, one a line. Caller frees; NULL without memory. */
static char *source_variable(const struct inspection *q)
{
	static const char prefix[] = "DRFS_SOURCE=";
	struct buf text = {0};

	buf_put(&text, prefix, sizeof(prefix) - 1);
	for (size_t i = 0; i < q->path_count; i++) {
		if (i > 0)
			buf_put_u8(&text, '\n');
		buf_put(&text, q->paths[i], strlen(q->paths[i]));
	}
	char *copy = buf_failed(&text) ? NULL : strndup((const char *)text.data, text.len);
	buf_release(&text);
	return copy;
}

/* A variable that has nothing to say is set and empty, so that none of the caller's shows through. */
static int ask(const struct inspection *q, struct stream *s, struct verdict *ret_verdict, struct error *err)
{
	char *variables[V_COUNT + 1] = {
		[V_DATASET] = fileio_format("DRFS_DATASET=%s", q->dataset),
		[V_SOURCE] = source_variable(q),
		[V_FILE] = fileio_format("DRFS_FILE=%s", s->name == NULL ? "" : s->name),
	};
	struct verdict_question question = {.command = q->command,
		.variables = (const char *const *)variables,
		.feed = s->file == NULL ? NULL : feed,
		.feed_arg = s,
		.stop = q->stop,
		.stop_arg = q->stop_arg};
	int r = 0;

	for (int i = 0; i < V_COUNT; i++)
		if (variables[i] == NULL)
			r = error_no_memory(err, "the environment of a command");
	if (r == 0)
		r = verdict_ask(&question, ret_verdict, err);
	for (int i = 0; i < V_COUNT; i++)
		free(variables[i]);
	return r;
}

int inspect_tree(const struct inspection *q, struct verdict *ret_verdict, struct error *err)
{
	struct reader_options reading = {0};
	struct stream s = {0};
	struct error why = ERROR_INIT;
	int r = reader_open(q->repo, &reading, &s.reader, &why);

	if (r == 0)
		r = open_single(&s, q->root, &why);
	if (r == 0)
		r = ask(q, &s, ret_verdict, &why);
	reader_file_close(s.file);
	reader_close(s.reader);
	free(s.name);
	if (r == ERR_CANCELLED || r == ERR_NO_MEMORY) {
		if (err != NULL)
			*err = why;
		return r;
	}
	if (r < 0) {
		*ret_verdict = (struct verdict){.good = false};
		snprintf(ret_verdict->reason, sizeof(ret_verdict->reason), "%s", error_text(&why));
	}
	return 0;
}
