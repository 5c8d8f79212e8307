/* SPDX-License-Identifier: MIT */
#include "tree_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

const uint8_t model_id_key[32] = "the node id key of these tests ",
	      model_cut_key[32] = "the node cut key of these tests";

struct tree_keys model_keys(uint32_t target)
{
	return (struct tree_keys){
		.hash = HASH_BLAKE2B_256, .node_id_key = model_id_key, .node_cut_key = model_cut_key, .target = target};
}

/* ---- numbers ---- */

uint64_t draw_u64(struct draw *d)
{
	uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t draw_below(struct draw *d, uint64_t n)
{
	return draw_u64(d) % n;
}

void draw_bytes(struct draw *d, void *dst, size_t len)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)draw_u64(d);
}

/* ---- nodes in memory ---- */

static uint32_t *memory_slot(struct node_memory *m, const struct id *id)
{
	size_t at;
	memcpy(&at, id->b, sizeof(at));
	for (at &= m->slot_count - 1; m->slots[at]; at = (at + 1) & (m->slot_count - 1))
		if (id_equal(&m->list[m->slots[at] - 1].id, id))
			break;
	return &m->slots[at];
}

static void memory_grow(struct node_memory *m)
{
	if (m->count < m->cap)
		return;
	m->cap = m->cap ? m->cap * 2 : 64;
	m->list = realloc(m->list, m->cap * sizeof(*m->list));
	assert_non_null(m->list);
	free(m->slots);
	m->slot_count = m->cap * 4;
	m->slots = calloc(m->slot_count, sizeof(*m->slots));
	assert_non_null(m->slots);
	for (size_t i = 0; i < m->count; i++)
		*memory_slot(m, &m->list[i].id) = (uint32_t)i + 1;
}

static int memory_store(struct node_sink *sink, const struct id *id, const void *plain, size_t len,
	struct chunk_ref *ret_ref, struct error *err)
{
	struct node_memory *m = (struct node_memory *)((char *)sink - offsetof(struct node_memory, sink));
	(void)err;
	memory_grow(m);
	uint32_t *slot = memory_slot(m, id);
	if (!*slot) {
		struct stored *s = &m->list[m->count];
		s->id = *id;
		s->len = len;
		s->plain = malloc(len);
		assert_non_null(s->plain);
		memcpy(s->plain, plain, len);
		*slot = (uint32_t)++m->count;
	}
	*ret_ref = (struct chunk_ref){.id = *id};
	ret_ref->chain[0] = (struct locator){.pack = {{7}}, .offset = *slot, .stored = 100, .plain = (uint32_t)len};
	return 0;
}

static int memory_get(
	struct node_source *source, const struct chunk_ref *ref, const struct node **ret_node, struct error *err)
{
	struct node_memory *m = (struct node_memory *)source;
	struct node *node;
	m->gets++;
	if (m->fail_after > 0 && --m->fail_after == 0)
		return error_set(err, ERR_UNAVAILABLE, "the test says so");
	uint32_t *slot = m->slot_count ? memory_slot(m, &ref->id) : NULL;
	if (!slot || !*slot)
		return error_set(err, ERR_NOT_FOUND, "no such node");
	int status = node_decode(m->list[*slot - 1].plain, m->list[*slot - 1].len, &node, err);
	if (status == 0) {
		m->pinned++;
		*ret_node = node;
	}
	return status;
}

static void memory_put(struct node_source *source, const struct node *node)
{
	((struct node_memory *)source)->pinned--;
	node_free((struct node *)node);
}

static void memory_prefetch(struct node_source *source, const struct chunk_ref *refs, size_t count)
{
	struct node_memory *m = (struct node_memory *)source;
	for (size_t i = 0; i < count; i++)
		assert_true(*memory_slot(m, &refs[i].id) != 0);
	m->prefetched += (unsigned)count;
}

void node_memory_init(struct node_memory *m)
{
	*m = (struct node_memory){.source = {.get = memory_get, .put = memory_put, .prefetch = memory_prefetch},
		.sink = {.store = memory_store}};
}

void node_memory_release(struct node_memory *m)
{
	assert_int_equal(m->pinned, 0);
	for (size_t i = 0; i < m->count; i++)
		free(m->list[i].plain);
	free(m->list);
	free(m->slots);
}

/* ---- entries ---- */

int key_order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static void draw_refs(struct entry *e, struct draw *d, uint32_t count)
{
	struct chunk_ref *refs = calloc(count + 1, sizeof(*refs));
	assert_non_null(refs);
	for (uint32_t i = 0; i < count; i++) {
		/* Few enough ids that entries share them; the locators follow from the id. */
		struct draw of = {draw_below(d, 4) ? draw_u64(d) : draw_below(d, 50)};
		draw_bytes(&of, &refs[i].id, sizeof(refs[i].id));
		refs[i].depth = (uint8_t)draw_below(&of, CHUNK_DEPTH_MAX + 1);
		for (unsigned k = 0; k <= refs[i].depth; k++)
			refs[i].chain[k] = (struct locator){.pack = {{(uint8_t)draw_below(&of, 5)}},
				.offset = draw_below(&of, 1 << 25),
				.stored = (uint32_t)draw_below(&of, CHUNK_STORED_MAX),
				.plain = (uint32_t)draw_below(&of, CHUNK_PLAIN_MAX)};
	}
	e->refs = refs;
	e->ref_count = count;
}

static void draw_body(struct entry *e, struct draw *d)
{
	static const uint32_t lengths[] = {1, 1, 1, 2, 3, 9, 40};
	uint32_t count = lengths[draw_below(d, 7)];
	struct extent *list = calloc(count, sizeof(*list));
	assert_non_null(list);
	for (uint32_t i = 0; i < count; i++) {
		list[i].length = 1 + draw_below(d, 1 << 20);
		list[i].ref = draw_below(d, 5) ? (uint32_t)draw_below(d, e->ref_count) : (uint32_t)EXTENT_HOLE;
		list[i].offset = list[i].ref != EXTENT_HOLE && draw_below(d, 2) ? (uint32_t)draw_below(d, 1 << 20) : 0;
		e->size += list[i].length;
	}
	e->extents = list;
	e->extent_count = count;
}

static void draw_kind(struct entry *e, struct draw *d)
{
	static const uint32_t kinds[] = {
		S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
	static const uint32_t bits[] = {0644, 0755, 0600, 04755, 07777, 0};
	e->mode = kinds[draw_below(d, 10)] | bits[draw_below(d, 6)];
	draw_refs(e, d, 1 + (uint32_t)draw_below(d, 4));
	if (S_ISREG(e->mode) && draw_below(d, 5))
		draw_body(e, d);
	if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) {
		e->rdev_major = (uint32_t)draw_u64(d);
		e->rdev_minor = (uint32_t)draw_below(d, 300);
	}
	if (S_ISLNK(e->mode)) {
		e->target_len = e->size = 1 + draw_below(d, 60);
		uint8_t *target = malloc(e->target_len);
		assert_non_null(target);
		draw_bytes(d, target, e->target_len);
		for (size_t i = 0; i < e->target_len; i++)
			target[i] |= 1;
		e->target = target;
	}
}

static void draw_xattrs(struct entry *e, struct draw *d)
{
	struct buf b = {0};
	uint8_t value[100];
	draw_bytes(d, value, sizeof(value));
	xattr_put(&b, "security.capability", value, draw_below(d, 100));
	if (draw_below(d, 2))
		xattr_put(&b, "user.color", "", 0);
	e->xattrs = b.data;
	e->xattrs_len = b.len;
}

struct entry *model_entry_new(struct draw *d, const uint8_t *key, size_t key_len)
{
	static const char *const names[] = {"root", "postgres", "", "users", "a"};
	struct entry e = {.key_len = key_len, .xattr_ref = EXTENT_HOLE, .nlink = 1};
	uint8_t *own = malloc(key_len + 1);
	assert_non_null(own);
	memcpy(own, key, key_len);
	e.key = own;
	draw_kind(&e, d);
	e.uid = (uint32_t)draw_below(d, 3);
	e.gid = draw_below(d, 9) ? 0 : (uint32_t)draw_u64(d);
	e.user = names[draw_below(d, 3)];
	e.group = names[draw_below(d, 5)];
	e.mtime.sec = (int64_t)draw_below(d, UINT64_C(1) << 33) - (INT64_C(1) << 32);
	e.mtime.nsec = (uint32_t)draw_below(d, 1000000000);
	e.ctime = e.mtime;
	if (draw_below(d, 2))
		e.ctime.sec = (int64_t)draw_u64(d);
	e.inode = draw_below(d, 2) ? draw_u64(d) : draw_below(d, 100000);
	e.disk_bytes = S_ISREG(e.mode) && draw_below(d, 2) ? (e.size + 4095) / 4096 * 4096 : draw_below(d, 5) * 512;
	if (draw_below(d, 10) == 0) {
		e.nlink = (uint32_t)draw_below(d, 5);
		e.link_group = draw_u64(d);
	}
	if (draw_below(d, 2)) {
		e.flags = ENTRY_HAS_CONTENT_HASH;
		draw_bytes(d, &e.content, sizeof(e.content));
	}
	e.flags |= draw_below(d, 30) ? 0 : ENTRY_CHANGED_WHILE_READ;
	if (draw_below(d, 20) == 0)
		draw_xattrs(&e, d);
	return model_entry_copy(&e);
}

static void *copy_of(const void *data, size_t len)
{
	void *p = len ? malloc(len) : NULL;
	if (len) {
		assert_non_null(p);
		memcpy(p, data, len);
	}
	return p;
}

/* Copies shallowly when new, so that model_entry_new() can hand its parts over. */
struct entry *model_entry_copy(const struct entry *e)
{
	struct entry *own = malloc(sizeof(*own));
	assert_non_null(own);
	*own = *e;
	return own;
}

static struct entry *deep_copy(const struct entry *e)
{
	struct entry *own = model_entry_copy(e);
	own->key = copy_of(e->key, e->key_len);
	own->target = copy_of(e->target, e->target_len);
	own->xattrs = copy_of(e->xattrs, e->xattrs_len);
	own->extents = copy_of(e->extents, e->extent_count * sizeof(*e->extents));
	own->refs = copy_of(e->refs, e->ref_count * sizeof(*e->refs));
	return own;
}

void model_entry_free(struct entry *e)
{
	if (!e)
		return;
	free((void *)e->key);
	free((void *)e->target);
	free((void *)e->xattrs);
	free((void *)e->extents);
	free((void *)e->refs);
	free(e);
}

static bool same_ref(const struct entry *a, uint32_t x, const struct entry *b, uint32_t y)
{
	if (x == EXTENT_HOLE || y == EXTENT_HOLE)
		return x == y;
	const struct chunk_ref *r = &a->refs[x], *s = &b->refs[y];
	if (!id_equal(&r->id, &s->id) || r->depth != s->depth)
		return false;
	for (unsigned i = 0; i <= r->depth; i++)
		if (!id_equal(&r->chain[i].pack, &s->chain[i].pack) || r->chain[i].offset != s->chain[i].offset ||
			r->chain[i].stored != s->chain[i].stored || r->chain[i].plain != s->chain[i].plain)
			return false;
	return true;
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_lists(const struct entry *a, const struct entry *b)
{
	if (a->extent_count != b->extent_count || a->piece_count != b->piece_count)
		return false;
	for (uint32_t i = 0; i < a->extent_count; i++)
		if (a->extents[i].length != b->extents[i].length || a->extents[i].offset != b->extents[i].offset ||
			!same_ref(a, a->extents[i].ref, b, b->extents[i].ref))
			return false;
	for (uint32_t i = 0; i < a->piece_count; i++)
		if (a->pieces[i].length != b->pieces[i].length || !same_ref(a, a->pieces[i].ref, b, b->pieces[i].ref))
			return false;
	return true;
}

bool entry_same(const struct entry *a, const struct entry *b)
{
	return same_bytes(a->key, a->key_len, b->key, b->key_len) && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid && strcmp(a->user, b->user) == 0 && strcmp(a->group, b->group) == 0 &&
	       a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec && a->ctime.sec == b->ctime.sec &&
	       a->ctime.nsec == b->ctime.nsec && a->inode == b->inode && a->size == b->size &&
	       a->disk_bytes == b->disk_bytes && a->link_group == b->link_group && a->nlink == b->nlink &&
	       a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor && a->flags == b->flags &&
	       id_equal(&a->content, &b->content) && same_bytes(a->target, a->target_len, b->target, b->target_len) &&
	       same_bytes(a->xattrs, a->xattrs_len, b->xattrs, b->xattrs_len) &&
	       same_ref(a, a->xattr_ref, b, b->xattr_ref) && same_lists(a, b);
}

void assert_entry_same(const struct entry *a, const struct entry *b)
{
	assert_non_null(a);
	assert_non_null(b);
	assert_true(entry_same(a, b));
}

/* ---- the model ---- */

void model_put(struct model *m, struct entry *e)
{
	if (m->count == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->list = realloc(m->list, m->cap * sizeof(*m->list));
		assert_non_null(m->list);
	}
	m->list[m->count++] = e;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	return key_order(x->key, x->key_len, y->key, y->key_len);
}

void model_sort(struct model *m)
{
	size_t kept = 0;
	if (m->count == 0)
		return;
	qsort(m->list, m->count, sizeof(struct entry *), by_key);
	for (size_t i = 0; i < m->count; i++) {
		if (kept > 0 && by_key(&m->list[kept - 1], &m->list[i]) == 0)
			model_entry_free(m->list[i]);
		else
			m->list[kept++] = m->list[i];
	}
	m->count = kept;
}

/* Few directories, some deep, names that share beginnings, some of the longest. */
static void put_random(struct model *m, struct draw *d)
{
	char path[2048];
	size_t len = 0;
	uint64_t depth = draw_below(d, 4);
	for (uint64_t i = 0; i < depth; i++)
		len += (size_t)snprintf(path + len, sizeof(path) - len, "dir%d/", (int)draw_below(d, 4));
	uint64_t shape = draw_below(d, 50);
	if (shape == 0) {
		memset(path + len, 'x', 248);
		len += 248;
	}
	len += (size_t)snprintf(path + len, sizeof(path) - len, shape % 2 ? "file-%06d.txt" : "\xff\x01%x",
		(int)draw_below(d, 1000000));
	struct buf key = {0};
	assert_true(entry_key_from_path(&key, path, len));
	model_put(m, model_entry_new(d, key.data, key.len));
	buf_release(&key);
}

void model_draw(struct model *m, struct draw *d, size_t count)
{
	*m = (struct model){0};
	for (size_t i = 0; i < count; i++)
		put_random(m, d);
	model_sort(m);
}

void model_copy(struct model *dst, const struct model *src)
{
	*dst = (struct model){0};
	for (size_t i = 0; i < src->count; i++)
		model_put(dst, deep_copy(src->list[i]));
}

static void drop_at(struct model *m, size_t at)
{
	model_entry_free(m->list[at]);
	memmove(&m->list[at], &m->list[at + 1], (m->count - at - 1) * sizeof(struct entry *));
	m->count--;
}

void model_mutate(struct model *m, struct draw *d, size_t count)
{
	for (size_t done = 0; done < count; done++) {
		uint64_t what = draw_below(d, 4);
		size_t at = m->count ? draw_below(d, m->count) : 0;
		if (m->count == 0 || what == 0) {
			put_random(m, d);
			model_sort(m);
		} else if (what == 1) {
			struct entry *e = model_entry_new(d, m->list[at]->key, m->list[at]->key_len);
			model_entry_free(m->list[at]);
			m->list[at] = e;
		} else if (what == 2) {
			drop_at(m, at);
		} else {
			for (uint64_t run = draw_below(d, 30); run > 0 && at < m->count; run--)
				drop_at(m, at);
		}
	}
}

void model_release(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		model_entry_free(m->list[i]);
	free(m->list);
	*m = (struct model){0};
}

size_t model_rank(const struct model *m, const uint8_t *key, size_t key_len)
{
	size_t i = 0;
	while (i < m->count && key_order(m->list[i]->key, m->list[i]->key_len, key, key_len) < 0)
		i++;
	return i;
}

struct tree_root model_build(const struct model *m, const struct tree_keys *keys, struct node_memory *nodes)
{
	struct tree_builder *b;
	struct tree_root root;
	struct error err = ERROR_INIT;
	assert_int_equal(tree_builder_new(keys, &nodes->sink, &b, &err), 0);
	for (size_t i = 0; i < m->count; i++)
		if (tree_builder_add(b, m->list[i], &err) != 0)
			fail_msg("%s", error_text(&err));
	assert_int_equal(tree_builder_finish(b, &root, &err), 0);
	tree_builder_free(b);
	return root;
}
