/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fileio.h"
#include "tools/source.h"

enum { STEP = 1 << 20, ZEROS = 64 << 10 };

static int write_out(const void *data, size_t len, struct error *err)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "cannot write the output");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_hole(size_t len, struct error *err)
{
	static const uint8_t zeros[ZEROS];
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n = len < ZEROS ? len : ZEROS;
		r = write_out(zeros, n, err);
		len -= n;
	}
	return r;
}

static int write_file(struct reader *reader, struct reader_file *f, struct error *err)
{
	struct reader_span spans[16];
	uint64_t size = reader_file_size(f);
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size && cli_cancelled == 0;) {
		size_t count = 0, got = 0;
		r = reader_file_map(f, at, STEP, spans, 16, &count, err);
		for (size_t i = 0; r == 0 && i < count; i++) {
			r = spans[i].data != NULL ? write_out(spans[i].data, spans[i].len, err)
						  : write_hole(spans[i].len, err);
			got += spans[i].len;
		}
		reader_spans_release(reader, spans, count);
		if (r == 0 && got == 0)
			r = error_set(err, ERR_CORRUPT, "the file ends before its size");
		at += got;
	}
	return r;
}

static int cat_source(struct reader *reader, const struct source *src, struct error *err)
{
	const struct node *leaf;
	const struct entry *e;
	struct reader_file *f = NULL;
	int r = source_find(reader, src, &leaf, &e, err);

	if (r < 0)
		return r;
	if (!S_ISREG(e->mode))
		r = error_set(
			err, ERR_USAGE, "'%s' is no regular file", src->path[0] == '\0' ? src->dataset : src->path);
	else
		r = reader_file_open(reader, e, &f, err);
	if (leaf != NULL)
		reader_nodes(reader)->put(reader_nodes(reader), leaf);
	if (r == 0)
		r = write_file(reader, f, err);
	reader_file_close(f);
	return r < 0 ? error_wrap(err, r, "cannot read %s/%s/%s", src->dataset, src->snapshot->name, src->path) : 0;
}

int cmd_cat(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	struct reader *reader = NULL;
	struct error err = ERROR_INIT;
	const char *value;
	int what, code = CLI_USAGE;
	const char **words = calloc((size_t)argc + 1, sizeof(char *));
	size_t count = 0;

	while (words != NULL && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			goto out;
		words[count++] = value;
	}
	if (count == 0) {
		code = cli_usage(cli, "which file? for example: drfs cat db/latest/app.sql");
		goto out;
	}
	code = source_open(cli, words, count);
	if (code == CLI_OK)
		code = source_reader(cli, 128, &reader);
	for (size_t i = 0; code == CLI_OK && i < count; i++) {
		struct source src;
		code = source_parse(cli, words[i], &src);
		if (code == CLI_OK && cat_source(reader, &src, &err) < 0)
			code = cli_fail(cli, &err);
		source_release(&src);
	}
out:
	reader_close(reader);
	free(words);
	return code;
}
