/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "saved_tree.h"

/* One archive of one tree, made once: tests only read it, or put damage back. */
struct saved {
	struct repo *repo;
	struct id id;
	char source[SAVED_PATH_MAX], place[SAVED_PATH_MAX];
};

static int make_saved(void **state)
{
	struct saved *s = calloc(1, sizeof(*s));
	s->repo = made_repo();
	saved_folder(s->source);
	saved_make_tree(s->source);
	s->id = saved_backup(s->repo, "files", s->source);
	*state = s;
	return 0;
}

static int drop_saved(void **state)
{
	struct saved *s = *state;
	repo_close(s->repo);
	saved_remove(s->source);
	free(s);
	return 0;
}

static int make_place(void **state)
{
	saved_folder(((struct saved *)*state)->place);
	return 0;
}

static int drop_place(void **state)
{
	saved_remove(((struct saved *)*state)->place);
	return 0;
}

static struct restore_result restored(struct saved *s, const char *path, struct restore_options options)
{
	struct restore_result result = {0};
	struct error err = ERROR_INIT;
	if (saved_restore(s->repo, &s->id, path, &options, &result, &err) != 0)
		fail_msg("%s", error_text(&err));
	return result;
}

static void to(char dst[static SAVED_PATH_MAX], const struct saved *s, const char *name)
{
	saved_join(dst, s->place, name);
}

static void test_restore__into_a_new_folder_brings_everything_back(void **state)
{
	struct saved *s = *state;
	char dest[SAVED_PATH_MAX];
	to(dest, s, "not/yet/there");
	struct restore_result r = restored(s, "", (struct restore_options){.dest = dest, .verify = true});
	saved_expect_same(s->source, dest);
	assert_int_equal(r.warnings, 0);
	assert_true(r.verified > 150);
	assert_int_equal(r.unchanged, 0);
}

static void test_restore__into_an_empty_folder_brings_everything_back(void **state)
{
	struct saved *s = *state;
	restored(s, "", (struct restore_options){.dest = s->place, .threads = 7});
	saved_expect_same(s->source, s->place);
}

static void test_restore__twice_leaves_everything_alone(void **state)
{
	struct saved *s = *state;
	struct restore_result first = restored(s, "", (struct restore_options){.dest = s->place});
	struct restore_result second = restored(s, "", (struct restore_options){.dest = s->place});
	saved_expect_same(s->source, s->place);
	assert_int_equal(second.files + second.dirs + second.others, 0);
	assert_int_equal(second.bytes, 0);
	assert_int_equal(second.unchanged, first.files + first.others);
}

static void test_restore__attributes_of_equal_files_are_corrected(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX];
	restored(s, "", (struct restore_options){.dest = s->place});
	to(path, s, "small");
	assert_int_equal(chmod(path, 0604), 0);
	to(path, s, "a/b");
	assert_int_equal(chmod(path, 0777), 0);
	struct restore_result r = restored(s, "", (struct restore_options){.dest = s->place});
	saved_expect_same(s->source, s->place);
	assert_int_equal(r.files, 0);
}

/* Changes a byte and puts the time back. */
static void change_quietly(const struct saved *s, const char *name)
{
	char path[SAVED_PATH_MAX];
	struct stat st;
	to(path, s, name);
	assert_int_equal(stat(path, &st), 0);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "!", 1, st.st_size / 2), 1);
	close(fd);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_restore__checksum_finds_what_size_and_time_hide(void **state)
{
	struct saved *s = *state;
	restored(s, "", (struct restore_options){.dest = s->place});
	change_quietly(s, "medium");
	change_quietly(s, "large");
	change_quietly(s, "a/sparse");
	struct restore_result r = restored(s, "", (struct restore_options){.dest = s->place});
	assert_int_equal(r.files, 0);
	r = restored(s, "", (struct restore_options){.dest = s->place, .checksum = true});
	assert_int_equal(r.files, 3);
	saved_expect_same(s->source, s->place);
}

static void test_restore__verify_tells_of_a_file_that_reads_back_wrongly(void **state)
{
	struct saved *s = *state;
	struct error err = ERROR_INIT;
	const struct restore_options options = {.dest = s->place, .verify = true};
	restored(s, "", (struct restore_options){.dest = s->place});
	change_quietly(s, "medium");
	assert_int_equal(saved_restore(s->repo, &s->id, "", &options, NULL, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), "--checksum"));
}

static void test_restore__a_changed_file_is_replaced_whole(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX], other[SAVED_PATH_MAX];
	restored(s, "", (struct restore_options){.dest = s->place});
	to(path, s, "small");
	to(other, s, "a/link-to-small");
	assert_int_equal(link(path, other), 0);
	saved_write(s->place, "medium", "short", 5);
	saved_write(s->place, "small", "what others see", 15);
	restored(s, "", (struct restore_options){.dest = s->place});
	struct stat st;
	/* A file of its own took the name: who linked the old one keeps it. */
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_size, 15);
	assert_int_equal(unlink(other), 0);
	restored(s, "", (struct restore_options){.dest = s->place});
	saved_expect_same(s->source, s->place);
	saved_expect_clean(s->place);
}

static void test_restore__what_is_extra_stays_unless_deleting_is_asked_for(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX], outside[SAVED_PATH_MAX];
	saved_folder(outside);
	saved_write(outside, "precious", "x", 1);
	restored(s, "", (struct restore_options){.dest = s->place});
	to(path, s, "empty/extra");
	assert_int_equal(mkdir(path, 0700), 0);
	saved_write(path, "file", "x", 1);
	to(path, s, "z/aaa");
	assert_int_equal(symlink(outside, path), 0);
	saved_write(s->place, "zzz", "x", 1);
	restored(s, "", (struct restore_options){.dest = s->place});
	assert_true(saved_exists(s->place, "empty/extra/file"));
	assert_true(saved_exists(s->place, "zzz"));
	struct restore_result r = restored(s, "", (struct restore_options){.dest = s->place, .delete_extra = true});
	assert_int_equal(r.deleted, 4);
	saved_expect_same(s->source, s->place);
	assert_true(saved_exists(outside, "precious"));
	saved_remove(outside);
}

static void test_restore__a_full_folder_in_place_of_a_file_goes_only_with_delete(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX];
	to(path, s, "small");
	assert_int_equal(mkdir(path, 0700), 0);
	saved_write(path, "mine", "x", 1);
	struct restore_result r = restored(s, "", (struct restore_options){.dest = s->place});
	assert_int_equal(r.warnings, 1);
	assert_true(saved_exists(s->place, "small/mine"));
	saved_expect_clean(s->place);
	r = restored(s, "", (struct restore_options){.dest = s->place, .delete_extra = true});
	assert_int_equal(r.warnings, 0);
	saved_expect_same(s->source, s->place);
}

static void test_restore__other_types_in_the_way_are_replaced(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX];
	saved_write(s->place, "a", "a file where a folder belongs", 10);
	to(path, s, "large");
	assert_int_equal(mkdir(path, 0700), 0);
	to(path, s, "medium");
	assert_int_equal(mkfifo(path, 0600), 0);
	struct restore_result r = restored(s, "", (struct restore_options){.dest = s->place});
	assert_int_equal(r.warnings, 0);
	saved_expect_same(s->source, s->place);
}

static void test_restore__a_link_at_the_destination_leads_nowhere_else(void **state)
{
	struct saved *s = *state;
	char path[SAVED_PATH_MAX], outside[SAVED_PATH_MAX];
	saved_folder(outside);
	saved_write(outside, "third", "not yours", 9);
	to(path, s, "a");
	assert_int_equal(symlink(outside, path), 0);
	to(path, s, "small");
	assert_int_equal(symlink("/dev/null", path), 0);
	restored(s, "", (struct restore_options){.dest = s->place, .delete_extra = true});
	saved_expect_same(s->source, s->place);
	struct stat st;
	saved_join(path, outside, "third");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 9);
	assert_false(saved_exists(outside, "b"));
	saved_remove(outside);
}

static void test_restore__a_folder_of_the_snapshot_comes_with_its_own_attributes(void **state)
{
	struct saved *s = *state;
	char from[SAVED_PATH_MAX], dest[SAVED_PATH_MAX];
	saved_join(from, s->source, "empty");
	to(dest, s, "new");
	restored(s, "empty", (struct restore_options){.dest = dest});
	saved_expect_same(from, dest);
	saved_join(from, s->source, "a/b/first");
	to(dest, s, "b");
	restored(s, "a/b", (struct restore_options){.dest = dest});
	assert_true(saved_exists(dest, "first"));
}

static void test_restore__one_file_becomes_the_destination_or_goes_into_it(void **state)
{
	struct saved *s = *state;
	char from[SAVED_PATH_MAX], dest[SAVED_PATH_MAX];
	saved_join(from, s->source, "medium");
	restored(s, "medium", (struct restore_options){.dest = s->place});
	to(dest, s, "medium");
	saved_expect_same(from, dest);
	to(dest, s, "other-name");
	struct restore_result r = restored(s, "medium", (struct restore_options){.dest = dest, .verify = true});
	saved_expect_same(from, dest);
	assert_int_equal(r.files, 1);
	assert_int_equal(r.verified, 1);
}

static void test_restore__what_is_not_in_the_snapshot_is_not_found(void **state)
{
	struct saved *s = *state;
	struct error err = ERROR_INIT;
	const struct restore_options options = {.dest = s->place};
	assert_int_equal(saved_restore(s->repo, &s->id, "a/nowhere", &options, NULL, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "a/nowhere"));
	error_clear(&err);
	assert_int_equal(saved_restore(s->repo, &s->id, "../etc", &options, NULL, &err), ERR_NOT_FOUND);
}

struct told {
	unsigned writes, deletes, warnings;
	uint64_t bytes;
};

static void tell(void *arg, const char *what, const char *path, uint64_t bytes)
{
	struct told *t = arg;
	assert_non_null(path);
	t->writes += strcmp(what, "write") == 0;
	t->deletes += strcmp(what, "delete") == 0;
	t->warnings += strcmp(what, "warn") == 0;
	t->bytes += strcmp(what, "write") == 0 ? bytes : 0;
}

static void test_restore__a_dry_run_tells_and_writes_nothing(void **state)
{
	struct saved *s = *state;
	struct told dry = {0}, wet = {0};
	char dest[SAVED_PATH_MAX];
	to(dest, s, "not-there");
	struct restore_result r = restored(
		s, "", (struct restore_options){.dest = dest, .dry_run = true, .event = tell, .event_arg = &dry});
	assert_false(saved_exists(s->place, "not-there"));
	assert_true(r.needed_bytes > 9 << 20);
	struct restore_result w =
		restored(s, "", (struct restore_options){.dest = dest, .event = tell, .event_arg = &wet});
	assert_int_equal(r.files, w.files);
	assert_int_equal(r.others, w.others);
	assert_int_equal(r.dirs, w.dirs);
	assert_int_equal(dry.writes, r.files + r.others + r.dirs);
	assert_int_equal(wet.writes, dry.writes);
	saved_write(dest, "extra", "x", 1);
	saved_write(dest, "small", "x", 1);
	struct told again = {0};
	r = restored(s, "",
		(struct restore_options){
			.dest = dest, .dry_run = true, .delete_extra = true, .event = tell, .event_arg = &again});
	assert_int_equal(r.files, 1);
	assert_int_equal(again.deletes, 1);
	assert_true(saved_exists(dest, "extra"));
}

static void test_restore__a_dry_run_tells_all_that_deleting_takes_away(void **state)
{
	static const char *const paths[] = {"", "small"};
	struct saved *s = *state;
	char path[SAVED_PATH_MAX];
	for (size_t i = 0; i < 2; i++) {
		struct told dry = {0}, wet = {0};
		to(path, s, "small");
		assert_int_equal(mkdir(path, 0700), 0);
		saved_write(path, "mine", "x", 1);
		to(path, s, "small/deeper");
		assert_int_equal(mkdir(path, 0700), 0);
		struct restore_options options = {
			.dest = s->place, .dry_run = true, .delete_extra = true, .event = tell, .event_arg = &dry};
		struct restore_result d = restored(s, paths[i], options);
		assert_true(saved_exists(s->place, "small/mine"));
		options.dry_run = false;
		options.event_arg = &wet;
		struct restore_result w = restored(s, paths[i], options);
		assert_int_equal(w.deleted, 3);
		assert_int_equal(d.deleted, w.deleted);
		assert_int_equal(dry.deletes, wet.deletes);
		to(path, s, "small");
		assert_int_equal(unlink(path), 0);
	}
}

static void test_restore__a_set_flag_stops_it(void **state)
{
	struct saved *s = *state;
	struct error err = ERROR_INIT;
	const volatile int cancel = 1;
	const struct restore_options options = {.dest = s->place, .cancel = &cancel};
	assert_int_equal(saved_restore(s->repo, &s->id, "", &options, NULL, &err), ERR_CANCELLED);
	saved_expect_clean(s->place);
}

static void test_restore__without_room_nothing_is_written(void **state)
{
	struct saved *s = *state;
	struct error err = ERROR_INIT;
	const struct restore_options options = {.dest = s->place};
	if (mount("tmpfs", s->place, "tmpfs", 0, "size=4m") != 0)
		skip();
	int status = saved_restore(s->repo, &s->id, "", &options, NULL, &err);
	bool empty = !saved_exists(s->place, "small") && !saved_exists(s->place, "a");
	/* Not even the folders that it was to go to. */
	char dest[SAVED_PATH_MAX];
	to(dest, s, "there");
	assert_int_equal(mkdir(dest, 0700), 0);
	to(dest, s, "there/not/yet");
	const struct restore_options deeper = {.dest = dest};
	int again = saved_restore(s->repo, &s->id, "", &deeper, NULL, NULL);
	bool kept = saved_exists(s->place, "there"), made = saved_exists(s->place, "there/not");
	umount(s->place);
	assert_int_equal(status, ERR_NO_SPACE);
	assert_non_null(strstr(error_text(&err), "are missing"));
	assert_true(empty);
	assert_int_equal(again, ERR_NO_SPACE);
	assert_true(kept);
	assert_false(made);
}

/* Takes all the room that is left as soon as the first file is there. */
static void fill_disk(void *arg, const char *what, const char *path, uint64_t bytes)
{
	static const char block[65536];
	char filler[SAVED_PATH_MAX];
	(void)path;
	(void)bytes;
	saved_join(filler, arg, "filler");
	int fd = strcmp(what, "write") == 0 ? open(filler, O_WRONLY | O_CREAT | O_EXCL, 0600) : -1;
	while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
		;
	if (fd >= 0)
		close(fd);
}

static void expect_whole_or_absent(const struct saved *s, const char *dest, const char *name)
{
	char from[SAVED_PATH_MAX], there[SAVED_PATH_MAX];
	saved_join(from, s->source, name);
	saved_join(there, dest, name);
	if (saved_exists(dest, name))
		saved_expect_same(from, there);
}

static void test_restore__a_disk_that_fills_up_leaves_nothing_half_named(void **state)
{
	struct saved *s = *state;
	struct error err = ERROR_INIT;
	char dest[SAVED_PATH_MAX], name[64];
	struct restore_options options = {.dest = dest, .threads = 1, .event = fill_disk, .event_arg = s->place};
	if (mount("tmpfs", s->place, "tmpfs", 0, "size=20m") != 0)
		skip();
	to(dest, s, "tree");
	int status = saved_restore(s->repo, &s->id, "", &options, NULL, &err);
	assert_int_equal(status, ERR_NO_SPACE);
	assert_non_null(strstr(error_text(&err), "still to be written"));
	saved_expect_clean(dest);
	expect_whole_or_absent(s, dest, "large");
	expect_whole_or_absent(s, dest, "medium");
	for (unsigned i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "z/file%u", i);
		expect_whole_or_absent(s, dest, name);
	}
	/* With room again it goes on where it was. */
	char filler[SAVED_PATH_MAX];
	to(filler, s, "filler");
	assert_int_equal(unlink(filler), 0);
	options.event = NULL;
	status = saved_restore(s->repo, &s->id, "", &options, NULL, &err);
	assert_int_equal(status, 0);
	umount(s->place);
}

static void test_restore__owners_can_be_mapped(void **state)
{
	struct saved *s = *state;
	struct stat st;
	char path[SAVED_PATH_MAX];
	if (geteuid() != 0)
		skip();
	restored(s, "",
		(struct restore_options){
			.dest = s->place, .map_user = "12345:777,nobody:778", .map_group = "54321:779"});
	to(path, s, "a/attributed");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 777);
	assert_int_equal(st.st_gid, 779);
	assert_int_equal(st.st_mode & 07777, 06755);
	restored(s, "", (struct restore_options){.dest = s->place, .no_owner = true});
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 777);
	char other[SAVED_PATH_MAX];
	to(other, s, "other");
	restored(s, "", (struct restore_options){.dest = other, .no_owner = true});
	to(path, s, "other/a/attributed");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode & 07777, 0755); /* what ran as 12345 does not come to run as root */
	struct error err = ERROR_INIT;
	const struct restore_options wrong = {.dest = s->place, .map_user = "root:no-such-user-here"};
	assert_int_equal(saved_restore(s->repo, &s->id, "", &wrong, NULL, &err), ERR_USAGE);
}

struct largest {
	char name[STORE_NAME_MAX + 1];
	uint64_t size;
};

static int see_pack(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct largest *l = arg;
	(void)err;
	if (size > l->size)
		snprintf(l->name, sizeof(l->name), "%s", name);
	l->size = size > l->size ? size : l->size;
	return 0;
}

static void test_restore__a_damaged_chunk_costs_its_files_and_no_others(void **state)
{
	struct saved *s = *state;
	struct largest pack = {0};
	char dest[SAVED_PATH_MAX], from[SAVED_PATH_MAX];
	struct error err = ERROR_INIT;
	struct told told = {0};
	struct restore_result result = {0};
	const struct restore_options options = {.dest = s->place, .event = tell, .event_arg = &told};
	assert_int_equal(store_list(s->repo->store, NULL, "packs/", "", see_pack, &pack, NULL), 0);
	made_damage(s->repo, pack.name);
	int status = saved_restore(s->repo, &s->id, "", &options, &result, &err);
	made_damage(s->repo, pack.name); /* the same bit back */
	assert_int_equal(status, ERR_CORRUPT);
	assert_true(told.warnings >= 1);
	assert_false(saved_exists(s->place, "large")); /* the middle of the pack is the large file's */
	saved_join(from, s->source, "a/b");
	to(dest, s, "a/b");
	saved_expect_same(from, dest);
	saved_expect_clean(s->place);
	assert_true(result.files > 150);
}

/* The largest pack of the tree: a root may lie alone in another. */
static int see_tree_pack(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct largest *l = arg;
	uint8_t head[FORMAT_HEADER_LEN];
	size_t len = 0;
	(void)err;
	assert_int_equal(store_get(*(struct store **)(l + 1), NULL, name, 0, sizeof(head), head, &len, NULL), 0);
	if (head[4] == KIND_TREE_PACK && size > l->size) {
		snprintf(l->name, sizeof(l->name), "%s", name);
		l->size = size;
	}
	return 0;
}

enum { LEAF_FILES = 6000, LEAF_NAME = 200 };

/* Long names, so that the folder has leaves enough for none to hold most of it. */
static void leaf_name(unsigned i, char ret[LEAF_NAME + 1])
{
	snprintf(ret, LEAF_NAME + 1, "%0*u", LEAF_NAME, i);
}

static unsigned leaf_files_there(struct saved *s)
{
	char name[LEAF_NAME + 1];
	unsigned there = 0;
	for (unsigned i = 0; i < LEAF_FILES; i++) {
		leaf_name(i, name);
		there += saved_exists(s->place, name);
	}
	return there;
}

static bool has_leaves(struct repo *repo, const struct id *id)
{
	const struct snapset *set = made_set(repo);
	const struct snapshot *snapshot = snapset_by_id(set, id);
	assert_non_null(snapshot);
	bool more = snapshot->root.level > 0;
	snapset_unref(set);
	return more;
}

/*
 * A repository with a folder whose entries lie in some leaves, and the name of the pack that holds them. Where nodes
 * end is drawn with a repository's keys: one in which all fell into one node is drawn again.
 */
static struct repo *many_files(char source[SAVED_PATH_MAX], struct id *ret_id, struct largest *ret_pack)
{
	struct {
		struct largest pack;
		struct store *store;
	} tree = {0};
	struct repo *repo = made_repo();
	char name[LEAF_NAME + 1];
	saved_folder(source);
	for (unsigned i = 0; i < LEAF_FILES; i++) {
		leaf_name(i, name);
		saved_write(source, name, name, i % 10);
	}
	*ret_id = saved_backup(repo, "many", source);
	while (!has_leaves(repo, ret_id)) {
		repo_close(repo);
		repo = made_repo();
		*ret_id = saved_backup(repo, "many", source);
	}
	tree.store = repo->store;
	assert_int_equal(store_list(repo->store, NULL, "packs/", "", see_tree_pack, &tree, NULL), 0);
	*ret_pack = tree.pack;
	return repo;
}

static void test_restore__a_damaged_leaf_of_the_tree_costs_its_entries_and_no_others(void **state)
{
	struct saved *s = *state;
	char source[SAVED_PATH_MAX];
	struct error err = ERROR_INIT;
	struct restore_result result = {0};
	struct restore_options options = {.dest = s->place};
	struct largest pack;
	struct id id;
	struct repo *repo = many_files(source, &id, &pack);
	made_damage(repo, pack.name);
	assert_int_equal(saved_restore(repo, &id, "", &options, &result, &err), ERR_CORRUPT);
	assert_true(result.files > 0 && result.files < LEAF_FILES);
	assert_int_equal(leaf_files_there(s), result.files);
	/* What cannot be read must not look like what is not there. */
	options.delete_extra = true;
	saved_write(s->place, "zz-extra", "x", 1);
	assert_int_equal(saved_restore(repo, &id, "", &options, NULL, &err), ERR_CORRUPT);
	assert_int_equal(leaf_files_there(s), result.files);
	repo_close(repo);
	saved_remove(source);
}

static void test_restore__a_damaged_first_leaf_does_not_cost_what_comes_behind_it(void **state)
{
	struct saved *s = *state;
	char source[SAVED_PATH_MAX], last[LEAF_NAME + 1];
	struct error err = ERROR_INIT;
	struct restore_result result = {0};
	const struct restore_options options = {.dest = s->place};
	struct largest pack;
	struct id id;
	struct repo *repo = many_files(source, &id, &pack);
	made_damage_at(repo, pack.name, 0);
	assert_int_equal(saved_restore(repo, &id, "", &options, &result, &err), ERR_CORRUPT);
	leaf_name(LEAF_FILES - 1, last);
	assert_true(saved_exists(s->place, last));
	assert_true(result.files < LEAF_FILES);
	assert_int_equal(leaf_files_there(s), result.files);
	repo_close(repo);
	saved_remove(source);
}

int main(void)
{
#define RESTORE_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(test_restore__into_a_new_folder_brings_everything_back),
		RESTORE_TEST(test_restore__into_an_empty_folder_brings_everything_back),
		RESTORE_TEST(test_restore__twice_leaves_everything_alone),
		RESTORE_TEST(test_restore__attributes_of_equal_files_are_corrected),
		RESTORE_TEST(test_restore__checksum_finds_what_size_and_time_hide),
		RESTORE_TEST(test_restore__verify_tells_of_a_file_that_reads_back_wrongly),
		RESTORE_TEST(test_restore__a_changed_file_is_replaced_whole),
		RESTORE_TEST(test_restore__what_is_extra_stays_unless_deleting_is_asked_for),
		RESTORE_TEST(test_restore__a_full_folder_in_place_of_a_file_goes_only_with_delete),
		RESTORE_TEST(test_restore__other_types_in_the_way_are_replaced),
		RESTORE_TEST(test_restore__a_link_at_the_destination_leads_nowhere_else),
		RESTORE_TEST(test_restore__a_folder_of_the_snapshot_comes_with_its_own_attributes),
		RESTORE_TEST(test_restore__one_file_becomes_the_destination_or_goes_into_it),
		RESTORE_TEST(test_restore__what_is_not_in_the_snapshot_is_not_found),
		RESTORE_TEST(test_restore__a_dry_run_tells_and_writes_nothing),
		RESTORE_TEST(test_restore__a_dry_run_tells_all_that_deleting_takes_away),
		RESTORE_TEST(test_restore__a_set_flag_stops_it),
		RESTORE_TEST(test_restore__without_room_nothing_is_written),
		RESTORE_TEST(test_restore__a_disk_that_fills_up_leaves_nothing_half_named),
		RESTORE_TEST(test_restore__owners_can_be_mapped),
		RESTORE_TEST(test_restore__a_damaged_chunk_costs_its_files_and_no_others),
		RESTORE_TEST(test_restore__a_damaged_leaf_of_the_tree_costs_its_entries_and_no_others),
		RESTORE_TEST(test_restore__a_damaged_first_leaf_does_not_cost_what_comes_behind_it),
	};
	return cmocka_run_group_tests(tests, make_saved, drop_saved);
}
