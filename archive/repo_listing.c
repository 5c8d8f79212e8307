/* SPDX-License-Identifier: MIT */
#include "archive/repo_listing.h"

#include <stdlib.h>

#include "archive/wave.h"

bool id_list_add(struct id_list *list, const struct id *id)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 32;
		struct id *ids = reallocarray(list->ids, cap, sizeof(*ids));
		if (!ids)
			return false;
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->count++] = *id;
	return true;
}

void id_list_release(struct id_list *list)
{
	free(list->ids);
	*list = (struct id_list){0};
}

static int id_compare_void(const void *a, const void *b)
{
	return id_compare(a, b);
}

bool id_list_has(const struct id_list *list, const struct id *id)
{
	return list->count > 0 && bsearch(id, list->ids, list->count, sizeof(*id), id_compare_void) != NULL;
}

struct list_job {
	struct store *store;
	struct log *log;
	const char *prefix;
	struct id_list list;
	int status;
	struct error err;
};

static int list_one(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct list_job *job = arg;
	struct id id;
	(void)size;
	if (!object_name_parse(name, job->prefix, &id)) {
		log_warn(job->log, "'%s' is no object of a repository and is left alone", name);
		return 0;
	}
	return id_list_add(&job->list, &id) ? 0 : error_no_memory(err, "a listing");
}

int repo_list_ids(struct store *store, const char *prefix, struct log *log, struct id_list *ret_list, struct error *err)
{
	struct list_job job = {.store = store, .log = log, .prefix = prefix};
	int rc = store_list(store, NULL, prefix, "", list_one, &job, err);
	if (rc != 0) {
		id_list_release(&job.list);
		return rc;
	}
	*ret_list = job.list;
	return 0;
}

static void list_work(void *arg, size_t index)
{
	struct list_job *job = (struct list_job *)arg + index;
	job->status = repo_list_ids(job->store, job->prefix, job->log, &job->list, &job->err);
}

int repo_listing_load(struct repo *repo, struct repo_listing **ret_listing, struct error *err)
{
	struct list_job jobs[] = {{.prefix = "snapshots/"}, {.prefix = "summaries/"}, {.prefix = "marks/"}};
	struct repo_listing *listing = calloc(1, sizeof(*listing));
	if (!listing)
		return error_no_memory(err, "a listing");
	for (size_t i = 0; i < 3; i++) {
		jobs[i].store = repo->store;
		jobs[i].log = repo->log;
	}
	wave_run(wave_threads(repo->store), 3, list_work, jobs);
	*listing = (struct repo_listing){jobs[0].list, jobs[1].list, jobs[2].list};
	for (size_t i = 0; i < 3; i++) {
		if (jobs[i].status != 0) {
			repo_listing_free(listing);
			return error_set(err, (enum error_code)jobs[i].status, "%s", error_text(&jobs[i].err));
		}
	}
	*ret_listing = listing;
	return 0;
}

void repo_listing_free(struct repo_listing *listing)
{
	if (!listing)
		return;
	id_list_release(&listing->snapshots);
	id_list_release(&listing->summaries);
	id_list_release(&listing->marks);
	free(listing);
}

struct repo_listing *repo_take_listing(struct repo *repo)
{
	/* A mount looks for snapshots while it commits one: each of the two may be the first to ask. */
	return __atomic_exchange_n(&repo->listing, NULL, __ATOMIC_ACQ_REL);
}
