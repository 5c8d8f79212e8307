/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/conf.h"
#include "tools/listing.h"
#include "tools/source.h"

enum option { O_NAME, O_TYPE, O_SIZE, O_NEWER, O_LONG, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_NAME] = {"name", 0, true, false},
	[O_TYPE] = {"type", 0, true, false},
	[O_SIZE] = {"size", 0, true, false},
	[O_NEWER] = {"newer", 0, true, false},
	[O_LONG] = {"long", 'l', false, false},
};

struct query {
	struct cli *cli;
	const char *name;
	char type; /* 0: any */
	int size_sign;
	uint64_t size;
	bool has_newer, is_long, raw;
	int64_t newer;
};

static bool type_fits(char type, uint32_t mode)
{
	switch (type) {
	case 'f':
		return S_ISREG(mode);
	case 'd':
		return S_ISDIR(mode);
	case 'l':
		return S_ISLNK(mode);
	default:
		return type == 0;
	}
}

static bool fits(const struct query *q, const struct entry *e, const uint8_t *name, size_t len)
{
	if (!type_fits(q->type, e->mode))
		return false;
	if (q->name != NULL) {
		char text[ENTRY_NAME_MAX + 1];
		snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)name);
		if (fnmatch(q->name, text, 0) != 0)
			return false;
	}
	if (q->size_sign > 0 && e->size <= q->size)
		return false;
	if (q->size_sign < 0 && e->size >= q->size)
		return false;
	return !q->has_newer || e->mtime.sec > q->newer / CLOCK_SECOND;
}

static void show(const struct query *q, const struct entry *e, const struct buf *path)
{
	if (q->cli->json) {
		jsonout_line(stdout, listing_json(e, path->data, path->len));
		return;
	}
	if (q->is_long)
		listing_long(stdout, e);
	listing_name(stdout, path->data, path->len, q->raw);
	putchar('\n');
}

static int visit(const struct query *q, const struct entry *e, struct buf *path, struct error *err)
{
	const uint8_t *name;
	size_t at, len;

	if (!entry_key_split(e->key, e->key_len, &at, &name, &len) || !fits(q, e, name, len))
		return 0;
	buf_clear(path);
	entry_key_to_path(path, e->key, e->key_len);
	if (buf_failed(path))
		return error_no_memory(err, "a path");
	show(q, e, path);
	return 0;
}

/* Entries whose keys begin with `prefix`. */
static int visit_range(const struct query *q, struct reader *r, const struct tree_root *root, const struct buf *prefix,
	struct error *err)
{
	struct tree_cursor *c = NULL;
	struct buf path = {0};
	const struct entry *e;
	int status = root->entries == 0 ? ERR_NOT_FOUND
					: tree_cursor_new_at(reader_nodes(r), root, prefix->data, prefix->len, &c, err);

	while (status == 0 && cli_cancelled == 0 && (e = tree_cursor_entry(c)) != NULL && e->key_len >= prefix->len &&
		(prefix->len == 0 || memcmp(e->key, prefix->data, prefix->len) == 0)) {
		status = visit(q, e, &path, err);
		if (status == 0)
			status = tree_cursor_next(c, err);
	}
	tree_cursor_free(c);
	buf_release(&path);
	if (status != ERR_NOT_FOUND)
		return status;
	error_clear(err);
	return 0;
}

static int search(const struct query *q, struct reader *r, const struct source *src, struct error *err)
{
	const struct node *leaf;
	const struct entry *e;
	struct buf prefix = {0}, path = {0};

	reader_warm_tree(r, &src->snapshot->root);
	int status = source_find(r, src, &leaf, &e, err);
	if (status < 0)
		return status;
	bool is_dir = S_ISDIR(e->mode);
	if (!is_dir)
		status = visit(q, e, &path, err);
	else if (leaf != NULL)
		entry_key_to_prefix(&prefix, e->key, e->key_len);
	if (leaf != NULL)
		reader_nodes(r)->put(reader_nodes(r), leaf);
	if (status == 0 && is_dir)
		status = buf_failed(&prefix) ? error_no_memory(err, "a path")
					     : visit_range(q, r, &src->snapshot->root, &prefix, err);
	buf_release(&prefix);
	buf_release(&path);
	return status;
}

static int take_option(struct query *q, int which, const char *value)
{
	int64_t last;

	switch (which) {
	case O_NAME:
		q->name = value;
		return CLI_OK;
	case O_TYPE:
		if (strlen(value) != 1 || strchr("fdl", value[0]) == NULL)
			return cli_usage(q->cli, "--type takes f, d or l, not '%s'", value);
		q->type = value[0];
		return CLI_OK;
	case O_SIZE:
		if (conf_parse_size(value, &q->size)) /* which find takes for: rounded up to that unit */
			return cli_usage(q->cli, "--size takes +%s for larger or -%s for smaller, not '%s' alone",
				value, value, value);
		q->size_sign = value[0] == '-' ? -1 : 1;
		if ((value[0] != '+' && value[0] != '-') || !conf_parse_size(value + 1, &q->size))
			return cli_usage(q->cli, "--size takes +SIZE or -SIZE, as +10M, not '%s'", value);
		return CLI_OK;
	case O_NEWER:
		if (!clock_parse(value, &q->newer, &last))
			return cli_usage(q->cli, "--newer takes a time, as 2024-01-15T14:30, not '%s'", value);
		q->has_newer = true;
		return CLI_OK;
	default:
		q->is_long = true;
		return CLI_OK;
	}
}

/* find's own spelling, -name and -type, is what fingers type. False: a word of find that is none of drfs. */
static bool respell(char **word, char spelled[O_COUNT][8])
{
	static const char *const foreign[] = {"amin", "and", "anewer", "atime", "cmin", "cnewer", "ctime", "daystart",
		"delete", "depth", "empty", "exec", "execdir", "executable", "fprint", "fstype", "gid", "group",
		"iname", "inum", "ipath", "iregex", "links", "ls", "maxdepth", "mindepth", "mmin", "mount", "mtime",
		"newermt", "not", "o", "ok", "okdir", "or", "path", "perm", "print", "print0", "printf", "prune",
		"quit", "readable", "regex", "samefile", "uid", "user", "wholename", "writable", "xdev"};

	if ((*word)[0] != '-')
		return true;
	for (size_t i = 0; i < O_COUNT; i++)
		if (strcmp(*word + 1, options[i].name) == 0)
			*word = spelled[i];
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (strcmp(*word + ((*word)[1] == '-' ? 2 : 1), foreign[i]) == 0)
			return false;
	return true;
}

int cmd_find(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct query q = {.cli = cli, .raw = isatty(1) == 0};
	struct error err = ERROR_INIT;
	struct reader *reader = NULL;
	struct source src = {0};
	const char *value, *word = NULL;
	int what, code = CLI_OK;

	char spelled[O_COUNT][8] = {"--name", "--type", "--size", "--newer", "--long"};

	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!respell(&argv[i], spelled))
			return cli_usage(cli,
				"'%s' of find is not here; there are --name, --type, --size, --newer and -l", argv[i]);
	while (code == CLI_OK && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what != CLI_ARG_PLAIN)
			code = take_option(&q, what, value);
		else if (word != NULL)
			code = cli_usage(cli, "one source at a time");
		else
			word = value;
	}
	if (code == CLI_OK && word == NULL)
		code = cli_usage(cli, "where? for example: drfs find files/latest --name '*.pdf'");
	if (code == CLI_OK)
		code = source_open(cli, &word, 1);
	if (code == CLI_OK)
		code = source_parse(cli, word, &src);
	if (code == CLI_OK)
		code = source_reader(cli, 64, &reader);
	if (code == CLI_OK && search(&q, reader, &src, &err) < 0)
		code = cli_fail(cli, &err);
	reader_close(reader);
	source_release(&src);
	return code;
}
