/* SPDX-License-Identifier: MIT */
#include "archive_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fileio.h"
#include "base/host.h"

static const uint8_t fixture_key[32] = {7, 1, 7};

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", error_text(err));
}

int archive_fixture_reopen(struct store *store, struct repo **ret_repo, struct error *err)
{
	struct repo_unlock unlock = {.key = fixture_key};

	return repo_open(store, &unlock, NULL, ret_repo, err);
}

void archive_fixture_open(struct archive_fixture *f)
{
	struct error err = ERROR_INIT;
	struct repo_unlock unlock = {.key = fixture_key};
	struct store *below = NULL;
	struct id slot;

	must(host_init(&err), &err);
	must(store_memory_open(&below, &err), &err);
	must(store_fault_open(below, &f->store, &err), &err);
	must(repo_init(f->store, &unlock, "test", &slot, &err), &err);
	must(repo_open(f->store, &unlock, NULL, &f->repo, &err), &err);
	struct catalog_options options = {.repository = f->repo->config.repository};
	must(catalog_open(&options, &f->catalog, &err), &err);
	strcpy(f->dir, "/tmp/drfs-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
}

void archive_fixture_close(struct archive_fixture *f)
{
	char command[96];

	catalog_close(f->catalog);
	repo_close(f->repo);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
}

void archive_fixture_write(struct archive_fixture *f, const char *path, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	char *full = fileio_format("%s/%s", f->dir, path);

	assert_non_null(full);
	char *slash = strrchr(full, '/');
	*slash = '\0';
	must(fileio_mkdirs(full, 0755, &err), &err);
	*slash = '/';
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	must(fileio_write(fd, full, data, len, &err), &err);
	close(fd);
	free(full);
}

int archive_fixture_try(struct archive_fixture *f, struct backup_result *ret_result, struct error *err)
{
	char path[80];
	char *paths[] = {path};
	struct backup_options options = {
		.dataset = "t", .paths = paths, .path_count = 1, .stdin_fd = -1, .compression = 3, .threads = 2};

	snprintf(path, sizeof(path), "%s/", f->dir);
	return backup_run(f->repo, f->catalog, &options, ret_result, err);
}

void archive_fixture_backup(struct archive_fixture *f, struct backup_result *ret_result)
{
	struct error err = ERROR_INIT;

	must(archive_fixture_try(f, ret_result, &err), &err);
}

void archive_fixture_read(struct repo *repo, const struct snapshot *s, const char *path, struct buf *ret)
{
	struct error err = ERROR_INIT;
	struct reader_options options = {.threads = 1};
	struct reader *reader = NULL;
	struct reader_file *file = NULL;
	const struct node *leaf = NULL;
	const struct entry *entry = NULL;
	struct buf key = {0};
	size_t got = 0;

	must(reader_open(repo, &options, &reader, &err), &err);
	assert_true(entry_key_from_path(&key, path, strlen(path)));
	must(tree_find(reader_nodes(reader), &s->root, key.data, key.len, &leaf, &entry, NULL, &err), &err);
	buf_clear(ret);
	assert_true(buf_reserve(ret, (size_t)entry->size + 1));
	must(reader_file_open(reader, entry, &file, &err), &err);
	must(reader_file_read(file, 0, ret->data, (size_t)entry->size + 1, &got, &err), &err);
	assert_int_equal(got, entry->size);
	ret->len = got;
	reader_file_close(file);
	reader_nodes(reader)->put(reader_nodes(reader), leaf);
	reader_close(reader);
	buf_release(&key);
}
