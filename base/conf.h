/* SPDX-License-Identifier: MIT */
#ifndef BASE_CONF_H
#define BASE_CONF_H

/*
 * The configuration file (design: [repository], [dataset NAME]), read by inih.
 * Every key is known here with its type; an unknown key, section or a bad
 * value is ERR_USAGE with "FILE:LINE: …". Keys that this version knows but
 * does not act on yet are warned about through `log`. Values run to the end
 * of the line; " ;" begins a comment. Immutable once read; freely shared.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

enum conf_commit { CONF_COMMIT_IDLE, CONF_COMMIT_CLOSE, CONF_COMMIT_MANUAL };
enum conf_durability { CONF_DURABLE_LOCAL, CONF_DURABLE_POWER, CONF_DURABLE_REMOTE };

struct conf_dataset {
	char *name;
	enum conf_commit commit; /* idle */
	int64_t idle_ns;         /* 10 s */
	int64_t idle_max_ns;     /* 10 min */
	enum conf_durability durability;
	char *keep;          /* NULL: keep all */
	int64_t rpo_ns;      /* 0: none */
	int64_t rto_ns;      /* 0: none */
	char *check;         /* command, or NULL */
	char *alert;         /* command, or NULL */
	int compression;     /* zstd level 1..19; 0: off; default 3 */
	char *storage_class; /* NULL: the store's own */
	char **drills;       /* validation queries */
	unsigned drill_count;
	char *drill_url;
};

struct conf {
	char *path; /* the file it came from; NULL when there was none */
	char *url;
	char **replicas;
	unsigned replica_count;
	unsigned min_copies; /* 1 */
	char *password_command;
	char *password_file;
	char *key_file;
	char *catalog;       /* "sqlite" or postgresql://…; NULL: sqlite */
	char *spool_dir;     /* NULL: the default */
	uint64_t cache_size; /* 0: none given */
	int64_t poll_ns;     /* 0: by kind of store */
	struct conf_dataset *datasets;
	unsigned dataset_count;
};

/*
 * Reads `path`; where it is NULL: $DRFS_CONFIG, $XDG_CONFIG_HOME/drfs/drfs.conf (~/.config/drfs/drfs.conf),
 * /etc/drfs/drfs.conf, the first that is there; none is an empty configuration. A file that was named
 * (by `path` or DRFS_CONFIG) and is not there is ERR_USAGE.
 */
int conf_load(const char *path, struct log *log, struct conf **ret_conf, struct error *err);
/* NULL is a no-op. */
void conf_free(struct conf *conf);
/* The dataset's section, else the defaults (whose name is NULL). Borrowed; never NULL. `conf` may be NULL. */
const struct conf_dataset *conf_dataset(const struct conf *conf, const char *name);
/* "10G", "256M", "1Ti", "4096": bytes (K, M, G, T are powers of 1024). */
bool conf_parse_size(const char *text, uint64_t *ret_bytes);

#endif
