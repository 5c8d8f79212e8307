/* SPDX-License-Identifier: MIT */
#include "fs/spoolhost.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

static const int64_t close_wait = 20 * CLOCK_SECOND, show_wait = 5 * CLOCK_SECOND;

struct spoolhost {
	struct serve *serve;
	struct refresh *refresh;
	pthread_mutex_t lock;   /* held while a note is queued: that takes no time */
	struct invalidate *inv; /* under the lock */
};

/* As spool.h and the configuration have it where nothing is said. */
static struct spool_rule default_rule(void *arg, const char *dataset)
{
	(void)arg, (void)dataset;
	return (struct spool_rule){.policy = SPOOL_IDLE,
		.durability = SPOOL_LOCAL,
		.idle_ns = 10 * CLOCK_SECOND,
		.idle_max_ns = 600 * CLOCK_SECOND,
		.compression = 3};
}

/* This mount first, without the way around its socket, which it may not have. */
static void on_made(void *arg, const struct snapshot *snapshot)
{
	struct spoolhost *host = arg;
	struct serve *serve = host->serve;

	refresh_ask(host->refresh, show_wait);
	announce_snapshot(serve->repo->config.repository, &snapshot->id, 0, serve->options->log);
}

static bool on_moving(void *arg, const char *dataset)
{
	struct spoolhost *host = arg;
	return namespace_spool_moving(host->serve->ns, dataset);
}

static void on_stayed(void *arg, const char *dataset)
{
	struct spoolhost *host = arg;
	namespace_spool_moved(host->serve->ns, dataset, false);
}

static void on_moved(void *arg, const char *dataset)
{
	struct spoolhost *host = arg;
	struct nodeid folder = {.kind = NODEID_SPOOL};

	namespace_spool_moved(host->serve->ns, dataset, true);
	pthread_mutex_lock(&host->lock);
	if (host->inv != NULL)
		invalidate_name(host->inv, &folder, dataset);
	pthread_mutex_unlock(&host->lock);
}

static int open_spool(struct spoolhost *host, struct error *err)
{
	struct serve *serve = host->serve;
	const struct mount_options *o = serve->options;
	struct spool_options options = {.repo = serve->repo,
		.dir = o->spool_dir,
		.catalog_dir = o->catalog_dir,
		.view = serve->view,
		.rule = o->rule != NULL ? o->rule : default_rule,
		.rule_arg = o->rule_arg,
		.made = on_made,
		.made_arg = host,
		.moving = on_moving,
		.stayed = on_stayed,
		.moved = on_moved,
		.moved_arg = host,
		.log = o->log};
	struct spool *spool = NULL;
	const struct epoch *epoch = namespace_epoch(serve->ns);
	int rc = spool_open(&options, epoch, &spool, err);

	epoch_unref(epoch);
	if (rc == 0) {
		serve->spool = spool;
		namespace_set_spool(serve->ns, spool);
		refresh_set_spool(host->refresh, spool);
	}
	return rc;
}

int spoolhost_open(struct serve *serve, struct refresh *refresh, struct spoolhost **ret_host, struct error *err)
{
	struct error why = ERROR_INIT;
	struct spoolhost *host = NULL;
	if (serve->options->no_spool)
		return 0;
	host = calloc(1, sizeof(*host));
	if (host == NULL)
		return error_no_memory(err, "the spool");
	*host = (struct spoolhost){.serve = serve, .refresh = refresh};
	pthread_mutex_init(&host->lock, NULL);
	if (open_spool(host, &why) < 0)
		log_warn(serve->options->log, "this mount shows no spool/, nothing can be written into it: %s",
			error_text(&why));
	*ret_host = host;
	return 0;
}

void spoolhost_set_invalidate(struct spoolhost *host, struct invalidate *inv)
{
	if (host == NULL)
		return;
	pthread_mutex_lock(&host->lock);
	host->inv = inv;
	pthread_mutex_unlock(&host->lock);
}

void spoolhost_close(struct spoolhost *host)
{
	if (host == NULL)
		return;
	refresh_set_spool(host->refresh, NULL);
	if (host->serve->spool != NULL)
		spool_close(host->serve->spool, close_wait);
	host->serve->spool = NULL;
	pthread_mutex_destroy(&host->lock);
	free(host);
}
