/* SPDX-License-Identifier: MIT */

/*
 * Opening, and what is done when that fails: a damaged file is moved aside and
 * begun anew; where that cannot be done, or there is no folder to work in, a
 * private catalog takes its place. Only missing memory is returned.
 */

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog_db.h"

static int open_place(struct catalog *catalog, struct catalog_place *place, struct error *err)
{
	bool fresh;
	int r = catalog_db_open(catalog->driver, place, catalog->repository, &catalog->db, &fresh, err);
	if (r == 0)
		atomic_store(&catalog->state, fresh ? CATALOG_NEW : CATALOG_KEPT);
	return r;
}

/* Moves the file aside, unless another process has done so while this one waited to be alone. */
static int set_aside(struct catalog *catalog, struct catalog_place *place, const struct error *why, struct log *log,
	struct error *err)
{
	const char *file = catalog_place_file(place);
	int r = catalog_place_lock_alone(place, err);
	if (r != 0)
		return error_wrap(err, r, "it is damaged (%s) and cannot be moved aside", error_text(why));
	if (catalog_place_is_suspect(place) ||
		catalog_db_check(catalog->driver, place, catalog->repository, NULL) == ERR_CORRUPT) {
		r = catalog_place_begin_anew(place, err);
		if (r != 0)
			return r;
		log_warn(log, "the catalog '%s' cannot be used (%s): it is kept as '%s.damaged' and begun anew", file,
			error_text(why), file);
	}
	return catalog_place_share(place, err);
}

static int open_folder(struct catalog *catalog, const struct catalog_options *options, struct error *err)
{
	struct catalog_place *place;
	struct error why = ERROR_INIT;
	int r = catalog_place_open(options->dir, &place, err);
	if (r != 0)
		return r;
	if (catalog_place_is_suspect(place))
		r = error_set(&why, ERR_CORRUPT, "a wrong row was read from it");
	else
		r = open_place(catalog, place, &why);
	if (r == ERR_CORRUPT) {
		r = set_aside(catalog, place, &why, options->log, err);
		if (r == 0)
			r = open_place(catalog, place, err);
	} else if (r != 0) {
		*err = why;
	}
	if (r != 0)
		catalog_place_close(place);
	return r;
}

static int open_private(const struct catalog *catalog, struct catalog_db **ret_db, struct error *err)
{
	bool fresh;
	int r = catalog_db_open(catalog->driver, NULL, catalog->repository, ret_db, &fresh, err);
	return r == 0 ? 0 : error_wrap(err, r, "cannot make a temporary catalog");
}

int catalog_open(const struct catalog_options *options, struct catalog **ret_catalog, struct error *err)
{
	struct error why = ERROR_INIT;
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	if (!catalog)
		return error_no_memory(err, "a catalog");
	pthread_mutex_init(&catalog->lock, NULL);
	catalog->driver = &sql_sqlite;
	atomic_init(&catalog->state, CATALOG_PRIVATE);
	memcpy(catalog->repository, options->repository, sizeof(catalog->repository));
	if (options->dir && open_folder(catalog, options, &why) != 0)
		log_warn(options->log,
			"the catalog in '%s' cannot be used: %s; going on with a temporary one, which only costs time",
			options->dir, error_text(&why));
	int r = catalog->db ? 0 : open_private(catalog, &catalog->db, err);
	if (r != 0) {
		catalog_close(catalog);
		return r;
	}
	*ret_catalog = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	catalog_db_release(catalog->db);
	pthread_mutex_destroy(&catalog->lock);
	free(catalog);
}

enum catalog_state catalog_state(const struct catalog *catalog)
{
	return (enum catalog_state)atomic_load(&catalog->state);
}

int catalog_make_private(struct catalog *catalog, struct error *err)
{
	struct catalog_db *db;
	int r = open_private(catalog, &db, err);
	if (r != 0)
		return r;
	pthread_mutex_lock(&catalog->lock);
	struct catalog_db *before = catalog->db;
	catalog->db = db;
	atomic_store(&catalog->state, CATALOG_PRIVATE);
	pthread_mutex_unlock(&catalog->lock);
	/* Calls that are still at work on it keep it until they end. */
	catalog_db_release(before);
	return 0;
}
