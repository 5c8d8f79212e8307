/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CONFIG_H
#define ARCHIVE_CONFIG_H

/*
 * The object `config`: what is fixed for a repository's life and readable
 * without a key. Nothing in it is believed beyond its bounds; that it is the
 * one the repository was made with is proven by the hash over it that each
 * key slot seals. Pure functions; any thread.
 */

#include "archive/repo.h"

enum { CONFIG_OBJECT_MAX = 64 << 10 };

/* Fresh repository id and salt, this version's parameters, the fastest cipher and hashes of this machine. */
void config_draw(struct repo_config *ret_config);
/* The whole object, appended to *ret (cleared first). */
int config_encode(const struct repo_config *config, struct buf *ret, struct error *err);
/*
 * Checks and reads a whole object, and takes its hash. ERR_CORRUPT: damaged, or values out of bounds; ERR_UNSUPPORTED:
 * of a newer version.
 */
int config_decode(const void *data, size_t len, struct repo_config *ret_config, struct error *err);

#endif
