/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "archive_fixture.h"

/*
 * A catalog that fails in the middle of a backup, as on a full or broken disk:
 * it is a cache, so the backup must succeed all the same. The linker hands the
 * archive's calls to what stands here.
 */

static struct {
	long left; /* calls until all fail, until a fresh private one is made */
	long count;
} fault;

static bool fails(struct error *err)
{
	__atomic_add_fetch(&fault.count, 1, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&fault.left, 1, __ATOMIC_RELAXED) >= 0)
		return false;
	error_set(err, ERR_IO, "the disk of the catalog is broken");
	return true;
}

/* A call that is passed on until the catalog breaks. */
#define BREAKS(name, parameters, arguments)                           \
	int __real_##name parameters;                                 \
	int __wrap_##name parameters;                                 \
	int __wrap_##name parameters                                  \
	{                                                             \
		return fails(err) ? ERR_IO : __real_##name arguments; \
	}

BREAKS(catalog_reset, (struct catalog * c, struct error *err), (c, err))
BREAKS(catalog_segment_add, (struct catalog * c, const struct catalog_segment *s, struct error *err), (c, s, err))
BREAKS(catalog_segment_note, (struct catalog * c, const uint8_t *id, struct error *err), (c, id, err))
BREAKS(catalog_segment_forget, (struct catalog * c, const uint8_t *id, struct error *err), (c, id, err))
BREAKS(catalog_segments, (struct catalog * c, int (*fn)(void *arg, const uint8_t *id), void *arg, struct error *err),
	(c, fn, arg, err))
BREAKS(catalog_chunk_find,
	(struct catalog * c, uint64_t domain, const uint8_t *id, struct catalog_chunk *ret, struct error *err),
	(c, domain, id, ret, err))
BREAKS(catalog_pack_find, (struct catalog * c, const uint8_t *id, struct catalog_pack *ret, struct error *err),
	(c, id, ret, err))
BREAKS(catalog_packs_drop, (struct catalog * c, const uint8_t (*ids)[CATALOG_ID_LEN], size_t count, struct error *err),
	(c, ids, count, err))
BREAKS(catalog_object_put, (struct catalog * c, const char *name, const void *data, size_t len, struct error *err),
	(c, name, data, len, err))
BREAKS(catalog_object_get, (struct catalog * c, const char *name, struct buf *ret, struct error *err),
	(c, name, ret, err))

int __real_catalog_make_private(struct catalog *c, struct error *err);
int __wrap_catalog_make_private(struct catalog *c, struct error *err);
int __wrap_catalog_make_private(struct catalog *c, struct error *err)
{
	__atomic_store_n(&fault.left, LONG_MAX, __ATOMIC_RELAXED);
	return __real_catalog_make_private(c, err);
}

static const char *const names[] = {"one", "two", "three", "four"};
enum { NAMES = 4, SIZE = 400000 };

static void write_round(struct archive_fixture *f, uint32_t round)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		uint8_t *p = archive_fixture_bytes(SIZE, i < 2 ? i : i + round * NAMES); /* two files never change */
		archive_fixture_write(f, names[i], p, SIZE);
		free(p);
	}
}

static void expect_round(struct repo *repo, const struct snapshot *s, uint32_t round)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		uint8_t *p = archive_fixture_bytes(SIZE, i < 2 ? i : i + round * NAMES);
		archive_fixture_expect(repo, s, names[i], p, SIZE);
		free(p);
	}
}

/* A backup whose catalog breaks after n calls; how many calls it made. */
static long break_after(struct archive_fixture *f, long n, uint32_t round)
{
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	struct error err = ERROR_INIT;

	write_round(f, round);
	fault.count = 0;
	__atomic_store_n(&fault.left, n, __ATOMIC_SEQ_CST);
	int r = backup_run(f->repo, f->catalog, &options, &result, &err);
	__atomic_store_n(&fault.left, LONG_MAX, __ATOMIC_SEQ_CST);
	if (r < 0)
		fail_msg("broken after %ld calls: %s", n, error_text(&err));
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	expect_round(f->repo, result.snapshot, round);
	snapshot_free(result.snapshot);
	return fault.count;
}

static void test_catalog__a_disk_that_breaks_at_any_call_does_not_break_the_backup(void **state)
{
	struct archive_fixture *f = *state;
	uint32_t round = 1;

	break_after(f, LONG_MAX, 0);
	long total = break_after(f, LONG_MAX, round++);
	assert_true(total > 10);
	for (long n = 0; n <= total; n += n < 20 ? 1 : 1 + total / 30)
		break_after(f, n, round++);
	/* What the broken runs left behind keeps nobody from the next. */
	break_after(f, LONG_MAX, round++);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_catalog__a_disk_that_breaks_at_any_call_does_not_break_the_backup),
	};

	fault.left = LONG_MAX;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
