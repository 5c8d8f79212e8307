/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/listing.h"
#include "tools/source.h"

struct diff {
	struct cli *cli;
	struct node_source *nodes;
	bool raw;
	unsigned long added, removed, changed;
	const char *prefix; /* a path to keep to; "" for all */
};

/* What differs, as letters: c content, m mode, o owner, t time, x attributes, l link target. */
static size_t reasons(struct diff *d, const struct entry *a, const struct entry *b, char dst[8])
{
	size_t n = 0;
	struct buf x = {0}, y = {0};

	bool hashed = (a->flags & b->flags & ENTRY_HAS_CONTENT_HASH) != 0;
	if (a->size != b->size || (S_ISREG(a->mode) && hashed && !id_equal(&a->content, &b->content)) ||
		(a->mode & S_IFMT) != (b->mode & S_IFMT))
		dst[n++] = 'c';
	if ((a->mode & 07777) != (b->mode & 07777))
		dst[n++] = 'm';
	if (a->uid != b->uid || a->gid != b->gid)
		dst[n++] = 'o';
	if (a->mtime.sec != b->mtime.sec || a->mtime.nsec != b->mtime.nsec)
		dst[n++] = 't';
	if (a->target_len != b->target_len || (a->target_len > 0 && memcmp(a->target, b->target, a->target_len) != 0))
		dst[n++] = 'l';
	if (entry_xattrs(d->nodes, a, &x, NULL) == 0 && entry_xattrs(d->nodes, b, &y, NULL) == 0 &&
		(x.len != y.len || (x.len > 0 && memcmp(x.data, y.data, x.len) != 0)))
		dst[n++] = 'x';
	buf_release(&x);
	buf_release(&y);
	dst[n] = '\0';
	return n;
}

static bool wanted(const struct diff *d, const struct buf *path)
{
	size_t n = strlen(d->prefix);

	return n == 0 ||
	       (path->len >= n && memcmp(path->data, d->prefix, n) == 0 && (path->len == n || path->data[n] == '/'));
}

static void print(struct diff *d, char what, const char *why, const struct entry *a, const struct entry *b,
	const struct buf *path)
{
	const struct entry *e = b != NULL ? b : a;

	if (d->cli->json) {
		char letter[2] = {what, '\0'};
		json_t *o = listing_json(e, path->data, path->len);
		json_object_set_new(o, "change", json_string(letter));
		json_object_set_new(o, "reasons", json_string(why));
		if (a != NULL)
			json_object_set_new(o, "old_size", json_integer((json_int_t)a->size));
		jsonout_line(stdout, o);
		return;
	}
	printf("%c %-6s ", what, why);
	listing_name(stdout, path->data, path->len, d->raw);
	puts(S_ISDIR(e->mode) ? "/" : "");
}

static int on_difference(void *arg, const struct entry *a, const struct entry *b, struct error *err)
{
	struct diff *d = arg;
	struct buf path = {0};
	const struct entry *e = b != NULL ? b : a;
	char why[8] = "";

	if (cli_cancelled != 0)
		return error_set(err, ERR_CANCELLED, "stopped on request");
	entry_key_to_path(&path, e->key, e->key_len);
	if (buf_failed(&path))
		return error_no_memory(err, "a path");
	if (wanted(d, &path)) {
		if (a == NULL) {
			d->added++;
			print(d, 'A', why, a, b, &path);
		} else if (b == NULL) {
			d->removed++;
			print(d, 'D', why, a, b, &path);
		} else if (reasons(d, a, b, why) > 0) {
			d->changed++;
			print(d, 'M', why, a, b, &path);
		}
	}
	buf_release(&path);
	return 0;
}

static int compare(struct diff *d, const struct source *a, const struct source *b, struct reader *r)
{
	struct error err = ERROR_INIT;

	d->nodes = reader_nodes(r);
	d->prefix = b->path;
	if (strcmp(a->path, b->path) != 0)
		return cli_usage(d->cli, "both sources must name the same path, not '%s' and '%s'", a->path, b->path);
	if (tree_diff(d->nodes, &a->snapshot->root, &b->snapshot->root, on_difference, d, &err) < 0)
		return cli_fail(d->cli, &err);
	if (!d->cli->json && !d->cli->quiet)
		fprintf(stderr, "%lu added, %lu removed, %lu changed\n", d->added, d->removed, d->changed);
	return CLI_OK;
}

int cmd_diff(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	struct diff d = {.cli = cli, .raw = isatty(1) == 0};
	struct source a = {0}, b = {0};
	struct reader *reader = NULL;
	const char *value, *words[2];
	int what, count = 0;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (count == 2)
			return cli_usage(cli, "two sources, not more");
		words[count++] = value;
	}
	if (count != 2)
		return cli_usage(cli, "two sources are needed, for example: drfs diff files/latest~1 files/latest");
	int code = source_open(cli, words, 2);
	if (code == CLI_OK)
		code = source_parse(cli, words[0], &a);
	if (code == CLI_OK)
		code = source_parse(cli, words[1], &b);
	if (code == CLI_OK)
		code = source_reader(cli, 64, &reader);
	if (code == CLI_OK)
		code = compare(&d, &a, &b, reader);
	reader_close(reader);
	source_release(&a);
	source_release(&b);
	return code;
}
