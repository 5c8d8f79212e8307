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
	pthread_mutex_init(&f->lock, NULL);
	must(store_memory_open(&below, &err), &err);
	must(store_fault_open(below, &f->store, &err), &err);
	must(repo_init(f->store, &unlock, "test", &slot, &err), &err);
	must(repo_open(f->store, &unlock, NULL, &f->repo, &err), &err);
	struct catalog_options options = {.repository = f->repo->config.repository};
	must(catalog_open(&options, &f->catalog, &err), &err);
	strcpy(f->dir, "/tmp/drfs-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->source, sizeof(f->source), "%s/", f->dir);
	f->paths[0] = f->source;
}

void archive_fixture_close(struct archive_fixture *f)
{
	char command[96];

	catalog_close(f->catalog);
	repo_close(f->repo);
	free(f->last_warning);
	pthread_mutex_destroy(&f->lock);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
}

int archive_fixture_setup(void **state)
{
	struct archive_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	archive_fixture_open(f);
	*state = f;
	return 0;
}

int archive_fixture_teardown(void **state)
{
	archive_fixture_close(*state);
	free(*state);
	return 0;
}

void archive_fixture_small_chunks(struct archive_fixture *f)
{
	struct repo_config *c = &f->repo->config;

	c->chunk_min = 64;
	c->chunk_avg = 256;
	c->chunk_max = 1024;
	c->small_file = 512;
}

uint8_t *archive_fixture_bytes(size_t len, uint32_t seed)
{
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (i / 4096) % 2 == 0 ? (uint8_t)(seed >> 24) : (uint8_t)('a' + (seed >> 30));
	}
	return p;
}

char *archive_fixture_path(const struct archive_fixture *f, const char *path)
{
	char *full = fileio_format("%s/%s", f->dir, path);

	assert_non_null(full);
	return full;
}

void archive_fixture_write(struct archive_fixture *f, const char *path, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	char *full = archive_fixture_path(f, path);
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

void archive_fixture_age(const struct archive_fixture *f)
{
	char command[160];

	snprintf(command, sizeof(command), "find '%s' -exec touch -h -d '2020-01-01' {} +", f->dir);
	assert_int_equal(system(command), 0);
}

/* Called by any thread of a run. */
static void note_warning(void *arg, const char *path, const char *what)
{
	struct archive_fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	free(f->last_warning);
	f->last_warning = fileio_format("%s: %s", path, what);
	f->warnings++;
	pthread_mutex_unlock(&f->lock);
}

struct backup_options archive_fixture_options(struct archive_fixture *f)
{
	return (struct backup_options){.dataset = "t",
		.paths = f->paths,
		.path_count = 1,
		.stdin_fd = -1,
		.compression = 3,
		.threads = 2,
		.warn = note_warning,
		.warn_arg = f};
}

void archive_fixture_run(
	struct archive_fixture *f, const struct backup_options *options, struct backup_result *ret_result)
{
	struct error err = ERROR_INIT;

	must(backup_run(f->repo, f->catalog, options, ret_result, &err), &err);
}

int archive_fixture_try(struct archive_fixture *f, struct backup_result *ret_result, struct error *err)
{
	struct backup_options options = archive_fixture_options(f);

	return backup_run(f->repo, f->catalog, &options, ret_result, err);
}

void archive_fixture_backup(struct archive_fixture *f, struct backup_result *ret_result)
{
	struct error err = ERROR_INIT;

	must(archive_fixture_try(f, ret_result, &err), &err);
}

bool archive_fixture_find(struct repo *repo, const struct snapshot *s, const char *path, struct archive_found *ret)
{
	struct error err = ERROR_INIT;
	struct reader_options options = {.threads = 1};
	struct buf key = {0};

	*ret = (struct archive_found){0};
	if (s->root.entries == 0)
		return false;
	must(reader_open(repo, &options, &ret->reader, &err), &err);
	assert_true(entry_key_from_path(&key, path, strlen(path)));
	int r = tree_find(
		reader_nodes(ret->reader), &s->root, key.data, key.len, &ret->leaf, &ret->entry, &ret->rank, &err);
	buf_release(&key);
	if (r == 0)
		return true;
	if (r != ERR_NOT_FOUND)
		must(r, &err);
	reader_close(ret->reader);
	return false;
}

void archive_fixture_let_go(struct archive_found *found)
{
	reader_nodes(found->reader)->put(reader_nodes(found->reader), found->leaf);
	reader_close(found->reader);
}

bool archive_fixture_has(struct repo *repo, const struct snapshot *s, const char *path)
{
	struct archive_found found;
	bool has = archive_fixture_find(repo, s, path, &found);

	if (has)
		archive_fixture_let_go(&found);
	return has;
}

void archive_fixture_read(struct repo *repo, const struct snapshot *s, const char *path, struct buf *ret)
{
	struct error err = ERROR_INIT;
	struct reader_file *file = NULL;
	struct archive_found found;
	size_t got = 0;

	if (!archive_fixture_find(repo, s, path, &found))
		fail_msg("there is no '%s'", path);
	size_t size = (size_t)found.entry->size;
	buf_clear(ret);
	assert_true(buf_reserve(ret, size + 1));
	must(reader_file_open(found.reader, found.entry, &file, &err), &err);
	must(reader_file_read(file, 0, ret->data, size + 1, &got, &err), &err);
	assert_int_equal(got, size);
	ret->len = got;
	reader_file_close(file);
	archive_fixture_let_go(&found);
}

void archive_fixture_expect(struct repo *repo, const struct snapshot *s, const char *path, const void *data, size_t len)
{
	struct buf got = {0};

	archive_fixture_read(repo, s, path, &got);
	assert_int_equal(got.len, len);
	if (len > 0 && memcmp(got.data, data, len) != 0)
		fail_msg("'%s' has other bytes", path);
	buf_release(&got);
}
