/* SPDX-License-Identifier: MIT */

/*
 * How fast trees are built, decoded and searched on this host, on one core, in
 * memory (CPU time): entries as a file server has them (some directories, small files that
 * share chunks). bench_tree [ENTRIES]; 1,000,000 where not told otherwise.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/tree.h"

enum { DIR_FILES = 40, CHUNK_FILES = 60, LOOKUPS = 200000 };

struct bench {
	struct node_source source;
	struct node_sink sink;
	struct stored {
		struct node *node;
		uint8_t *plain;
		size_t len;
	} * list;
	size_t count, cap, bytes;
	bool decoded; /* get() answers with what was decoded before */
};

/* Of this process alone: what else the host does is not what is asked. */
static int64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "bench_tree: %s: %s\n", what, error_text(err));
	exit(1);
}

static int store(struct node_sink *sink, const struct id *id, const void *plain, size_t len, struct chunk_ref *ret_ref,
	struct error *err)
{
	struct bench *b = (struct bench *)((char *)sink - offsetof(struct bench, sink));
	if (b->count == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 1024;
		b->list = realloc(b->list, b->cap * sizeof(*b->list));
	}
	uint8_t *copy = malloc(len);
	if (!copy || !b->list)
		return error_no_memory(err, "a node");
	memcpy(copy, plain, len);
	b->list[b->count] = (struct stored){.plain = copy, .len = len};
	b->bytes += len;
	*ret_ref = (struct chunk_ref){.id = *id};
	ret_ref->chain[0] = (struct locator){.offset = b->count++, .stored = (uint32_t)len, .plain = (uint32_t)len};
	return 0;
}

static int get(struct node_source *source, const struct chunk_ref *ref, const struct node **ret_node, struct error *err)
{
	struct bench *b = (struct bench *)source;
	struct stored *s = &b->list[ref->chain[0].offset];
	int status = 0;
	if (!s->node)
		status = node_decode(s->plain, s->len, &s->node, err);
	if (status == 0)
		*ret_node = s->node;
	return status;
}

static void put(struct node_source *source, const struct node *node)
{
	(void)source;
	(void)node;
}

/* The path of file n; in the order of keys when n ascends. */
static size_t path_of(uint64_t n, char dst[200])
{
	uint64_t dir = n / DIR_FILES;
	return (size_t)snprintf(dst, 200,
		"srv/projects/group-%04" PRIu64 "/module-%02" PRIu64 "/source_file_%02" PRIu64 ".c", dir / 50, dir % 50,
		n % DIR_FILES);
}

static void entry_of(uint64_t n, struct entry *e, struct buf *key, struct chunk_ref *ref, struct extent *extent)
{
	char path[200];
	size_t len = path_of(n, path);
	buf_clear(key);
	entry_key_from_path(key, path, len);
	uint64_t chunk = n / CHUNK_FILES;
	for (size_t i = 0; i < 4; i++)
		memcpy(ref->id.b + i * 8, &(uint64_t){mix(chunk * 4 + i + 1)}, 8);
	ref->depth = 0;
	ref->chain[0] = (struct locator){
		.pack = {{(uint8_t)(chunk >> 5)}}, .offset = chunk % 32 << 20, .stored = 300000, .plain = 1 << 20};
	*extent = (struct extent){
		.length = 1000 + mix(n) % 20000, .ref = 0, .offset = (uint32_t)(n % CHUNK_FILES) * 17000};
	*e = (struct entry){.key = key->data,
		.key_len = key->len,
		.mode = S_IFREG | 0644,
		.uid = 1000,
		.gid = 1000,
		.user = "postgres",
		.group = "postgres",
		.mtime = {.sec = 1700000000 + (int64_t)(n / 7), .nsec = (uint32_t)(mix(n) % 1000000000)},
		.inode = 1000000 + n,
		.size = extent->length,
		.disk_bytes = (extent->length + 4095) / 4096 * 4096,
		.nlink = 1,
		.xattr_ref = EXTENT_HOLE,
		.flags = ENTRY_HAS_CONTENT_HASH,
		.extents = extent,
		.extent_count = 1,
		.refs = ref,
		.ref_count = 1};
	e->ctime = e->mtime;
	memcpy(e->content.b, ref->id.b, 32);
}

static double seconds_since(int64_t begin)
{
	return (double)(cpu_now() - begin) / 1e9;
}

static struct tree_root build(struct bench *b, uint64_t count)
{
	static const uint8_t id_key[32] = "id", cut_key[32] = "cut";
	const struct tree_keys keys = {.hash = HASH_BLAKE2B_256, .node_id_key = id_key, .node_cut_key = cut_key};
	struct tree_builder *builder;
	struct tree_root root;
	struct error err = ERROR_INIT;
	struct buf key = {0};
	struct chunk_ref ref = {0};
	struct extent extent;
	struct entry e;
	int64_t begin = cpu_now();
	for (uint64_t n = 0; n < count; n++)
		entry_of(n, &e, &key, &ref, &extent);
	double making = seconds_since(begin);
	begin = cpu_now();
	if (tree_builder_new(&keys, &b->sink, &builder, &err) != 0)
		die("building", &err);
	for (uint64_t n = 0; n < count; n++) {
		entry_of(n, &e, &key, &ref, &extent);
		if (tree_builder_add(builder, &e, &err) != 0)
			die("building", &err);
	}
	if (tree_builder_finish(builder, &root, &err) != 0)
		die("building", &err);
	double t = seconds_since(begin) - making;
	printf("encode: %.0f ns an entry (%zu nodes, %.1f bytes an entry, root at level %u)\n", t * 1e9 / (double)count,
		b->count, (double)b->bytes / (double)count, root.level);
	tree_builder_free(builder);
	buf_release(&key);
	return root;
}

static void decode(struct bench *b)
{
	struct error err = ERROR_INIT;
	uint64_t entries = 0, memory = 0, leaves = 0;
	int64_t begin = cpu_now();
	for (size_t i = 0; i < b->count; i++) {
		struct node *node;
		if (node_decode(b->list[i].plain, b->list[i].len, &node, &err) != 0)
			die("decoding", &err);
		entries += node->level == 0 ? node->entries : 0;
		leaves += node->level == 0;
		memory += node->memory;
		node_free(node);
	}
	double t = seconds_since(begin);
	printf("decode: %.1f us a node of 1,000 entries (%.0f ns an entry, %.0f KiB a node in memory)\n",
		t * 1e9 / (double)entries, t * 1e9 / (double)entries, (double)memory / (double)b->count / 1024);
	(void)leaves;
}

static void walk(struct bench *b, const struct tree_root *root)
{
	struct tree_cursor *c;
	struct error err = ERROR_INIT;
	if (tree_cursor_new(&b->source, root, &c, &err) != 0)
		die("walking", &err);
	uint64_t n = 0, bytes = 0;
	/* The first time decodes, the second is the steps alone. */
	for (int turn = 0; turn < 2; turn++) {
		if (tree_cursor_seek_rank(c, 0, &err) != 0)
			die("walking", &err);
		int64_t begin = cpu_now();
		for (n = 0; tree_cursor_entry(c); n++) {
			bytes += tree_cursor_entry(c)->size;
			tree_cursor_next(c, NULL);
		}
		double t = seconds_since(begin);
		if (turn == 1)
			printf("next:   %.1f ns a step\n", t * 1e9 / (double)n);
	}
	if (n != root->entries || bytes != 2 * root->bytes)
		die("the walk saw other entries than were built", &err);
	tree_cursor_free(c);
}

static void find(struct bench *b, const struct tree_root *root)
{
	struct buf key = {0};
	struct error err = ERROR_INIT;
	const struct node *leaf;
	const struct entry *entry;
	uint64_t rank;
	char path[200];
	int64_t begin = cpu_now();
	for (uint64_t i = 0; i < LOOKUPS; i++) {
		uint64_t n = mix(i + 1) % root->entries;
		buf_clear(&key);
		entry_key_from_path(&key, path, path_of(n, path));
		if (tree_find(&b->source, root, key.data, key.len, &leaf, &entry, &rank, &err) != 0 || rank != n)
			die("finding", &err);
	}
	double t = seconds_since(begin);
	printf("find:   %.0f a second by key", LOOKUPS / t);
	begin = cpu_now();
	for (uint64_t i = 0; i < LOOKUPS; i++)
		if (tree_at(&b->source, root, mix(i + 1) % root->entries, &leaf, &entry, &err) != 0)
			die("finding", &err);
	printf(", %.0f by rank (nodes decoded before)\n", LOOKUPS / seconds_since(begin));
	buf_release(&key);
}

int main(int argc, char **argv)
{
	struct bench b = {.source = {.get = get, .put = put}, .sink = {.store = store}};
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	if (count == 0 || count > 20000000) {
		fprintf(stderr, "bench_tree: a number of entries up to 20,000,000 is wanted\n");
		return 1;
	}
	struct tree_root root = build(&b, count);
	decode(&b);
	walk(&b, &root);
	find(&b, &root);
	for (size_t i = 0; i < b.count; i++) {
		node_free(b.list[i].node);
		free(b.list[i].plain);
	}
	free(b.list);
	return 0;
}
