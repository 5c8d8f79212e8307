/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_S3_IMPL_H
#define BACKENDS_S3_IMPL_H

/*
 * Inside the S3 driver: where a bucket is found, and one request to it.
 *
 * Threads: what requests learn on the way (the server's clock, the bucket's
 * region, that it knows no conditional PUT) is atomic or under `lock`; all else
 * is set when the store is opened.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "backends/aws_credentials.h"
#include "backends/driver.h"
#include "backends/http.h"
#include "backends/sigv4.h"

enum { S3_REGION_MAX = 64, S3_HEADERS = 12, S3_PARAMS = 8 };

/* Where requests go; from the URL, the environment and the profile. */
struct s3_place {
	char *bucket;
	char *prefix;    /* "" or "a/b/", before every name */
	char *scheme;    /* "https" */
	char *host;      /* of the endpoint, with a port that is not the scheme's own */
	bool path_style; /* "/bucket/key", else the bucket is part of the host */
	char region[S3_REGION_MAX];
};
/* `url`: s3://bucket[/prefix]. ERR_USAGE with what is wrong. */
int s3_place_find(const char *url, struct aws_credentials *c, const struct aws_options *o, struct s3_place *ret,
	struct error *err);
/* Frees what it holds; a zeroed one is fine. */
void s3_place_release(struct s3_place *p);

struct s3 {
	struct store store;
	struct s3_place place;
	struct http *http;
	struct aws_credentials *credentials;
	atomic_int_fast64_t skew; /* ns to add to this host's clock to have the server's */
	atomic_bool no_condition; /* a conditional PUT was answered with "not implemented" */
	pthread_mutex_t lock;     /* guards place.region */
};

/* ---- s3_request.c ---- */

struct s3_request {
	struct s3 *s;
	const char *method;
	const char *name; /* of the object; NULL: the bucket itself */
	struct sigv4_param query[S3_PARAMS];
	size_t query_count;
	struct sigv4_param headers[S3_HEADERS]; /* further ones, lower case */
	size_t header_count;
	const char *payload_hash; /* NULL: of nothing */
	/* Statuses that are an answer here and no failure, 0-ended: 404 for HEAD, 412 for a create … */
	int fine[4];
	struct aws_keys keys;  /* of the attempt under way */
	struct http_call call; /* body, dst, hedge set by the caller; the rest by s3_run() */
};
/* The answer is the caller's to release, in any case. */
int s3_run(struct s3_request *r, const struct store_call *limits, struct http_answer *ret, struct error *err);
/* Names and values are borrowed until s3_run() returns; there is room for S3_HEADERS and S3_PARAMS. */
void s3_add_header(struct s3_request *r, const char *name, const char *value);
void s3_add_query(struct s3_request *r, const char *name, const char *value);

/* ---- s3_object.c, s3_list.c: the calls of store.h ---- */

int s3_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len, void *dst,
	size_t *ret_len, struct error *err);
int s3_put(struct store *store, const struct store_call *call, const char *name, const struct store_body *body,
	struct store_reply *ret_reply, struct error *err);
int s3_del(struct store *store, const struct store_call *call, const char *name, struct error *err);
int s3_stat(
	struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err);
int s3_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err);

#endif
