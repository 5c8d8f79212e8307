/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "base/fileio.h"

enum { PARENT_CACHE = 24 << 20, TRIES = 3 };

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

	b->parent = choose_parent(set, o->dataset, host);
	b->link_max = highest_link(set, o->dataset);
	free(host);
	b->owners = owners_new();
	if (b->owners == NULL)
		return error_no_memory(err, "owners");
	r = exclude_new(o->excludes, o->exclude_count, &b->exclude, err);
	if (r == 0 && b->parent != NULL)
		r = reader_open(b->repo, &reading, &b->reader, err);
	if (r == 0)
		r = chunker_new(b->repo->sec->gear_key, &params, &b->chunker, err);
	if (r < 0 || o->dry_run)
		return r;
	struct writer_options writing = {.compression = o->compression, .threads = o->threads};
	r = writer_open(b->session, &writing, &b->writer, err);
	if (r == 0) {
		struct tree_keys keys = {.hash = c->hash,
			.node_id_key = b->repo->sec->node_id_key,
			.node_cut_key = b->repo->sec->node_cut_key};
		r = tree_builder_new(&keys, writer_node_sink(b->writer), &b->builder, err);
	}
	return r;
}

static void close_parts(struct backup *b)
{
	if (b->bundle_buffer != NULL)
		writer_buffer_drop(b->writer, b->bundle_buffer);
	writer_free(b->writer); /* first: its workers call back into the queue */
	free(b->bundle);
	b->bundle = NULL;
	queue_release(b);
	tree_builder_free(b->builder);
	chunker_free(b->chunker);
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

	if (pthread_create(&walker, NULL, walk_main, b) != 0)
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
	if (r < 0 && err != NULL && b->failure.code != 0)
		*err = b->failure;
	return r;
}

static char *user_name(void)
{
	const struct passwd *pw = getpwuid(getuid());

	return strdup(pw == NULL ? "" : pw->pw_name);
}

static char **copy_list(char *const *list, size_t count)
{
	char **copy = calloc(count == 0 ? 1 : count, sizeof(char *));

	for (size_t i = 0; copy != NULL && i < count; i++)
		if ((copy[i] = strdup(list[i])) == NULL)
			return NULL; /* leaks on the way out of memory, and out of the process */
	return copy;
}

static int copy_texts(struct backup *b, struct snapshot *s)
{
	const struct backup_options *o = b->options;

	free(s->dataset);
	free(s->host);
	free(s->user);
	s->dataset = strdup(o->dataset);
	s->host = host_name();
	s->user = user_name();
	if (o->description != NULL) {
		free(s->description);
		s->description = strdup(o->description);
	}
	s->paths = copy_list(o->paths, o->path_count);
	s->path_count = (unsigned)o->path_count;
	s->tags = copy_list(o->tags, o->tag_count);
	s->tag_count = (unsigned)o->tag_count;
	return s->dataset == NULL || s->host == NULL || s->user == NULL || s->description == NULL || s->paths == NULL ||
			       s->tags == NULL
		       ? ERR_NO_MEMORY
		       : 0;
}

static void take_lists(struct backup *b, struct snapshot *s)
{
	s->checks = b->checks;
	s->check_count = b->check_count;
	s->notes = b->notes;
	s->note_count = b->note_count;
	b->checks = NULL;
	b->notes = NULL;
	b->check_count = b->note_count = 0;
}

static int set_top(struct backup *b, struct snapshot *s, struct error *err)
{
	uint8_t *xattrs = NULL;

	free((char *)s->top.user);
	free((char *)s->top.group);
	s->top = b->top;
	s->top.key = NULL;
	s->top.key_len = 0;
	s->top.user = strdup(b->top.user);
	s->top.group = strdup(b->top.group);
	if (b->top_xattrs.len > 0 && (xattrs = malloc(b->top_xattrs.len)) != NULL)
		memcpy(xattrs, b->top_xattrs.data, b->top_xattrs.len);
	s->top.xattrs = xattrs;
	s->top.xattrs_len = xattrs == NULL ? 0 : b->top_xattrs.len;
	return s->top.user == NULL || s->top.group == NULL || (b->top_xattrs.len > 0 && xattrs == NULL)
		       ? error_no_memory(err, "a snapshot")
		       : 0;
}

static void set_figures(struct backup *b, struct snapshot *s)
{
	struct writer_stats stats;

	writer_get_stats(b->writer, &stats);
	s->started = b->started;
	s->files = b->result->files;
	s->dirs = b->result->dirs;
	s->others = b->result->others;
	s->bytes = b->result->bytes;
	s->link_max = b->link_max;
	s->new_bytes = b->result->new_bytes = stats.new_bytes;
	s->stored_bytes = b->result->stored_bytes = stats.stored_bytes;
	s->archive_bytes = b->session->set->archive_bytes + stats.stored_bytes;
	s->state = b->bad ? SNAPSHOT_PARTIAL : b->missing ? SNAPSHOT_INCOMPLETE : SNAPSHOT_WHOLE;
	if (b->parent != NULL)
		s->parent = b->parent->id;
}

/* The root node travels inside the snapshot, so that a reader needs no round trip for it. */
static void carry_root(struct backup *b, struct snapshot *s)
{
	if (s->root.entries == 0 || writer_root_node(b->writer, &s->root.ref.id, &s->root_sealed, s->root_key))
		return;
	if (b->parent != NULL && id_equal(&b->parent->root.ref.id, &s->root.ref.id) &&
		id_equal(&b->parent->root.ref.chain[0].pack, &s->root.ref.chain[0].pack)) {
		buf_put(&s->root_sealed, b->parent->root_sealed.data, b->parent->root_sealed.len);
		memcpy(s->root_key, b->parent->root_key, FORMAT_KEY_LEN);
	}
}

static int make_snapshot(struct backup *b, struct snapshot **ret_snapshot, struct error *err)
{
	struct snapshot *s = snapshot_new();
	int r = s == NULL || copy_texts(b, s) < 0 ? error_no_memory(err, "a snapshot") : 0;

	if (r == 0)
		r = set_top(b, s, err);
	if (r == 0)
		r = tree_builder_finish(b->builder, &s->root, err);
	if (r == 0)
		r = writer_finish(b->writer, err);
	if (r < 0) {
		snapshot_free(s);
		return r;
	}
	set_figures(b, s);
	carry_root(b, s);
	take_lists(b, s);
	*ret_snapshot = s;
	return 0;
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

/* From the first entry to the signed statement, all but its commit. */
static int run_once(struct backup *b, const struct snapset *set, struct snapshot **ret_snapshot, struct error *err)
{
	struct backup_options own = *b->options;
	struct command *command = NULL;
	int r = queue_init(b, err);

	b->started = clock_now();
	if (r == 0 && own.command != NULL) {
		r = command_start(own.command, &command, &own.stdin_fd, err);
		b->options = &own;
	}
	if (r == 0)
		r = open_parts(b, set, err);
	if (r == 0)
		r = run_pipeline(b, err);
	if (command != NULL)
		judge_command(b, command_end(command, r < 0));
	if (r == 0 && b->writer != NULL)
		r = make_snapshot(b, ret_snapshot, err);
	close_parts(b);
	return r;
}

static int dry_run(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *result, struct error *err)
{
	struct backup b = {.repo = repo, .catalog = catalog, .options = options, .result = result};
	const struct snapset *set = NULL;
	int r = snapset_load(repo, catalog, NULL, &set, err);

	if (r == 0)
		r = run_once(&b, set, NULL, err);
	snapset_unref(set);
	return r;
}

static int attempt(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *result, struct error *err)
{
	struct backup b = {.repo = repo, .catalog = catalog, .options = options, .result = result};
	struct snapshot *snapshot = NULL;
	int r = session_begin(repo, catalog, options->dataset, &b.session, err);

	if (r < 0)
		return r;
	r = run_once(&b, b.session->set, &snapshot, err);
	if (r == 0)
		r = session_commit(b.session, snapshot, err);
	else if (r != ERR_VOID)
		session_abandon(b.session, NULL);
	session_free(b.session);
	if (r < 0) {
		snapshot_free(snapshot);
		return r;
	}
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

int backup_run(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *ret_result, struct error *err)
{
	int r = snapshot_dataset_ok(options->dataset, err);

	raise_file_limit();
	for (int i = 0; r == 0 && i < TRIES; i++) {
		struct backup_result result = {0};
		r = options->dry_run ? dry_run(repo, catalog, options, &result, err)
				     : attempt(repo, catalog, options, &result, err);
		if (r == 0) {
			*ret_result = result;
			break;
		}
		if (r != ERR_VOID || options->stdin_name != NULL)
			return r;
		log_notice(repo->log, "the session was ended by a prune; beginning again");
		if (err != NULL && i + 1 < TRIES) {
			error_clear(err);
			r = 0;
		}
	}
	if (r == 0 && !options->dry_run)
		tidy(repo, catalog);
	return r;
}
