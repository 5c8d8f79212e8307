/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/config.h"
#include "base/fileio.h"
#include "base/hex.h"
#include "base/host.h"
#include "base/jsonout.h"
#include "tools/cli.h"

static const struct cli_option options[] = {{"label", 'l', true, false}};

/* The URL as it is good for from any folder: a path that was given without its beginning gets one. */
static const char *lasting_url(const struct cli *cli, const char *url)
{
	bool is_relative = url[0] != '/' && strncmp(url, "file:", 5) != 0 && cli->repo->store->local_path != NULL;

	return is_relative ? cli->repo->store->local_path : url;
}

static void lasting_key_path(struct cli_unlock *u)
{
	char *whole = u->key_path == NULL || u->key_path[0] == '/' ? NULL : realpath(u->key_path, NULL);

	if (whole != NULL) {
		free(u->key_path);
		u->key_path = whole;
	}
}

static void print_sheet(const struct cli *cli, const char *url, const struct cli_unlock *u, const char *slot)
{
	char id[2 * FORMAT_REPO_LEN + 1];
	const char *key = u->key_path;

	hex_encode(cli->repo->config.repository, FORMAT_REPO_LEN, id);
	printf("A repository is ready at %s\n\n", url);
	printf("RECOVERY SHEET - print it, and keep it apart from this machine\n");
	printf("  repository   %s\n", url);
	printf("  id           %s\n", id);
	printf("  key slot     %s (%s)\n", slot, key != NULL ? "key file" : "passphrase");
	if (key != NULL)
		printf("  key file     %s%s\n", key, u->key_made ? " (made now, 0600: copy it to a safe place)" : "");
	else
		printf("  passphrase   ______________________________\n");
	printf("  Without the %s nobody can read this repository, and nobody can help.\n\n",
		key != NULL ? "key file" : "passphrase");
	printf("  To bring everything back on a new machine with drfs installed:\n");
	printf("  export DRFS_REPO='%s'\n", url);
	if (key != NULL)
		printf("  export DRFS_KEY_FILE='%s'\n", key);
	printf("    drfs snapshots\n");
	printf("    mkdir -p /mnt/dr && drfs mount /mnt/dr\n");
	printf("    drfs restore DATASET/latest /where/to\n");
}

static int print_json(const struct cli *cli, const char *url, const struct cli_unlock *u, const char *slot)
{
	char id[2 * FORMAT_REPO_LEN + 1];
	json_t *o = json_object();

	hex_encode(cli->repo->config.repository, FORMAT_REPO_LEN, id);
	json_object_set_new(o, "repository", json_string(url));
	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "slot", json_string(slot));
	json_object_set_new(o, "slot_kind", json_string(u->key_path != NULL ? "key-file" : "passphrase"));
	if (u->key_path != NULL)
		jsonout_set_name(o, "key_file", u->key_path, strlen(u->key_path));
	return jsonout_line(stdout, o) < 0 ? CLI_FAILED : CLI_OK;
}

/* A repository, or whatever else has its 'config'; 0: none. */
static int judge_config(struct store *store, const char *url, struct error *err)
{
	struct repo_config config;
	struct buf bytes = {0};
	uint64_t size;

	if (store_stat(store, NULL, "config", &size, NULL) != 0)
		return 0;
	bool is_ours = store_get_all(store, NULL, "config", CONFIG_OBJECT_MAX, &bytes, NULL) != 0 ||
		       config_decode(bytes.data, bytes.len, &config, NULL) != ERR_CORRUPT;
	buf_release(&bytes);
	if (is_ours)
		return error_set(err, ERR_EXISTS, "there is a repository at '%s' already", url);
	return error_set(err, ERR_EXISTS,
		"'%s' holds a 'config' that is not of drfs, or that of a damaged repository; name another folder", url);
}

/*
 * What an init that was cut leaves is key slots and a temporary name; of the other folders repo_init() says more, and
 * lost+found is the file system's. NULL: nothing else is there.
 */
static char *stranger_in(const char *folder)
{
	static const char *const known[] = {".", "..", "config", "keys", "packs", "snapshots", "index", "wraps",
		"summaries", "marks", "sessions", "prune", "lost+found"};
	DIR *dir = opendir(folder);
	char *found = NULL;

	for (struct dirent *d = NULL; dir != NULL && found == NULL && (d = readdir(dir)) != NULL;) {
		bool is_known = strncmp(d->d_name, ".tmp_", 5) == 0;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known = is_known || strcmp(d->d_name, known[i]) == 0;
		if (!is_known)
			found = hex_printable(d->d_name, strlen(d->d_name));
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* Before a key is made or a passphrase asked for. */
static int judge_place(struct store *store, const char *url, struct error *err)
{
	char *stranger = store->local_path == NULL ? NULL : stranger_in(store->local_path);
	int r = judge_config(store, url, err);

	if (r == 0 && stranger != NULL)
		r = error_set(err, ERR_USAGE,
			"'%s' holds other data ('%s') and no repository; name a folder that is empty or not there yet",
			url, stranger);
	free(stranger);
	return r;
}

/* The folder above a repository that is not there yet. */
static int judge_parent(const char *url, struct error *err)
{
	struct stat st;
	char *copy = strdup(strncmp(url, "file://", 7) == 0 ? url + 7 : url);

	if (copy == NULL)
		return error_no_memory(err, "a path");
	const char *above = dirname(copy);
	int r = stat(above, &st) == 0 && S_ISDIR(st.st_mode)
			? 0
			: error_set(err, ERR_NOT_FOUND, "cannot make the folder '%s': '%s' is not there, make it first",
				  url, above);
	free(copy);
	return r;
}

/* What -n says: no folder, no key, no question. */
static int tell(struct cli *cli, const char *url, struct error *err)
{
	struct store_options opening = {.log = cli->log};
	struct store *store = NULL;
	const char *key = getenv("DRFS_KEY_FILE");
	int r = store_open(url, &opening, &store, err);
	bool is_new = r == ERR_NO_REPO && access(url, F_OK) != 0;

	if (is_new) {
		error_clear(err);
		r = judge_parent(url, err);
	} else if (r == 0) {
		r = judge_place(store, url, err);
	}
	store_close(store);
	if (r < 0)
		return r;
	if (key == NULL || key[0] == '\0')
		key = cli->conf->key_file;
	printf("would make a repository at '%s'%s\n", url, is_new ? " and its folder" : "");
	if (key != NULL && access(key, F_OK) != 0)
		printf("would make the key file '%s'\n", key);
	return 0;
}

/* Opens the place; *ret_made: its folder was made for it. */
static int open_place(struct cli *cli, const char *url, struct store **ret_store, bool *ret_made, struct error *err)
{
	struct store_options opening = {.log = cli->log};
	int r = store_open(url, &opening, ret_store, err);

	*ret_made = r == ERR_NO_REPO;
	if (r != ERR_NO_REPO)
		return r;
	error_clear(err);
	opening.create = true;
	return store_open(url, &opening, ret_store, err);
}

/* A folder made for nothing. One with anything else in it stays. */
static void remove_place(const char *folder)
{
	char *keys = fileio_format("%s/keys", folder);

	if (keys != NULL)
		rmdir(keys);
	rmdir(folder);
	free(keys);
}

static int make(struct cli *cli, const char *url, const char *label, struct cli_unlock *u, struct id *ret_slot,
	struct error *err)
{
	struct store *store = NULL;
	bool made = false;
	int r = open_place(cli, url, &store, &made, err);

	if (r == 0)
		r = judge_place(store, url, err);
	if (r == 0)
		r = cli_unlock(cli, true, u, err);
	if (r == 0)
		r = repo_init(store, &u->unlock, label, ret_slot, err);
	if (r < 0 && store != NULL && made && store->local_path != NULL)
		remove_place(store->local_path);
	if (r == 0)
		r = repo_open(store, &u->unlock, cli->log, &cli->repo, err);
	if (r < 0)
		store_close(store);
	return r;
}

int cmd_init(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = 1, .argv = argv, .argc = argc};
	struct cli_unlock unlock = {0};
	struct error err = ERROR_INIT;
	struct id slot;
	const char *value, *label = "";
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what == CLI_ARG_PLAIN)
			return cli_usage(cli, "'%s' is one word too many; the repository is named by -r", value);
		label = value;
	}
	int code = cli_load_conf(cli);
	const char *url = code == CLI_OK ? cli_url(cli) : NULL;
	if (url == NULL)
		return code != CLI_OK ? code : CLI_USAGE;
	if (cli->dry_run ? tell(cli, url, &err) < 0 : make(cli, url, label, &unlock, &slot, &err) < 0) {
		code = cli_fail(cli, &err);
		if (code == CLI_NO_REPO) /* which is no news to who makes one: its place is not there */
			code = CLI_FAILED;
	} else if (!cli->dry_run) {
		char hex[ID_HEX_MAX];
		id_hex(&slot, hex);
		hex[16] = '\0';
		url = lasting_url(cli, url);
		lasting_key_path(&unlock);
		if (cli->json)
			code = print_json(cli, url, &unlock, hex);
		else if (!cli->quiet)
			print_sheet(cli, url, &unlock, hex);
	}
	cli_unlock_release(&unlock);
	return code;
}
