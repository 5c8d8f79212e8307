/* SPDX-License-Identifier: MIT */
#include "tools/source.h"

#include <stdlib.h>
#include <string.h>

#include "fs/mountpoint.h"

void source_release(struct source *s)
{
	free(s->dataset);
	free(s->path);
	*s = (struct source){0};
}

/* Removes slashes at both ends and doubled ones, in place. */
static void tidy(char *path)
{
	char *to = path;

	for (const char *p = path; *p != '\0'; p++)
		if (*p != '/' || (to > path && to[-1] != '/'))
			*to++ = *p;
	if (to > path && to[-1] == '/')
		to--;
	*to = '\0';
}

/* DATASET/SNAPSHOT/PATH into its parts; a dataset's name has no slash. */
static int split(struct source *s, const char *word, char **ret_snapshot)
{
	const char *slash = strchr(word, '/');
	const char *rest = slash == NULL ? "" : slash + 1;
	const char *second = strchr(rest, '/');

	s->dataset = slash == NULL ? strdup(word) : strndup(word, (size_t)(slash - word));
	*ret_snapshot = second == NULL ? strdup(rest) : strndup(rest, (size_t)(second - rest));
	s->path = strdup(second == NULL ? "" : second + 1);
	if (s->dataset == NULL || *ret_snapshot == NULL || s->path == NULL)
		return -1;
	tidy(s->path);
	return 0;
}

/* `at/TIME` is how the mounted tree says it; here it means the time itself. */
static void accept_at(struct source *s, char **snapshot)
{
	if (strcmp(*snapshot, "at") != 0 || s->path[0] == '\0')
		return;
	char *slash = strchr(s->path, '/');
	char *time = slash == NULL ? strdup(s->path) : strndup(s->path, (size_t)(slash - s->path));
	char *path = strdup(slash == NULL ? "" : slash + 1);
	if (time == NULL || path == NULL) {
		free(time);
		free(path);
		return;
	}
	free(*snapshot);
	free(s->path);
	*snapshot = time;
	s->path = path;
}

/* Is it meant as a path of this machine? */
static bool is_path(const char *word)
{
	return word[0] == '/' || strncmp(word, "./", 2) == 0 || strncmp(word, "../", 3) == 0 ||
	       strcmp(word, ".") == 0 || strcmp(word, "..") == 0;
}

/* `latest.sql` is how the mounted tree says it; which file that is, only a look into the snapshot would tell. */
static int no_ending(const struct source *s, const char *snapshot, struct error *err)
{
	error_clear(err);
	return error_set(err, ERR_NOT_FOUND,
		"'%s' is a name of the mounted tree; here it is '%s/latest/FILE', and 'drfs ls %s/latest' shows the "
		"files",
		snapshot, s->dataset, s->dataset);
}

static int from_words(struct cli *cli, const char *word, struct source *ret, struct error *err)
{
	char *snapshot = NULL;
	int r = 0;

	if (split(ret, word, &snapshot) < 0) {
		free(snapshot);
		return error_no_memory(err, "a source");
	}
	accept_at(ret, &snapshot);
	r = snapset_resolve(cli->set, ret->dataset, snapshot[0] == '\0' ? "latest" : snapshot, &ret->snapshot, err);
	if (r == ERR_NOT_FOUND && strncmp(snapshot, "latest.", 7) == 0 &&
		snapset_latest(cli->set, ret->dataset, 0) != NULL)
		r = no_ending(ret, snapshot, err);
	free(snapshot);
	return r;
}

static int from_ref(struct cli *cli, const struct mountpoint_ref *ref, struct source *ret, struct error *err)
{
	if (memcmp(ref->repository, cli->repo->config.repository, FORMAT_REPO_LEN) != 0)
		return error_set(
			err, ERR_USAGE, "that path belongs to another repository than '%s'", cli->repo->store->url);
	if (ref->dataset[0] == '\0')
		return error_set(err, ERR_USAGE, "that is the whole mount; name a dataset or a snapshot beneath it");
	ret->dataset = strdup(ref->dataset);
	ret->path = strdup(ref->path);
	if (ret->dataset == NULL || ret->path == NULL)
		return error_no_memory(err, "a source");
	tidy(ret->path);
	return snapset_resolve(
		cli->set, ref->dataset, ref->snapshot[0] == '\0' ? "latest" : ref->snapshot, &ret->snapshot, err);
}

/* The URL that the mount behind a path was made with, into cli->repo_url. */
static void take_url(struct cli *cli, const struct mountpoint_ref *ref)
{
	struct mountpoint_status status = {0};

	if (ref->mountpoint != NULL && mountpoint_status(ref->mountpoint, &status, NULL) == 0) {
		cli->repo_url = status.url;
		status.url = NULL;
	}
	mountpoint_status_release(&status);
}

int source_open(struct cli *cli, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct mountpoint_ref ref = {0};
		struct error err = ERROR_INIT;
		int r = mountpoint_ref(words[i], &ref, &err);
		if (r == 0 && cli->repo_url == NULL)
			take_url(cli, &ref);
		mountpoint_ref_release(&ref);
		if (r < 0 && (is_path(words[i]) || source_is_dead(&err))) { /* said before a passphrase is asked for */
			struct error told = ERROR_INIT;
			source_why(words[i], &err, &told);
			return cli_fail(cli, &told);
		}
	}
	return cli_open(cli, true);
}

int source_parse(struct cli *cli, const char *word, struct source *ret)
{
	struct error err = ERROR_INIT, why = ERROR_INIT;
	struct mountpoint_ref ref = {0};
	int r = mountpoint_ref(word, &ref, &why);

	*ret = (struct source){0};
	if (r == 0)
		r = from_ref(cli, &ref, ret, &err);
	else if (is_path(word))
		r = source_why(word, &why, &err);
	else
		r = from_words(cli, word, ret, &err);
	mountpoint_ref_release(&ref);
	if (r < 0) {
		source_release(ret);
		return cli_fail(cli, &err);
	}
	return CLI_OK;
}

int source_reader(struct cli *cli, unsigned mib, struct reader **ret_reader)
{
	struct error err = ERROR_INIT;
	char *dir = cli_catalog_dir(cli);
	struct reader_options options = {.cache_bytes = (size_t)mib << 20, .catalog_dir = dir};
	int r = reader_open(cli->repo, &options, ret_reader, &err);

	free(dir);
	return r < 0 ? cli_fail(cli, &err) : CLI_OK;
}

int source_find(struct reader *r, const struct source *s, const struct node **ret_leaf, const struct entry **ret_entry,
	struct error *err)
{
	struct buf key = {0};
	int status;

	*ret_leaf = NULL;
	*ret_entry = &s->snapshot->top;
	if (s->path[0] == '\0')
		return 0;
	if (!entry_key_from_path(&key, s->path, strlen(s->path)) || s->snapshot->root.entries == 0)
		status = ERR_NOT_FOUND;
	else
		status = tree_find(
			reader_nodes(r), &s->snapshot->root, key.data, key.len, ret_leaf, ret_entry, NULL, err);
	buf_release(&key);
	if (status == ERR_NOT_FOUND) {
		if (err != NULL)
			error_clear(err);
		return error_set(
			err, ERR_NOT_FOUND, "there is no '%s' in %s/%s", s->path, s->dataset, s->snapshot->name);
	}
	return status;
}
