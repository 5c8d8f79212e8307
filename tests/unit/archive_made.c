/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/mark.h"
#include "archive/object.h"
#include "archive/repo_listing.h"
#include "archive/snapshot_void.h"
#include "archive_made.h"
#include "base/clock.h"
#include "base/host.h"

static const uint8_t key_bytes[32] = "the key of all archives in tests";
static const struct repo_unlock by_key = {.key = key_bytes};

struct repo *made_open(struct store *store)
{
	struct repo *repo = NULL;
	struct error err = ERROR_INIT;
	int rc = repo_open(store, &by_key, NULL, &repo, &err);
	if (rc != 0)
		fail_msg("%s", error_text(&err));
	/* Tests put things after opening; what was listed then would hide them from the first load. */
	repo_listing_free(repo_take_listing(repo));
	return repo;
}

struct repo *made_repo(void)
{
	struct store *memory = NULL, *store = NULL;
	struct id slot;
	assert_int_equal(host_init(NULL), 0);
	assert_int_equal(store_memory_open(&memory, NULL), 0);
	assert_int_equal(store_fault_open(memory, &store, NULL), 0);
	assert_int_equal(repo_init(store, &by_key, "test", &slot, NULL), 0);
	return made_open(store);
}

struct repo *made_cut(struct repo *repo, size_t n)
{
	struct store *cut = NULL, *store = NULL;
	assert_int_equal(store_fault_cut(repo->store, n, &cut, NULL), 0);
	assert_int_equal(store_fault_open(cut, &store, NULL), 0);
	return made_open(store);
}

struct repo *made_other_host(struct repo *repo)
{
	return made_cut(repo, store_fault_history(repo->store));
}

int64_t made_time(const char *text)
{
	int64_t first = 0, last = 0;
	assert_true(clock_parse(text, &first, &last));
	return first;
}

static char *copy(const char *text)
{
	char *own = strdup(text);
	assert_non_null(own);
	return own;
}

static void set_text(char **text, const char *to)
{
	free(*text);
	*text = copy(to);
}

static char **one_text(const char *text)
{
	char **list = malloc(sizeof(*list));
	assert_non_null(list);
	list[0] = copy(text);
	return list;
}

static void fill_top(struct snapshot *s)
{
	struct buf xattrs = {0};
	xattr_put(&xattrs, "user.colour", "blue", 4);
	s->top.mode = S_IFDIR | 0750;
	s->top.uid = 1000;
	s->top.gid = 100;
	set_text((char **)&s->top.user, "alice");
	set_text((char **)&s->top.group, "users");
	s->top.mtime = (struct entry_time){-5, 999999999};
	s->top.ctime = (struct entry_time){1700000000, 1};
	s->top.inode = UINT64_MAX;
	s->top.xattrs = xattrs.data;
	s->top.xattrs_len = xattrs.len;
}

static void fill_root(struct snapshot *s, size_t sealed)
{
	memset(&s->root.ref, 0x5a, sizeof(s->root.ref.id));
	s->root = (struct tree_root){.ref = s->root.ref, .level = 2, .entries = 1000, .dirs = 10, .bytes = 1 << 30};
	s->root.ref.depth = 1;
	for (unsigned i = 0; i < 2; i++) {
		memset(&s->root.ref.chain[i].pack, 0x10 + (int)i, sizeof(struct id));
		s->root.ref.chain[i].offset = (UINT64_C(1) << 40) + i;
		s->root.ref.chain[i].stored = 4000;
		s->root.ref.chain[i].plain = 9000;
	}
	for (size_t i = 0; i < sealed; i++)
		buf_put_u8(&s->root_sealed, (uint8_t)i);
	memset(s->root_key, 7, sizeof(s->root_key));
}

struct snapshot *made_statement(const struct made_snapshot *m)
{
	char name[SNAPSHOT_NAME_MAX];
	struct snapshot *s = snapshot_new();
	assert_non_null(s);
	s->time = m->time ? m->time : made_time("2024-01-15T14:30:41");
	clock_minute_name(s->time, name);
	if (m->state == SNAPSHOT_PARTIAL)
		strcat(name, ".partial");
	set_text(&s->dataset, m->dataset ? m->dataset : "db");
	set_text(&s->name, m->name ? m->name : name);
	s->number = m->number;
	while (s->number == 0) {
		host_random(&s->number, sizeof(s->number));
		s->number &= (1u << SNAPSHOT_NUMBER_BITS) - 1;
	}
	s->state = m->state;
	s->seq = m->seq ? m->seq : 1;
	s->host_time = s->time - 5;
	s->store_date = s->time + 5;
	s->started = s->time - 100;
	memset(&s->parent, 0x77, sizeof(s->parent));
	set_text(&s->host, "alpha");
	set_text(&s->user, "root");
	set_text(&s->description, "before the upgrade");
	s->paths = one_text("/srv/da\xff");
	s->notes = one_text("'x' could not be read");
	s->tags = one_text("weekly");
	s->path_count = s->note_count = s->tag_count = 1;
	s->checks = calloc(1, sizeof(*s->checks));
	s->checks[0] = (struct snapshot_check){copy("app.sql"), copy("pg_dump"), false, copy("cut off")};
	s->check_count = 1;
	s->seen = calloc(1, sizeof(*s->seen));
	memset(&s->seen[0].slot, 3, sizeof(struct id));
	s->seen[0].seq = 12;
	s->seen_count = 1;
	s->files = 700;
	s->dirs = 10;
	s->others = 3;
	s->bytes = 1 << 30;
	s->new_bytes = 5;
	s->stored_bytes = 6;
	s->archive_bytes = 7000;
	s->link_max = 12;
	fill_top(s);
	fill_root(s, m->root_sealed);
	return s;
}

struct id made_snapshot(struct repo *repo, const struct made_snapshot *m)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct buf content = {0};
	struct snapshot *s = made_statement(m);
	object_draw(repo, KIND_SNAPSHOT, key, &s->id);
	s->slot = repo->own->id;
	assert_int_equal(snapshot_encode(repo, s, &content, NULL), 0);
	assert_int_equal(object_put(repo, KIND_SNAPSHOT, &s->id, key, content.data, content.len, NULL, NULL), 0);
	struct id id = s->id;
	buf_release(&content);
	snapshot_free(s);
	return id;
}

struct id made_void(struct repo *repo)
{
	uint8_t key[FORMAT_KEY_LEN];
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	struct id id;
	object_draw(repo, KIND_SNAPSHOT, key, &id);
	assert_int_equal(object_put_wrap(repo, &id, key, NULL), 0);
	assert_int_equal(snapshot_void_seal(repo, &id, key, &object, NULL), 0);
	object_name(KIND_SNAPSHOT, 0, &id, name);
	assert_int_equal(store_put_mem(repo->store, NULL, name, object.data, object.len, NULL, NULL), 0);
	buf_release(&object);
	return id;
}

struct id made_mark(struct repo *repo, int kind, const struct id *subject)
{
	struct mark m = {.kind = (enum mark_kind)kind, .subject = *subject};
	assert_int_equal(mark_put(repo, &m, NULL), 0);
	return m.id;
}

const struct snapset *made_set(struct repo *repo)
{
	const struct snapset *set = NULL;
	struct error err = ERROR_INIT;
	if (snapset_load(repo, NULL, NULL, &set, &err) != 0)
		fail_msg("%s", error_text(&err));
	return set;
}

void made_chunk_id(uint32_t number, uint8_t dst[static CATALOG_ID_LEN])
{
	memset(dst, 0xc0, CATALOG_ID_LEN);
	/* Spread like hashes, so that order by id is not order by number. */
	uint32_t mixed = number * 2654435761u;
	memcpy(dst, &mixed, sizeof(mixed));
	memcpy(dst + 8, &number, sizeof(number));
}

void made_pack_id(uint32_t number, uint8_t dst[static CATALOG_ID_LEN])
{
	made_chunk_id(number / 8, dst);
	dst[31] = 0x9a;
}

struct id made_segment(struct repo *repo, uint32_t first, uint32_t count)
{
	struct segment s = {0};
	s.chunks = calloc(count, sizeof(*s.chunks));
	s.packs = calloc(count, sizeof(*s.packs));
	assert_true(s.chunks && s.packs);
	for (uint32_t i = 0; i < count; i++) {
		made_chunk_id(first + i, s.chunks[i].id);
		made_pack_id(first + i, s.chunks[i].pack);
		s.chunks[i].offset = 32 + ((first + i) % 8) * 1000;
		s.chunks[i].stored = 900;
		s.chunks[i].plain = 2000 + first + i;
		memcpy(s.packs[i].id, s.chunks[i].pack, CATALOG_ID_LEN);
		s.packs[i].generation = 1;
		memset(s.packs[i].wrap, 0xab, SEAL_WRAP_LEN);
		s.packs[i].wrap_len = SEAL_WRAP_LEN;
		s.packs[i].size = 9000;
	}
	s.chunk_count = s.pack_count = count;
	struct error err = ERROR_INIT;
	if (segment_put(repo, &s, &err) != 0)
		fail_msg("%s", error_text(&err));
	free(s.chunks);
	free(s.packs);
	return s.id;
}

struct catalog *made_catalog(const struct repo *repo, const char *dir)
{
	struct catalog *catalog = NULL;
	const struct catalog_options options = {.dir = dir, .repository = repo->config.repository};
	assert_int_equal(catalog_open(&options, &catalog, NULL), 0);
	return catalog;
}

void made_expect_chunks(struct catalog *catalog, uint32_t first, uint32_t count, uint32_t limit)
{
	for (uint32_t i = 0; i < limit; i++) {
		uint8_t id[CATALOG_ID_LEN];
		struct catalog_chunk c;
		bool known = i >= first && i - first < count;
		made_chunk_id(i, id);
		int rc = catalog_chunk_find(catalog, 0, id, &c, NULL);
		if (rc != (known ? 0 : ERR_NOT_FOUND))
			fail_msg("chunk %u: %s", i, error_code_name(rc));
		if (known)
			assert_int_equal(c.plain, 2000 + i);
	}
}

size_t made_count(struct repo *repo, const char *prefix)
{
	struct id_list list = {0};
	assert_int_equal(repo_list_ids(repo->store, prefix, NULL, &list, NULL), 0);
	size_t count = list.count;
	id_list_release(&list);
	return count;
}

/* at == SIZE_MAX: in the middle. */
static void flip(struct repo *repo, const char *name, size_t at)
{
	struct buf object = {0};
	assert_int_equal(store_get_all(repo->store, NULL, name, 1 << 26, &object, NULL), 0);
	at = at == SIZE_MAX ? object.len / 2 : at;
	assert_true(at < object.len);
	object.data[at] ^= 4;
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
	assert_int_equal(store_put_mem(repo->store, NULL, name, object.data, object.len, NULL, NULL), 0);
	buf_release(&object);
}

void made_damage(struct repo *repo, const char *name)
{
	flip(repo, name, SIZE_MAX);
}

void made_damage_at(struct repo *repo, const char *name, size_t at)
{
	flip(repo, name, FORMAT_HEADER_LEN + at);
}
