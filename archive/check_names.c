/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/id_list.h"

/* Room for one more of `size` bytes. False without memory. */
static bool grow(void *list, size_t count, size_t *cap, size_t size)
{
	void **p = list;
	if (count < *cap)
		return true;
	size_t more = *cap ? *cap * 2 : 64;
	void *bigger = reallocarray(*p, more, size);
	if (!bigger)
		return false;
	*p = bigger;
	*cap = more;
	return true;
}

static bool add_pack(struct check_names *n, const struct id *id, uint64_t size)
{
	if (!grow(&n->packs, n->pack_count, &n->pack_cap, sizeof(*n->packs)))
		return false;
	struct check_pack *p = &n->packs[n->pack_count++];
	p->id = *id;
	p->size = size;
	atomic_init(&p->bad, false);
	atomic_init(&p->indexed, false);
	atomic_init(&p->referenced, false);
	return true;
}

static bool is_number(const char *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	if (len == 0 || len > 18 || (p[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	*ret = v;
	return true;
}

/* "wraps/1/ab/<id>". */
static bool parse_wrap(const char *name, struct check_wrap *ret)
{
	char again[FORMAT_NAME_MAX];
	uint64_t generation;
	const char *p = name + strlen("wraps/"), *slash = strchr(p, '/'), *last = strrchr(name, '/');
	if (!slash || !is_number(p, (size_t)(slash - p), &generation) || generation > UINT32_MAX ||
		!id_parse(last + 1, &ret->id))
		return false;
	ret->generation = (uint32_t)generation;
	object_name(KIND_WRAP, ret->generation, &ret->id, again);
	return strcmp(name, again) == 0;
}

/* "prune/12.verdict". */
static bool parse_prune(const char *name, struct check_prune *ret)
{
	const char *p = name + strlen("prune/"), *dot = strchr(p, '.');
	if (!dot || !is_number(p, (size_t)(dot - p), &ret->n))
		return false;
	ret->verdict = strcmp(dot, ".verdict") == 0;
	return ret->verdict || strcmp(dot, ".condemned") == 0;
}

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* 1: taken; 0: no name of ours; negative: no memory. */
static int take_name(struct check_names *n, const char *name, uint64_t size)
{
	const struct {
		const char *prefix;
		struct id_list *list;
	} lists[] = {{"keys/", &n->slots}, {"index/", &n->index}, {"snapshots/", &n->snapshots},
		{"summaries/", &n->summaries}, {"marks/", &n->marks}, {"sessions/", &n->sessions}};
	struct id id;
	struct check_wrap wrap;
	struct check_prune prune;
	if (strcmp(name, "config") == 0) {
		n->config = true;
		return 1;
	}
	if (begins(name, "packs/"))
		return object_name_parse(name, "packs/", &id) ? (add_pack(n, &id, size) ? 1 : ERR_NO_MEMORY) : 0;
	if (begins(name, "wraps/")) {
		if (!parse_wrap(name, &wrap))
			return 0;
		if (!grow(&n->wraps, n->wrap_count, &n->wrap_cap, sizeof(wrap)))
			return ERR_NO_MEMORY;
		n->wraps[n->wrap_count++] = wrap;
		return 1;
	}
	if (begins(name, "prune/")) {
		if (!parse_prune(name, &prune))
			return 0;
		if (!grow(&n->prunes, n->prune_count, &n->prune_cap, sizeof(prune)))
			return ERR_NO_MEMORY;
		n->prunes[n->prune_count++] = prune;
		return 1;
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (begins(name, lists[i].prefix))
			return object_name_parse(name, lists[i].prefix, &id)
				       ? (id_list_add(lists[i].list, &id) ? 1 : ERR_NO_MEMORY)
				       : 0;
	return 0;
}

static int list_one(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct check *c = arg;
	int rc = take_name(&c->names, name, size);
	if (rc < 0)
		return error_no_memory(err, "the names of all objects");
	if (rc == 0)
		check_tell(c, CHECK_NOTE, name, "no object of a repository: nothing needs it; drfs leaves it alone");
	else
		atomic_fetch_add(&c->objects, 1);
	return check_stopped(c);
}

static int compare_packs(const void *a, const void *b)
{
	return id_compare(&((const struct check_pack *)a)->id, &((const struct check_pack *)b)->id);
}

static int compare_wraps(const void *a, const void *b)
{
	const struct check_wrap *x = a, *y = b;
	int order = id_compare(&x->id, &y->id);
	return order != 0 ? order : x->generation < y->generation ? -1 : x->generation > y->generation;
}

int check_list(struct check *c, struct error *err)
{
	struct check_names *n = &c->names;
	int status = store_list(c->repo->store, NULL, "", "", list_one, c, err);
	if (status != 0)
		return status;
	/* Names come in order, but a folder of two digits and an id sort alike only by luck of the format. */
	if (n->pack_count > 1)
		qsort(n->packs, n->pack_count, sizeof(*n->packs), compare_packs);
	if (n->wrap_count > 1)
		qsort(n->wraps, n->wrap_count, sizeof(*n->wraps), compare_wraps);
	id_list_sort(&n->slots);
	id_list_sort(&n->index);
	id_list_sort(&n->snapshots);
	id_list_sort(&n->summaries);
	id_list_sort(&n->marks);
	id_list_sort(&n->sessions);
	return 0;
}

void check_names_release(struct check_names *n)
{
	free(n->packs);
	free(n->wraps);
	free(n->prunes);
	id_list_release(&n->slots);
	id_list_release(&n->index);
	id_list_release(&n->snapshots);
	id_list_release(&n->summaries);
	id_list_release(&n->marks);
	id_list_release(&n->sessions);
}

struct check_pack *check_pack_find(const struct check *c, const struct id *id)
{
	size_t low = 0, high = c->names.pack_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = id_compare(&c->names.packs[mid].id, id);
		if (order == 0)
			return &c->names.packs[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void check_pack_lost(struct check *c, const struct id *pack, const char *by)
{
	char name[FORMAT_NAME_MAX];
	pthread_mutex_lock(&c->lock);
	bool told = id_list_has(&c->lost, pack);
	if (!told)
		told = !id_list_insert(&c->lost, pack);
	pthread_mutex_unlock(&c->lock);
	if (told)
		return;
	object_name(KIND_DATA_PACK, 0, pack, name);
	check_tell(c, CHECK_ERROR, name, "missing, and '%s' names it; bring it back from a copy of the repository", by);
}
