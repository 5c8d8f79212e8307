/* SPDX-License-Identifier: MIT */
/* The tree above the snapshots, on statements without trees: names, links, times, and what changes when an epoch does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/mark.h"
#include "archive_made.h"
#include "base/clock.h"
#include "fs/namespace.h"

enum { UID = 4711, GID = 815 };

struct scene {
	struct repo *repo;
	struct reader *reader;
	struct view *view;
	struct namespace *ns;
	const struct epoch *epoch; /* the one shown */
};

static int set_up(void **state)
{
	struct scene *t = calloc(1, sizeof(*t));
	struct reader_options options = {.threads = 1};
	t->repo = made_repo();
	assert_int_equal(reader_open(t->repo, &options, &t->reader, NULL), 0);
	t->view = view_new(t->reader);
	t->ns = namespace_new(t->view, UID, GID);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *t = *state;
	epoch_unref(t->epoch);
	namespace_free(t->ns);
	view_free(t->view);
	reader_close(t->reader);
	repo_close(t->repo);
	free(t);
	return 0;
}

/* Shows the repository as it stands now. */
static void look(struct scene *t)
{
	const struct epoch *now = NULL;
	assert_int_equal(epoch_new(made_set(t->repo), t->epoch, &now, NULL), 0);
	epoch_unref(t->epoch);
	t->epoch = now;
	namespace_show(t->ns, epoch_ref(now));
}

static struct id put(struct scene *t, const char *dataset, const char *time, enum snapshot_state state)
{
	return made_snapshot(
		t->repo, &(struct made_snapshot){.dataset = dataset, .time = made_time(time), .state = state});
}

/* A node by its path from the mount's root, name by name. */
static int find(struct scene *t, const char *path, struct namespace_node *ret)
{
	char copy[256], *rest = copy;
	struct namespace_node node = {.id = 1};
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strsep(&rest, "/"); name != NULL; name = strsep(&rest, "/")) {
		struct error err = ERROR_INIT;
		int rc = namespace_lookup(t->ns, t->epoch, node.id, name, &node, &err);
		if (rc < 0)
			return rc;
	}
	*ret = node;
	return 0;
}

static void expect_missing(struct scene *t, const char *path)
{
	struct namespace_node node;
	assert_int_equal(find(t, path, &node), ERR_NOT_FOUND);
}

static void expect_link(struct scene *t, const char *path, const char *target)
{
	struct namespace_node node;
	struct buf text = {0};
	assert_int_equal(find(t, path, &node), 0);
	assert_true(S_ISLNK(node.st.st_mode));
	assert_int_equal(namespace_readlink(t->ns, t->epoch, node.id, &text, NULL), 0);
	assert_int_equal(node.st.st_size, text.len);
	buf_put_u8(&text, 0);
	assert_string_equal((char *)text.data, target);
	/* Never longer than whoever is told of something new waits. */
	assert_true(node.entry_timeout * 1000 <= NAMESPACE_BRIEF_MS && node.attr_timeout == 0);
	buf_release(&text);
}

static uint64_t id_of(struct scene *t, const char *path)
{
	struct namespace_node node;
	assert_int_equal(find(t, path, &node), 0);
	return node.id;
}

/* The names that a folder lists, each followed by a blank. */
static void expect_listing(struct scene *t, const char *path, const char *want)
{
	char text[512] = "";
	struct namespace_listing *l = NULL;
	assert_int_equal(namespace_list(t->ns, t->epoch, path[0] ? id_of(t, path) : 1, &l, NULL), 0);
	for (size_t i = 0; i < l->count; i++) {
		strcat(text, (char *)l->names.data + l->items[i].name);
		strcat(text, " ");
	}
	namespace_listing_free(l);
	assert_string_equal(text, want);
}

static void three_snapshots(struct scene *t)
{
	put(t, "db", "2024-01-15T14:30:41", SNAPSHOT_WHOLE);
	put(t, "db", "2024-01-15T14:35:10", SNAPSHOT_WHOLE);
	put(t, "files", "2024-01-15T14:32:00", SNAPSHOT_WHOLE);
	look(t);
}

static void test_namespace_list__shows_datasets_and_snapshots_and_hides_what_drfs_keeps(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	expect_listing(t, "", "at db files ");
	/* The newest has no tree here, so its endings are left out, and nothing else. */
	expect_listing(t, "db", "at 2024-01-15T14:30 2024-01-15T14:35 latest ");
	expect_listing(t, ".drfs", "status.json ");
	expect_listing(t, "at", "");
	expect_listing(t, "db/at", "");
}

static void test_namespace_lookup__an_empty_repository_is_an_empty_folder(void **state)
{
	struct scene *t = *state;
	look(t);
	expect_listing(t, "", "at ");
	expect_missing(t, "db");
	expect_missing(t, "at/2024-01-15");
}

static void test_namespace_lookup__latest_is_the_newest_good_one(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	expect_link(t, "db/latest", "2024-01-15T14:35");
	put(t, "db", "2024-01-15T15:00:00", SNAPSHOT_PARTIAL);
	look(t);
	expect_link(t, "db/latest", "2024-01-15T14:35");
	put(t, "db", "2024-01-15T16:00:00", SNAPSHOT_INCOMPLETE);
	look(t);
	expect_link(t, "db/latest", "2024-01-15T16:00");
	expect_missing(t, "db/latest-verified");
}

static void test_namespace_lookup__a_flip_of_latest_changes_its_node(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	uint64_t before = id_of(t, "db/latest");
	look(t);
	assert_int_equal(id_of(t, "db/latest"), before);
	put(t, "db", "2024-01-16T00:00:00", SNAPSHOT_WHOLE);
	look(t);
	assert_int_not_equal(id_of(t, "db/latest"), before);
}

static void test_namespace_lookup__at_is_the_newest_not_later_than_the_end_of_what_was_named(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	expect_link(t, "db/at/2024-01-15T14:30", "../2024-01-15T14:30");
	expect_link(t, "db/at/2024-01-15T14:30:41", "../2024-01-15T14:30");
	expect_link(t, "db/at/2024-01-15", "../2024-01-15T14:35");
	expect_link(t, "db/at/2024-01-15T14:34:59", "../2024-01-15T14:30");
	expect_link(t, "db/at/2024-01-15T15:31+01:00", "../2024-01-15T14:30");
	expect_link(t, "db/at/20240115T143510Z", "../2024-01-15T14:35");
	expect_missing(t, "db/at/2024-01-15T14:30:40");
	expect_missing(t, "db/at/2024-01-14");
	expect_missing(t, "db/at/yesterday");
	expect_missing(t, "db/at/2024-13-01");
}

static void test_namespace_lookup__a_restore_point_has_every_dataset_as_of_then(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	expect_listing(t, "at/2024-01-15T14:31", "db ");
	expect_listing(t, "at/2024-01-15T14:32", "db files ");
	expect_link(t, "at/2024-01-15T14:32/db", "../../db/2024-01-15T14:30");
	expect_link(t, "at/2024-01-15T14:35/db", "../../db/2024-01-15T14:35");
	expect_link(t, "at/2024-01-16/files", "../../files/2024-01-15T14:32");
	expect_missing(t, "at/2024-01-15T14:31/files");
	expect_missing(t, "at/2024-01-15T14:29");
	expect_missing(t, "at/nonsense");
}

static void test_namespace_lookup__the_colon_free_name_is_the_same_node_and_never_listed(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	assert_int_equal(id_of(t, "db/20240115T143041Z"), id_of(t, "db/2024-01-15T14:30"));
	expect_missing(t, "db/20240115T143042Z");
}

static void test_namespace_lookup__dots_lead_up(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	assert_int_equal(id_of(t, "db/2024-01-15T14:30/.."), id_of(t, "db"));
	assert_int_equal(id_of(t, "db/at/.."), id_of(t, "db"));
	assert_int_equal(id_of(t, "db/.."), 1);
	assert_int_equal(id_of(t, "at/2024-01-16/.."), id_of(t, "at"));
	assert_int_equal(id_of(t, ".."), 1);
	assert_int_equal(id_of(t, "db/."), id_of(t, "db"));
}

static void test_namespace_node__virtual_folders_are_the_mounting_users_and_0755(void **state)
{
	static const char *const paths[] = {"db", "at", "db/at", ".drfs", "at/2024-01-16"};
	struct scene *t = *state;
	three_snapshots(t);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct namespace_node node;
		assert_int_equal(find(t, paths[i], &node), 0);
		assert_int_equal(node.st.st_mode, S_IFDIR | 0755);
		assert_int_equal(node.st.st_uid, UID);
		assert_int_equal(node.st.st_gid, GID);
		assert_int_equal(node.st.st_nlink, 1);
		assert_true(node.entry_timeout <= 1 && node.attr_timeout <= 1);
	}
}

static void test_namespace_node__a_snapshots_name_lasts_a_second_and_its_attributes_for_ever(void **state)
{
	struct scene *t = *state;
	struct namespace_node node;
	three_snapshots(t);
	assert_int_equal(find(t, "db/2024-01-15T14:30", &node), 0);
	assert_true(node.entry_timeout == 1);
	assert_true(node.attr_timeout > 86400);
	assert_int_equal(node.st.st_mode, S_IFDIR | 0750);
	assert_int_equal(node.st.st_uid, 1000);
	assert_int_equal(node.st.st_mtim.tv_sec, -5);
	assert_int_equal(node.st.st_mtim.tv_nsec, 999999999);
}

static void forget(struct scene *t, const struct id *id)
{
	made_mark(t->repo, MARK_FORGET, id);
	look(t);
}

static void test_epoch_new__a_forgotten_snapshot_has_no_name_but_whoever_is_in_it_stays(void **state)
{
	struct scene *t = *state;
	struct namespace_node node;
	const char *dataset, *snapshot;
	struct nodeid parsed;
	struct id id = put(t, "db", "2024-01-15T13:00:00", SNAPSHOT_WHOLE);
	three_snapshots(t);
	uint64_t root = id_of(t, "db/2024-01-15T13:00");
	forget(t, &id);
	expect_missing(t, "db/2024-01-15T13:00");
	expect_missing(t, "db/at/2024-01-15T13:30");
	assert_int_equal(namespace_node(t->ns, t->epoch, root, &node, NULL), 0);
	assert_true(nodeid_parse(root, &parsed));
	assert_true(namespace_ref(t->epoch, &parsed, &dataset, &snapshot));
	assert_string_equal(snapshot, "2024-01-15T13:00");
	/* And one change later still. */
	put(t, "db", "2024-01-17T13:00:00", SNAPSHOT_WHOLE);
	look(t);
	assert_int_equal(namespace_node(t->ns, t->epoch, root, &node, NULL), 0);
}

static void test_epoch_new__a_dataset_without_snapshots_is_gone_and_the_others_keep_their_nodes(void **state)
{
	struct scene *t = *state;
	struct namespace_node node;
	struct id id = put(t, "aaa", "2024-01-15T13:00:00", SNAPSHOT_WHOLE);
	three_snapshots(t);
	uint64_t db = id_of(t, "db"), aaa = id_of(t, "aaa");
	forget(t, &id);
	expect_missing(t, "aaa");
	assert_int_equal(namespace_node(t->ns, t->epoch, aaa, &node, NULL), ERR_NOT_FOUND);
	assert_int_equal(id_of(t, "db"), db);
}

static void test_epoch_new__a_request_that_began_before_a_change_sees_none_of_it(void **state)
{
	struct scene *t = *state;
	three_snapshots(t);
	const struct epoch *mine = namespace_epoch(t->ns);
	put(t, "db", "2024-01-16T00:00:00", SNAPSHOT_WHOLE);
	look(t);
	struct namespace_node node;
	uint64_t db = id_of(t, "db");
	assert_int_equal(namespace_lookup(t->ns, mine, db, "2024-01-16T00:00", &node, NULL), ERR_NOT_FOUND);
	assert_int_equal(namespace_lookup(t->ns, t->epoch, db, "2024-01-16T00:00", &node, NULL), 0);
	epoch_unref(mine);
}

static void test_namespace_node__ids_that_mean_nothing_are_not_found(void **state)
{
	static const uint64_t bad[] = {0, 5, UINT64_MAX, UINT64_C(1) << 62, UINT64_C(12345) << 33};
	struct scene *t = *state;
	three_snapshots(t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct namespace_node node;
		struct buf text = {0};
		struct namespace_listing *l = NULL;
		assert_int_equal(namespace_node(t->ns, t->epoch, bad[i], &node, NULL), ERR_NOT_FOUND);
		assert_int_equal(namespace_lookup(t->ns, t->epoch, bad[i], "x", &node, NULL), ERR_NOT_FOUND);
		assert_true(namespace_readlink(t->ns, t->epoch, bad[i], &text, NULL) < 0);
		if (namespace_list(t->ns, t->epoch, bad[i], &l, NULL) == 0)
			fail_msg("%#llx was listed", (unsigned long long)bad[i]);
	}
}

int main(void)
{
#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_SCENE(test_namespace_list__shows_datasets_and_snapshots_and_hides_what_drfs_keeps),
		WITH_SCENE(test_namespace_lookup__an_empty_repository_is_an_empty_folder),
		WITH_SCENE(test_namespace_lookup__latest_is_the_newest_good_one),
		WITH_SCENE(test_namespace_lookup__a_flip_of_latest_changes_its_node),
		WITH_SCENE(test_namespace_lookup__at_is_the_newest_not_later_than_the_end_of_what_was_named),
		WITH_SCENE(test_namespace_lookup__a_restore_point_has_every_dataset_as_of_then),
		WITH_SCENE(test_namespace_lookup__the_colon_free_name_is_the_same_node_and_never_listed),
		WITH_SCENE(test_namespace_lookup__dots_lead_up),
		WITH_SCENE(test_namespace_node__virtual_folders_are_the_mounting_users_and_0755),
		WITH_SCENE(test_namespace_node__a_snapshots_name_lasts_a_second_and_its_attributes_for_ever),
		WITH_SCENE(test_epoch_new__a_forgotten_snapshot_has_no_name_but_whoever_is_in_it_stays),
		WITH_SCENE(test_epoch_new__a_dataset_without_snapshots_is_gone_and_the_others_keep_their_nodes),
		WITH_SCENE(test_epoch_new__a_request_that_began_before_a_change_sees_none_of_it),
		WITH_SCENE(test_namespace_node__ids_that_mean_nothing_are_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
