/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/listing.h"
#include "tools/source.h"

enum option { O_LONG, O_RECURSIVE, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_LONG] = {"long", 'l', false, false}, [O_RECURSIVE] = {"recursive", 'R', false, false}};

struct ls {
	struct cli *cli;
	bool is_long, recursive, raw;
};

static void show(const struct ls *ls, const struct entry *e, const uint8_t *name, size_t len)
{
	if (ls->cli->json) {
		jsonout_line(stdout, listing_json(e, name, len));
		return;
	}
	if (ls->is_long)
		listing_long(stdout, e);
	listing_name(stdout, name, len, ls->raw);
	if (ls->is_long && S_ISLNK(e->mode)) {
		fputs(" -> ", stdout);
		listing_name(stdout, e->target, e->target_len, ls->raw);
	}
	putchar('\n');
}

/* The entries whose keys begin with `prefix`; with `own`, only the folder's own. Names are shown from `skip` bytes of
 * path on. */
static int list_range(
	const struct ls *ls, struct reader *r, const struct snapshot *s, const struct buf *prefix, struct error *err)
{
	struct tree_cursor *c = NULL;
	struct buf path = {0};
	int status = s->root.entries == 0
			     ? ERR_NOT_FOUND
			     : tree_cursor_new_at(reader_nodes(r), &s->root, prefix->data, prefix->len, &c, err);
	const struct entry *e;

	while (status == 0 && (e = tree_cursor_entry(c)) != NULL && e->key_len >= prefix->len &&
		(prefix->len == 0 || memcmp(e->key, prefix->data, prefix->len) == 0) && cli_cancelled == 0) {
		buf_clear(&path);
		entry_key_to_path(&path, e->key, e->key_len);
		const uint8_t *name = path.data;
		size_t len = path.len;
		if (!ls->recursive) {
			size_t at = 0;
			entry_key_split(e->key, e->key_len, &at, &name, &len);
		}
		show(ls, e, name, len);
		status = tree_cursor_next(c, err);
	}
	tree_cursor_free(c);
	buf_release(&path);
	if (status == ERR_NOT_FOUND) {
		if (err != NULL)
			error_clear(err);
		status = 0;
	}
	return status;
}

static int list_source(const struct ls *ls, struct reader *r, const struct source *src, struct error *err)
{
	const struct node *leaf;
	const struct entry *e;
	struct buf prefix = {0};
	int status = source_find(r, src, &leaf, &e, err);

	if (status < 0)
		return status;
	if (!S_ISDIR(e->mode)) {
		show(ls, e, (const uint8_t *)src->path, strlen(src->path));
	} else {
		if (leaf != NULL)
			entry_key_to_prefix(&prefix, e->key, e->key_len);
		if (!ls->recursive)
			buf_put_u8(&prefix, 0); /* a folder's own entries */
	}
	bool is_dir = S_ISDIR(e->mode);
	if (leaf != NULL)
		reader_nodes(r)->put(reader_nodes(r), leaf);
	if (is_dir)
		status = buf_failed(&prefix) ? error_no_memory(err, "a path")
					     : list_range(ls, r, src->snapshot, &prefix, err);
	buf_release(&prefix);
	return status;
}

/* Without a source: the datasets. */
static int list_dataset(void *arg, const char *dataset)
{
	const struct ls *ls = arg;

	if (ls->cli->json) {
		json_t *o = json_object();
		json_object_set_new(o, "dataset", json_string(dataset));
		return jsonout_line(stdout, o);
	}
	printf("%s\n", dataset);
	return 0;
}

static int run(struct ls *ls, const char *word)
{
	struct source src;
	struct reader *reader = NULL;
	struct error err = ERROR_INIT;
	int code = source_open(ls->cli, &word, word == NULL ? 0 : 1);

	if (code == CLI_OK && word == NULL)
		return snapset_datasets(ls->cli->set, list_dataset, ls) == 0 ? CLI_OK : CLI_FAILED;
	if (code == CLI_OK)
		code = source_parse(ls->cli, word, &src);
	if (code != CLI_OK)
		return code;
	code = source_reader(ls->cli, 64, &reader);
	if (code == CLI_OK && list_source(ls, reader, &src, &err) < 0)
		code = cli_fail(ls->cli, &err);
	reader_close(reader);
	source_release(&src);
	return code;
}

int cmd_ls(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct ls ls = {.cli = cli, .raw = isatty(1) == 0};
	const char *value, *word = NULL;
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what == O_LONG)
			ls.is_long = true;
		else if (what == O_RECURSIVE)
			ls.recursive = true;
		else if (word != NULL)
			return cli_usage(cli, "one source at a time");
		else
			word = value;
	}
	return run(&ls, word);
}
