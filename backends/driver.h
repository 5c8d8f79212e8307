/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_DRIVER_H
#define BACKENDS_DRIVER_H

/*
 * What the drivers of this folder share, and nobody outside includes: the
 * checks every call begins with, the two shapes of a body made one, and the
 * rule by which a repeated put is told from another object of the same name.
 * All functions are stateless and may be called by any thread.
 */

#include "backends/store.h"

/*
 * What every call begins with: the name is checked (NULL: none to check), then
 * the call's flag and deadline. ERR_USAGE, ERR_CANCELLED, ERR_TIMEOUT. `call` may be NULL.
 */
int store_begin(const struct store *store, const struct store_call *call, const char *name, struct error *err);

/* The flag and the deadline alone, for the middle of long work on `name`. */
int store_go_on(const struct store_call *call, const char *name, struct error *err);

/* Exactly `len` bytes of the body from `off`; ERR_IO when its file holds fewer. */
int store_body_read(
	const struct store_body *body, const char *name, uint64_t off, void *dst, size_t len, struct error *err);

/* The whole body in fresh memory that the caller frees (never NULL on success, even for 0 bytes). */
int store_body_load(const struct store_body *body, const char *name, uint8_t **ret_data, struct error *err);

/* How many bytes at the end of an object of `size` bytes decide whether two are the same. */
size_t store_tail_len(uint64_t size);

/* The last store_tail_len(body->len) bytes. */
int store_body_tail(
	const struct store_body *body, const char *name, uint8_t dst[static STORE_HASH_LEN], struct error *err);

/* ERR_EXISTS for `name`, with the words that all drivers use. */
int store_taken(const struct store *store, const char *name, struct error *err);

/* ERR_NOT_FOUND for `name`, with the words that all drivers use. */
int store_missing(const struct store *store, const char *name, struct error *err);

/* Frees what struct store itself owns: url and local_path. */
void store_release(struct store *store);

/* Opens the folder or file that a URL's path names; the rest of store_open() without the fault layer. */
int store_open_url(const char *url, const struct store_options *options, struct store **ret_store, struct error *err);

#endif
