/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/feed_impl.h"
#include "base/fileio.h"

enum { PARENT_CACHE = 24 << 20, TRIES = 3, FULL_BYTES = 16 << 20 };

/* Every item may keep its folder open. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The newest snapshot of the dataset, of this host where there is one: what "unchanged" is measured against. */
static const struct snapshot *choose_parent(const struct snapset *set, const char *dataset, const char *host)
{
	size_t first, count;
	const struct snapshot *best = NULL;

	if (!snapset_dataset(set, dataset, &first, &count))
		return NULL;
	for (size_t i = first + count; i-- > first;) {
		const struct snapshot *s = set->list[i];
		if (s->state == SNAPSHOT_DAMAGED) /* what it names may be gone: it is not to be named again unread */
			continue;
		if (best == NULL)
			best = s;
		if (host != NULL && strcmp(s->host, host) == 0)
			return s;
	}
	return best;
}

static uint64_t highest_link(const struct snapset *set, const char *dataset)
{
	size_t first, count;
	uint64_t max = 0;

	if (snapset_dataset(set, dataset, &first, &count))
		for (size_t i = first; i < first + count; i++)
			max = max_u64(max, set->list[i]->link_max);
	return max;
}

static int open_parts(struct backup *b, const struct snapset *set, struct error *err)
{
	const struct backup_options *o = b->options;
	const struct repo_config *c = &b->repo->config;
	struct reader_options reading = {.cache_bytes = PARENT_CACHE, .threads = 1};
	struct chunker_params params = {.min = c->chunk_min, .avg = c->chunk_avg, .max = c->chunk_max};
	char *host = host_name();
	int r = 0;

	b->parent = b->feed != NULL ? b->feed->options->base : choose_parent(set, o->dataset, host);
	b->link_max = highest_link(set, o->dataset);
	free(host);
	b->owners = owners_new();
	if (b->owners == NULL)
		return error_no_memory(err, "owners");
	r = exclude_new(o->excludes, o->exclude_count, &b->exclude, err);
	if (b->feed != NULL)
		b->reader = b->feed->options->reader;
	else if (r == 0 && b->parent != NULL)
		r = reader_open(b->repo, &reading, &b->reader, err);
	if (r == 0 && b->reader != NULL && b->parent != NULL && b->parent->root_sealed.len > 0)
		reader_seed_root(b->reader, &b->parent->root, b->parent->root_sealed.data, b->parent->root_sealed.len,
			b->parent->root_key);
	if (r == 0)
		r = chunker_new(b->repo->sec->gear_key, &params, &b->chunker, err);
	if (r < 0 || o->dry_run)
		return r;
	struct writer_options writing = {.compression = o->compression, .threads = o->threads};
	r = writer_open(b->session, &writing, &b->writer, err);
	if (r == 0) {
		b->keys = (struct tree_keys){.hash = c->hash,
			.node_id_key = b->repo->sec->node_id_key,
			.node_cut_key = b->repo->sec->node_cut_key};
		r = tree_builder_new(&b->keys, writer_node_sink(b->writer), &b->builder, err);
	}
	return r;
}

static void close_parts(struct backup *b)
{
	if (b->bundle_buffer != NULL)
		writer_buffer_drop(b->writer, b->bundle_buffer);
	writer_free(b->writer); /* first: its workers call back into the queue */
	queue_release(b);
	free(b->bundle); /* behind the items that lie in it */
	b->bundle = NULL;
	tree_builder_free(b->builder);
	chunker_free(b->chunker);
	if (b->feed == NULL)
		reader_close(b->reader);
	exclude_free(b->exclude);
	owners_free(b->owners);
	buf_release(&b->top_xattrs);
	for (unsigned i = 0; i < b->check_count; i++) {
		free(b->checks[i].path);
		free(b->checks[i].kind);
		free(b->checks[i].reason);
	}
	free(b->checks);
	for (unsigned i = 0; i < b->note_count; i++)
		free(b->notes[i]);
	free(b->notes);
}

/* Walker and readers beside this thread, which builds; all have ended on return. */
static int run_pipeline(struct backup *b, struct error *err)
{
	pthread_t walker, readers[BACKUP_READERS_MAX];
	unsigned cores = pool_cores(), count = cores < 2 ? 2 : cores > BACKUP_READERS_MAX ? BACKUP_READERS_MAX : cores;
	unsigned started = 0;
	int r = 0;

	if (pthread_create(&walker, NULL, b->feed != NULL ? feed_main : walk_main, b) != 0)
		return error_set(err, ERR_NO_MEMORY, "cannot start a thread");
	while (b->writer != NULL && started < count && pthread_create(&readers[started], NULL, read_main, b) == 0)
		started++;
	if (b->writer != NULL && started == 0)
		r = error_set(err, ERR_NO_MEMORY, "cannot start a thread");
	if (r == 0)
		r = build_run(b, err);
	if (r < 0)
		backup_fail(b, r, err);
	pthread_join(walker, NULL);
	for (unsigned i = 0; i < started; i++)
		pthread_join(readers[i], NULL);
	if (b->status < 0 && err != NULL)
		*err = b->failure;
	return b->status; /* the first failure, of whichever thread */
}

/* A command that fails leaves what came, marked. */
static void judge_command(struct backup *b, int status)
{
	const char *name = b->options->command[0];

	b->result->command_status = status;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	b->bad = true;
	if (WIFEXITED(status))
		backup_note(b, "the command '%s' ended with exit status %d", name, WEXITSTATUS(status));
	else
		backup_note(b, "the command '%s' was ended by signal %d", name, WTERMSIG(status));
}

/* The room in the repository's folder; false: it is in none of this host's. */
static bool repository_room(const struct backup *b, uint64_t *ret)
{
	const char *local = b->repo->store->local_path;
	struct statvfs fs;

	if (local == NULL || statvfs(local, &fs) != 0 ||
		__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, ret))
		return false;
	return true;
}

/* At most so much is still to be stored of what was found; compression may make it less. */
static uint64_t left_to_store(struct backup *b)
{
	struct writer_stats stats = {0};
	uint64_t found = atomic_load(&b->found);

	if (b->writer != NULL)
		writer_get_stats(b->writer, &stats);
	return found > stats.known_bytes + stats.stored_bytes ? found - stats.known_bytes - stats.stored_bytes : 0;
}

/* Says of a repository without room what that means, in place of the write that happened to fail. */
static void tell_full(struct backup *b, uint64_t left, struct error *err)
{
	char have[PROGRESS_TEXT_MAX], want[PROGRESS_TEXT_MAX], missing[PROGRESS_TEXT_MAX],
		room[3 * PROGRESS_TEXT_MAX + 128] = "";
	const char *advice = "make room there, or give it a larger disk, and run the backup again: what is stored "
			     "already is not stored twice";
	uint64_t free_bytes = 0;

	if (repository_room(b, &free_bytes) && left > free_bytes) {
		progress_human_bytes(free_bytes, have);
		progress_human_bytes(left, want);
		progress_human_bytes(left - free_bytes, missing);
		snprintf(room, sizeof(room),
			": it has room for %s, up to %s of what was found so far are still to be "
			"stored, %s are missing",
			have, want, missing);
	}
	error_clear(err);
	error_set(err, ERR_NO_SPACE, "no space left in the repository '%s'%s; no snapshot was made; %s",
		b->repo->store->local_path, room, advice);
}

/* From the first entry to the signed statement, all but its commit. */
static int run_once(struct backup *b, const struct snapset *set, struct snapshot **ret_snapshot, struct error *err)
{
	struct backup_options own = *b->options;
	struct command *command = NULL;
	uint64_t room = 0;
	int r = queue_init(b, err);

	b->started = clock_now();
	if (r == 0 && own.command != NULL && !own.dry_run) {
		r = command_start(own.command, &command, &own.stdin_fd, err);
		b->options = &own;
	}
	if (r == 0)
		r = open_parts(b, set, err);
	if (r == 0)
		r = run_pipeline(b, err);
	if (command != NULL)
		judge_command(b, command_end(command, r < 0));
	judge_dumps_end(b, r == 0);
	if (r == 0 && b->writer != NULL)
		r = make_snapshot(b, ret_snapshot, err);
	/* While the packs that are being written still take what there is; it may be another disk that is full. */
	bool full = r == ERR_NO_SPACE && err != NULL && repository_room(b, &room) && room < FULL_BYTES;
	uint64_t left = full ? left_to_store(b) : 0;
	if (r < 0 && r != ERR_VOID && b->writer != NULL)
		writer_salvage(b->writer);
	close_parts(b);
	if (full)
		tell_full(b, left, err);
	return r;
}

static int dry_run(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *result, struct error *err)
{
	struct backup b = {.repo = repo, .catalog = catalog, .options = options, .result = result};
	const struct snapset *set = NULL;
	int r = seen_load(options->seen, repo, catalog, NULL, &set, err);

	if (r == 0) {
		seen_tell(options->seen);
		r = run_once(&b, set, NULL, err);
	}
	snapset_unref(set);
	return r;
}

static int attempt(struct repo *repo, struct catalog *catalog, const struct backup_options *options, struct feed *feed,
	struct backup_result *result, struct error *err)
{
	struct backup b = {.repo = repo, .catalog = catalog, .options = options, .feed = feed, .result = result};
	struct snapshot *snapshot = NULL;
	int r = session_begin(repo, catalog, options->dataset, &b.session, err);

	if (r < 0)
		return r;
	seen_look(options->seen, b.session->set);
	seen_tell(options->seen);
	r = run_once(&b, b.session->set, &snapshot, err);
	if (r == 0 && snapshot != NULL)
		r = session_commit(b.session, snapshot, err);
	else if (r != ERR_VOID)
		session_abandon(b.session, NULL);
	session_free(b.session);
	if (r < 0) {
		snapshot_free(snapshot);
		return r;
	}
	seen_note(options->seen, snapshot);
	result->snapshot = snapshot;
	return 0;
}

/* After the commit, for those who read later. Whatever goes wrong here the next backup does again. */
static void tidy(struct repo *repo, struct catalog *catalog)
{
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;
	int r = segment_merge(repo, catalog, &err);

	if (r == 0)
		r = snapset_load(repo, catalog, NULL, &set, &err);
	if (r == 0)
		r = snapset_summarise(repo, set, &err);
	snapset_unref(set);
	if (r < 0)
		log_warn(repo->log, "the snapshot is stored; tidying the index did not work: %s", error_text(&err));
}

int backup_tries(struct repo *repo, struct catalog *catalog, const struct backup_options *options, struct feed *feed,
	struct backup_result *ret_result, struct error *err)
{
	int r = snapshot_dataset_ok(options->dataset, err);

	raise_file_limit();
	for (int i = 0; r == 0 && i < TRIES; i++) {
		struct backup_result result = {0};
		r = options->dry_run ? dry_run(repo, catalog, options, &result, err)
				     : attempt(repo, catalog, options, feed, &result, err);
		if (r == 0) {
			*ret_result = result;
			break;
		}
		if (r != ERR_VOID || options->stdin_name != NULL)
			return r;
		if (i + 1 < TRIES) {
			log_notice(repo->log, "the session was ended by a prune; beginning again");
			if (err != NULL)
				error_clear(err);
			r = 0;
		}
	}
	if (r == 0 && ret_result->snapshot != NULL)
		tidy(repo, catalog);
	return r;
}

int backup_run(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *ret_result, struct error *err)
{
	return backup_tries(repo, catalog, options, NULL, ret_result, err);
}
