/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fileio.h"
#include "base/hex.h"
#include "base/host.h"
#include "fs/announce.h"
#include "tools/cli.h"

int cli_exit_of(int code)
{
	switch (code) {
	case ERR_OK:
		return CLI_OK;
	case ERR_USAGE:
		return CLI_USAGE;
	case ERR_NO_REPO:
		return CLI_NO_REPO;
	case ERR_BUSY:
		return CLI_BUSY;
	case ERR_PASSPHRASE:
		return CLI_PASSPHRASE;
	case ERR_CANCELLED:
		return CLI_INTERRUPTED;
	default:
		return CLI_FAILED;
	}
}

int cli_fail(struct cli *cli, const struct error *err)
{
	log_error(cli->log, "%s", error_text(err));
	return err->code == ERR_OK ? CLI_FAILED
				   : cli_exit_of(err->code); /* never a success, whatever was left unsaid */
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "drfs%s%s: ", cli->command == NULL ? "" : " ", cli->command == NULL ? "" : cli->command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (cli->command != NULL)
		fprintf(stderr, "; 'drfs help %s' shows how it is used\n", cli->command);
	else
		fprintf(stderr, "; 'drfs help' shows what there is\n");
	return CLI_USAGE;
}

void cli_set_log(struct cli *cli)
{
	enum log_level level = cli->quiet          ? LOG_LEVEL_ERROR
			       : cli->verbose == 0 ? LOG_LEVEL_NOTICE
			       : cli->verbose == 1 ? LOG_LEVEL_INFO
						   : LOG_LEVEL_DEBUG;
	log_set_level(cli->log, level);
}

int cli_load_conf(struct cli *cli)
{
	struct error err = ERROR_INIT;

	cli_set_log(cli);
	if (cli->conf != NULL)
		return CLI_OK;
	return conf_load(cli->config_path, cli->log, &cli->conf, &err) < 0 ? cli_fail(cli, &err) : CLI_OK;
}

const char *cli_url(struct cli *cli)
{
	const char *env = getenv("DRFS_REPO");

	if (cli->repo_url != NULL)
		return cli->repo_url;
	if (env != NULL && env[0] != '\0')
		return env;
	if (cli->conf != NULL && cli->conf->url != NULL)
		return cli->conf->url;
	cli_usage(cli, "which repository? name it by -r URL, by DRFS_REPO, or by 'url' in the configuration file");
	return NULL;
}

char *cli_catalog_dir(struct cli *cli)
{
	char hex[2 * FORMAT_REPO_LEN + 1];
	char *cache = fileio_cache_dir();

	hex_encode(cli->repo->config.repository, FORMAT_REPO_LEN, hex);
	char *dir = cache == NULL ? NULL : fileio_format("%s/%s", cache, hex);
	free(cache);
	return dir;
}

int cli_open_catalog(struct cli *cli)
{
	struct error err = ERROR_INIT;
	char *dir = cli_catalog_dir(cli);
	struct catalog_options options = {.dir = dir, .repository = cli->repo->config.repository, .log = cli->log};
	int r = catalog_open(&options, &cli->catalog, &err);

	free(dir);
	return r < 0 ? cli_fail(cli, &err) : CLI_OK;
}

static int open_repo(struct cli *cli, const char *url, struct error *err)
{
	struct store_options options = {.log = cli->log};
	struct store *store = NULL;
	struct cli_unlock unlock = {0};
	uint64_t size;
	int r = store_open(url, &options, &store, err);

	if (r == 0) /* said before a passphrase is asked for */
		r = store_stat(store, NULL, "config", &size, err);
	if (r == ERR_NOT_FOUND || r == ERR_NO_REPO) {
		error_clear(err);
		r = error_set(err, ERR_NO_REPO, "there is no repository at '%s'; 'drfs init' makes one", url);
	}
	if (r == 0)
		r = cli_unlock(cli, false, &unlock, err);
	if (r == 0)
		r = repo_open(store, &unlock.unlock, cli->log, &cli->repo, err);
	if (r == ERR_PASSPHRASE)
		r = cli_unlock_why(r, err);
	cli_unlock_release(&unlock);
	if (r < 0)
		store_close(store);
	return r;
}

int cli_open_seen(struct cli *cli)
{
	struct error err = ERROR_INIT;

	return seen_open(cli->repo, cli->conf->spool_dir, &cli->seen, &err) < 0 ? cli_fail(cli, &err) : CLI_OK;
}

static int load_snapshots(struct cli *cli)
{
	struct error err = ERROR_INIT;
	int code = cli_open_seen(cli);

	if (code != CLI_OK)
		return code;
	if (seen_load(cli->seen, cli->repo, cli->catalog, NULL, &cli->set, &err) < 0)
		return cli_fail(cli, &err);
	seen_tell(cli->seen);
	return CLI_OK;
}

int cli_open(struct cli *cli, bool snapshots)
{
	struct error err = ERROR_INIT;
	int code = cli_load_conf(cli);
	const char *url = code == CLI_OK ? cli_url(cli) : NULL;

	if (code != CLI_OK || url == NULL)
		return code != CLI_OK ? code : CLI_USAGE;
	if (open_repo(cli, url, &err) < 0)
		return cli_fail(cli, &err);
	return snapshots ? load_snapshots(cli) : CLI_OK;
}

void cli_announce(struct cli *cli, const struct snapshot *snapshot)
{
	announce_snapshot(cli->repo->config.repository, &snapshot->id, 0, cli->log);
}

void cli_close(struct cli *cli)
{
	seen_free(cli->seen);
	snapset_unref(cli->set);
	catalog_close(cli->catalog);
	repo_close(cli->repo);
	conf_free(cli->conf);
	log_free(cli->log);
	free(cli->repo_url);
	*cli = (struct cli){0};
}
