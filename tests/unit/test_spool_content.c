/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/content.h"

enum { FILE_MOST = 100000, ARCHIVED = 60000 };

struct model {
	uint8_t bytes[FILE_MOST];
	uint64_t size;
};

/* A file, what it should hold, and what an index would know of it. */
struct place {
	char dir[120];
	int fd;
	struct content *c, *frozen;
	struct model now, recorded, at_freeze;
	struct buf layers, gone;
	uint64_t size;
	struct archive_found found; /* reader NULL: no archive */
	uint8_t *archived;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%.80s/drfs-content-XXXXXX", fileio_tmpdir());
	assert_non_null(mkdtemp(p->dir));
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}

/* Files of the staging folder; removes them where told. */
static unsigned files(struct place *p, bool all_go)
{
	unsigned count = 0;
	DIR *dir = opendir(p->dir);
	struct dirent *e;
	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.') {
			count++;
			if (all_go)
				assert_int_equal(unlinkat(p->fd, e->d_name, 0), 0);
		}
	closedir(dir);
	return count;
}

static int teardown(void **state)
{
	struct place *p = *state;
	content_close(p->c);
	content_close(p->frozen);
	buf_release(&p->layers);
	buf_release(&p->gone);
	(void)files(p, true);
	close(p->fd);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct content *open_recorded(struct place *p, bool read_only)
{
	struct content_options o = {.dir = p->fd,
		.layers = p->layers.data,
		.layers_len = p->layers.len,
		.size = p->size,
		.read_only = read_only,
		.sealed = p->frozen != NULL};
	struct content *c = NULL;
	struct error err = ERROR_INIT;
	if (p->found.reader)
		assert_int_equal(reader_file_open(p->found.reader, p->found.entry, &o.under, NULL), 0);
	if (content_open(&o, &c, &err) != 0)
		fail_msg("%s", error_text(&err));
	assert_int_equal(content_size(c), p->size);
	return c;
}

static void expect(struct content *c, const struct model *m, uint64_t off, size_t len)
{
	static uint8_t got[FILE_MOST + 1000];
	size_t n = 99, want = off >= m->size ? 0 : (size_t)min_u64(len, m->size - off);
	struct error err = ERROR_INIT;
	memset(got, 0xee, sizeof(got));
	if (content_read(c, off, got, len, &n, &err) != 0)
		fail_msg("%s", error_text(&err));
	assert_int_equal(n, want);
	if (memcmp(got, m->bytes + off, want) != 0)
		for (size_t i = 0; i < want; i++)
			if (got[i] != m->bytes[off + i])
				fail_msg("byte %zu of %zu is %u, not %u", (size_t)off + i, (size_t)m->size, got[i],
					m->bytes[off + i]);
}

static void expect_all(struct content *c, const struct model *m)
{
	assert_int_equal(content_size(c), m->size);
	expect(c, m, 0, FILE_MOST);
}

struct differing {
	const struct place *p;
	uint64_t at;
};

/* What is not told equals the archive; what is told is in order and apart. */
static int see_change(void *arg, uint64_t off, uint64_t len, struct error *err)
{
	struct differing *d = arg;
	(void)err;
	assert_true(len > 0 && (off > d->at || (off == 0 && d->at == 0)));
	assert_true(off + len <= d->p->now.size);
	if (off > d->at)
		assert_memory_equal(d->p->now.bytes + d->at, d->p->archived + d->at, off - d->at);
	d->at = off + len;
	return 0;
}

static void expect_changes(struct place *p)
{
	struct differing d = {p, 0};
	assert_int_equal(content_changes(p->c, see_change, &d, NULL), 0);
	assert_true(d.at <= p->now.size);
	if (d.at < p->now.size) {
		assert_non_null(p->archived);
		assert_memory_equal(p->now.bytes + d.at, p->archived + d.at, p->now.size - d.at);
	}
}

/* Holes are zeros, and both kinds cover the file. */
static void expect_seek(struct place *p)
{
	uint64_t at = 0, data, hole;
	while (at < p->now.size) {
		int r = content_seek(p->c, at, true, &data, NULL);
		uint64_t stop = r == 0 ? data : p->now.size;
		assert_true(r == 0 || r == ERR_NOT_FOUND);
		assert_true(stop >= at);
		for (uint64_t i = at; i < stop; i++)
			assert_int_equal(p->now.bytes[i], 0);
		if (r != 0)
			break;
		assert_int_equal(content_seek(p->c, data, false, &hole, NULL), 0);
		assert_true(hole > data && hole <= p->now.size);
		at = hole;
	}
	assert_int_equal(content_seek(p->c, p->now.size, true, &data, NULL), ERR_NOT_FOUND);
	assert_int_equal(content_seek(p->c, p->now.size, false, &data, NULL), ERR_NOT_FOUND);
}

static void unlink_gone(struct place *p)
{
	for (size_t i = 0; i + 33 <= p->gone.len; i += 33)
		assert_int_equal(unlinkat(p->fd, (const char *)p->gone.data + i, 0), 0);
	buf_clear(&p->gone);
}

static void record(struct place *p)
{
	struct error err = ERROR_INIT;
	buf_clear(&p->layers);
	if (content_record(p->c, &p->layers, &p->size, &p->gone, &err) != 0)
		fail_msg("%s", error_text(&err));
	assert_int_equal(p->size, p->now.size);
	assert_false(content_dirty(p->c));
	p->recorded = p->now;
	if (!p->frozen)
		unlink_gone(p);
	assert_int_equal(content_layers_there(p->fd, p->layers.data, p->layers.len, NULL), 0);
}

static void crash(struct place *p)
{
	content_close(p->c);
	p->c = open_recorded(p, false);
	p->now = p->recorded;
}

static void freeze(struct place *p)
{
	content_freeze(p->c);
	p->frozen = open_recorded(p, true);
	p->at_freeze = p->recorded;
}

static void thaw(struct place *p)
{
	if (!p->frozen)
		return;
	expect_all(p->frozen, &p->at_freeze);
	assert_int_equal(content_write(p->frozen, 0, "x", 1, NULL), ERR_BUG);
	content_close(p->frozen);
	p->frozen = NULL;
	content_thaw(p->c);
	unlink_gone(p);
}

static void write_some(struct place *p, bool append)
{
	static uint8_t bytes[20000];
	struct model *m = &p->now;
	size_t len = (size_t)rand() % (rand() % 4 ? 300 : sizeof(bytes));
	uint64_t off = append ? m->size : (uint64_t)rand() % (FILE_MOST - len);
	len = (size_t)min_u64(len, FILE_MOST - off);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)rand();
	if (append)
		assert_int_equal(content_append(p->c, bytes, len, NULL), 0);
	else
		assert_int_equal(content_write(p->c, off, bytes, len, NULL), 0);
	memcpy(m->bytes + off, bytes, len);
	m->size = len > 0 ? max_u64(m->size, off + len) : m->size;
}

static void resize(struct place *p, uint64_t size)
{
	assert_int_equal(content_truncate(p->c, size, NULL), 0);
	if (size < p->now.size)
		memset(p->now.bytes + size, 0, FILE_MOST - size);
	p->now.size = size;
}

static void allocate_some(struct place *p)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	struct model *m = &p->now;
	int mode = modes[rand() % 5];
	uint64_t off = (uint64_t)rand() % FILE_MOST, len = (uint64_t)rand() % (FILE_MOST - off) % 9000 + 1;
	len = min_u64(len, FILE_MOST - off);
	assert_int_equal(content_allocate(p->c, mode, off, len, NULL), 0);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(m->bytes + off, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		m->size = max_u64(m->size, off + len);
}

static void change(struct place *p)
{
	int what = rand() % 100;
	if (what < 45)
		write_some(p, false);
	else if (what < 60)
		write_some(p, true);
	else if (what < 64)
		resize(p, (uint64_t)rand() % FILE_MOST);
	else if (what < 65)
		resize(p, 0);
	else if (what < 73)
		allocate_some(p);
	else if (what < 85)
		record(p);
	else if (what < 88)
		crash(p);
	else if (what < 92)
		assert_int_equal(content_sync(p->c, NULL), 0);
	else if (what < 95 && !p->frozen)
		freeze(p);
	else if (what >= 97)
		thaw(p);
}

static void change_much(struct place *p, unsigned seed)
{
	srand(seed);
	for (unsigned i = 0; i < 1500; i++) {
		uint64_t off = (uint64_t)rand() % FILE_MOST;
		change(p);
		expect(p->c, &p->now, off, (size_t)rand() % 5000);
		if (p->frozen)
			expect(p->frozen, &p->at_freeze, off, (size_t)rand() % 5000);
		if (i % 10 != 0)
			continue;
		expect_all(p->c, &p->now);
		expect_changes(p);
		expect_seek(p);
	}
	thaw(p);
}

static void start_empty(struct place *p)
{
	content_close(p->c);
	buf_clear(&p->layers);
	memset(&p->now, 0, sizeof(p->now));
	p->size = 0;
	p->recorded = p->now;
	p->c = open_recorded(p, false);
}

static void test_content__is_what_a_model_says_through_records_freezes_and_crashes(void **state)
{
	struct place *p = *state;
	for (unsigned seed = 1; seed <= 4; seed++) {
		start_empty(p);
		change_much(p, seed);
	}
}

static void test_content__shows_the_archive_where_nothing_covers_it(void **state)
{
	struct place *p = *state;
	struct archive_fixture f = {0};
	struct backup_result result;
	archive_fixture_open(&f);
	archive_fixture_small_chunks(&f);
	p->archived = archive_fixture_bytes(ARCHIVED, 5);
	archive_fixture_write(&f, "file", p->archived, ARCHIVED);
	archive_fixture_backup(&f, &result);
	assert_true(archive_fixture_find(f.repo, result.snapshot, "file", &p->found));
	for (unsigned seed = 11; seed <= 12; seed++) {
		content_close(p->c);
		buf_clear(&p->layers);
		memset(&p->now, 0, sizeof(p->now));
		memcpy(p->now.bytes, p->archived, ARCHIVED);
		p->now.size = p->size = ARCHIVED;
		p->recorded = p->now;
		p->c = open_recorded(p, false);
		expect_all(p->c, &p->now);
		expect_changes(p);
		change_much(p, seed);
	}
	content_close(p->c);
	p->c = NULL;
	archive_fixture_let_go(&p->found);
	snapshot_free(result.snapshot);
	free(p->archived);
	archive_fixture_close(&f);
}

static void put(struct place *p, uint64_t off, const void *data, size_t len)
{
	assert_int_equal(content_write(p->c, off, data, len, NULL), 0);
	memcpy(p->now.bytes + off, data, len);
	p->now.size = max_u64(p->now.size, off + len);
}

static void test_content_record__leaves_one_layer_of_a_file_that_only_grows(void **state)
{
	struct place *p = *state;
	int fd = -1;
	char got[3];
	start_empty(p);
	record(p);
	assert_int_equal(p->layers.len, 0);
	assert_int_equal(files(p, false), 0);
	for (uint64_t i = 0; i < 50; i++) {
		put(p, i * 3, "abc", 3);
		record(p);
	}
	assert_int_equal(files(p, false), 1);
	assert_int_equal(content_plain_file(p->c, &fd, NULL), 0);
	assert_int_equal(pread(fd, got, 3, 147), 3);
	assert_memory_equal(got, "abc", 3);
	close(fd);
	crash(p);
	expect_all(p->c, &p->now);
}

static void test_content_record__keeps_few_layers_however_often_it_is_overwritten(void **state)
{
	struct place *p = *state;
	static const uint8_t zeros[50000];
	start_empty(p);
	put(p, 0, zeros, sizeof(zeros));
	for (unsigned i = 0; i < 300; i++) {
		record(p);
		put(p, (i * 7919) % 49000, "overwritten", 11);
		if (i % 3 == 0)
			assert_int_equal(content_sync(p->c, NULL), 0);
		if (i % 50 == 0) {
			record(p);
			crash(p);
		}
		assert_true(files(p, false) < 20);
	}
	record(p);
	expect_all(p->c, &p->now);
	resize(p, 0);
	put(p, 0, "new", 3);
	record(p);
	assert_int_equal(files(p, false), 1);
	crash(p);
	expect_all(p->c, &p->now);
}

static void test_content_record__may_fail_to_reach_the_index(void **state)
{
	struct place *p = *state;
	struct buf lost = {0};
	uint64_t size;
	start_empty(p);
	put(p, 0, "recorded", 8);
	record(p);
	put(p, 2, "xxxx", 4);
	assert_int_equal(content_record(p->c, &lost, &size, &p->gone, NULL), 0);
	content_unrecord(p->c);
	assert_true(content_dirty(p->c));
	put(p, 0, "yyyyyyyy", 8);
	buf_clear(&p->gone);
	crash(p);
	expect_all(p->c, &p->now);
	assert_int_equal(p->now.bytes[2], 'c');
	buf_release(&lost);
}

static int count_name(void *arg, const char *name, struct error *err)
{
	(void)err;
	assert_int_equal(strlen(name), 32);
	++*(unsigned *)arg;
	return 0;
}

static int copy_name(void *arg, const char *name, struct error *err)
{
	(void)err;
	memcpy(arg, name, 33);
	return 0;
}

static void test_content_layers__tell_damage(void **state)
{
	struct place *p = *state;
	unsigned count = 0;
	start_empty(p);
	put(p, 10, "some bytes", 10);
	put(p, 100, "more", 4);
	record(p);
	assert_int_equal(content_layer_names(p->layers.data, p->layers.len, count_name, &count, NULL), 0);
	assert_int_equal(count, 1);
	for (size_t len = 1; len < p->layers.len; len++)
		assert_int_equal(content_layer_names(p->layers.data, len, count_name, &count, NULL), ERR_CORRUPT);
	content_close(p->c);
	p->c = NULL;
	struct content_options o = {.dir = p->fd, .layers = p->layers.data, .layers_len = p->layers.len, .size = 104};
	char name[33] = "";
	assert_int_equal(content_layer_names(p->layers.data, p->layers.len, copy_name, name, NULL), 0);
	int fd = openat(p->fd, name, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 50), 0);
	close(fd);
	assert_int_equal(content_layers_there(p->fd, p->layers.data, p->layers.len, NULL), ERR_CORRUPT);
	assert_int_equal(content_open(&o, &p->c, NULL), ERR_CORRUPT);
	content_unlink_layers(p->fd, p->layers.data, p->layers.len);
	assert_int_equal(files(p, false), 0);
	assert_int_equal(content_layers_there(p->fd, p->layers.data, p->layers.len, NULL), ERR_NOT_FOUND);
	assert_int_equal(content_open(&o, &p->c, NULL), ERR_NOT_FOUND);
}

static void test_content_write__that_does_not_fit_on_the_disk_counts_for_nothing(void **state)
{
	struct place *p = *state;
	static const uint8_t zeros[20000];
	struct rlimit old, low;
	start_empty(p);
	put(p, 0, "before", 6);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = 8192;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	int r = content_write(p->c, 6, zeros, sizeof(zeros), NULL);
	int r2 = content_append(p->c, zeros, sizeof(zeros), NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(r != 0 && r2 != 0);
	expect_all(p->c, &p->now);
	record(p);
	crash(p);
	expect_all(p->c, &p->now);
	assert_int_equal(content_write(p->c, UINT64_MAX - 1, "xyz", 3, NULL), ERR_USAGE);
	assert_int_equal(content_allocate(p->c, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, NULL), ERR_UNSUPPORTED);
}

/* ---- threads ---- */

enum { BLOCK = 512, BLOCKS = 32, WRITERS = 3, ROUNDS = 400 };

struct crowd {
	struct content *c;
	int number;
	_Atomic bool *stop;
};

/* Each writer has blocks of its own, whose bytes are all alike; a reader must never see a block that is not. */
static void *write_blocks(void *arg)
{
	struct crowd *w = arg;
	uint8_t block[BLOCK];
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t n = (uint64_t)(i * WRITERS + w->number) % BLOCKS;
		memset(block, i, sizeof(block));
		if (n % WRITERS == (uint64_t)w->number && content_write(w->c, n * BLOCK, block, BLOCK, NULL) != 0)
			return w;
	}
	return NULL;
}

static void *read_blocks(void *arg)
{
	struct crowd *w = arg;
	uint8_t block[BLOCK * 4];
	size_t n;
	while (!atomic_load(w->stop)) {
		if (content_read(w->c, 0, block, sizeof(block), &n, NULL) != 0)
			return w;
		(void)content_size(w->c);
		(void)content_staged(w->c);
	}
	return NULL;
}

static void test_content__is_written_read_recorded_and_synced_by_many_at_once(void **state)
{
	struct place *p = *state;
	pthread_t threads[WRITERS + 1];
	struct crowd crowd[WRITERS + 1];
	_Atomic bool stop = false;
	void *failed;
	start_empty(p);
	for (int i = 0; i <= WRITERS; i++) {
		crowd[i] = (struct crowd){p->c, i, &stop};
		assert_int_equal(
			pthread_create(&threads[i], NULL, i < WRITERS ? write_blocks : read_blocks, &crowd[i]), 0);
	}
	for (unsigned i = 0; i < 60; i++) {
		buf_clear(&p->layers);
		assert_int_equal(content_record(p->c, &p->layers, &p->size, &p->gone, NULL), 0);
		unlink_gone(p);
		if (i % 10 == 0)
			assert_int_equal(content_sync(p->c, NULL), 0);
		if (i % 7 == 0)
			assert_int_equal(content_allocate(p->c, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 BLOCKS * BLOCK, 100, NULL),
				0);
	}
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(threads[WRITERS], &failed), 0);
	assert_null(failed);
	for (uint64_t n = 0; n < BLOCKS; n++) {
		uint8_t block[BLOCK];
		size_t got;
		assert_int_equal(content_read(p->c, n * BLOCK, block, BLOCK, &got, NULL), 0);
		for (size_t i = 1; i < got; i++)
			assert_int_equal(block[i], block[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_content__is_what_a_model_says_through_records_freezes_and_crashes),
		CASE(test_content__shows_the_archive_where_nothing_covers_it),
		CASE(test_content_record__leaves_one_layer_of_a_file_that_only_grows),
		CASE(test_content_record__keeps_few_layers_however_often_it_is_overwritten),
		CASE(test_content_record__may_fail_to_reach_the_index),
		CASE(test_content_layers__tell_damage),
		CASE(test_content_write__that_does_not_fit_on_the_disk_counts_for_nothing),
		CASE(test_content__is_written_read_recorded_and_synced_by_many_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
