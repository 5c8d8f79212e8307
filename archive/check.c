/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/snapset_internal.h"
#include "base/pool.h"

/* The snapshots, and who may have signed what. */
static int load(struct check *c, struct error *err)
{
	int status = repo_reload_slots(c->repo, err);
	/* What was listed when the repository was opened is old by now. */
	repo_listing_free(repo_take_listing(c->repo));
	if (status == 0)
		status = snapset_load(c->repo, NULL, NULL, &c->set, err);
	if (status == 0)
		status = snapset_signers(&c->signers, c->set->priv->marks, c->set->priv->mark_count, err);
	if (status == 0)
		status = check_list(c, err);
	return status;
}

static uint64_t bytes_to_read(const struct check *c)
{
	double bytes = 0;
	for (size_t i = 0; i < c->names.pack_count; i++)
		bytes += (double)c->names.packs[i].size;
	return (uint64_t)(bytes * (c->options->read_percent < 100 ? c->options->read_percent / 100 : 1));
}

/* In an order in which each step finds what it needs from those before it. */
static int run_steps(struct check *c, struct error *err)
{
	int status = load(c, err);
	if (status == 0)
		progress_total(c->options->progress, bytes_to_read(c), c->names.pack_count);
	if (status == 0)
		status = check_config(c);
	if (status == 0)
		status = check_slots(c);
	if (status == 0)
		status = check_marks(c, err);
	if (status == 0)
		status = check_snapshots(c, err);
	if (status == 0)
		status = check_summaries(c, err);
	if (status == 0)
		status = check_chain(c, err);
	if (status == 0)
		status = check_prunes(c);
	if (status == 0)
		status = check_sessions(c);
	if (status == 0)
		status = check_pack_tables(c);
	if (status == 0)
		status = check_index(c, err);
	if (status == 0)
		status = check_wraps(c);
	if (status == 0)
		status = check_trees(c);
	if (status == 0)
		status = check_pack_data(c);
	if (status == 0)
		status = check_pack_uses(c, err);
	return status;
}

static void release(struct check *c)
{
	check_kits_free(c);
	check_tocs_free(c);
	check_names_release(&c->names);
	id_list_release(&c->lost);
	id_list_release(&c->dead);
	free(c->seen.places);
	signers_release(&c->signers);
	snapset_unref(c->set);
	catalog_close(c->catalog);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->tell_lock);
	free(c);
}

static unsigned choose_threads(const struct repo *repo, unsigned asked)
{
	if (asked > 0)
		return asked;
	return repo->store->features & STORE_LOCAL || repo->store->parallel == 0 ? pool_cores() : repo->store->parallel;
}

int check_run(
	struct repo *repo, const struct check_options *options, struct check_result *ret_result, struct error *err)
{
	struct check *c = calloc(1, sizeof(*c));
	if (!c)
		return error_no_memory(err, "a check");
	c->repo = repo;
	c->options = options;
	c->signers.repo = repo;
	c->threads = choose_threads(repo, options->threads);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->tell_lock, NULL);
	int status = run_steps(c, err);
	if (atomic_load(&c->status) != 0) {
		status = atomic_load(&c->status);
		if (err)
			*err = c->failure;
	}
	if (status == 0)
		*ret_result = (struct check_result){
			.objects = atomic_load(&c->objects),
			.packs = c->names.pack_count,
			.snapshots = c->set->count,
			.nodes = atomic_load(&c->nodes),
			.chunks = atomic_load(&c->chunks),
			.bytes_read = atomic_load(&c->bytes_read),
			.errors = atomic_load(&c->errors),
			.warnings = atomic_load(&c->warnings),
		};
	release(c);
	return status;
}
