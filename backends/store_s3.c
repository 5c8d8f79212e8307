/* SPDX-License-Identifier: MIT */

/* An S3 bucket, or a part of one below a prefix, as a store. */

#include <stdlib.h>
#include <string.h>

#include "backends/s3_impl.h"

enum { PARALLEL = 32 };

static void s3_close(struct store *store)
{
	struct s3 *s = (struct s3 *)store;

	aws_credentials_free(s->credentials);
	http_free(s->http);
	s3_place_release(&s->place);
	pthread_mutex_destroy(&s->lock);
	store_release(store);
	free(s);
}

static const struct store_ops s3_ops = {
	.get = s3_get, .put = s3_put, .del = s3_del, .list = s3_list, .stat = s3_stat, .close = s3_close};

int store_s3_open(const char *url, const struct store_options *options, struct store **ret_store, struct error *err)
{
	struct aws_options o = {.env = options->env, .env_arg = options->env_arg, .log = options->log};
	struct http_options h = {.log = options->log, .ca_file = aws_env(&o, "AWS_CA_BUNDLE")};
	struct s3 *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_no_memory(err, "a store");
	s->store = (struct store){.ops = &s3_ops,
		.features = STORE_CREATE_ONLY | STORE_LIST_AFTER_PUT,
		.parallel = PARALLEL,
		.url = strdup(url)};
	pthread_mutex_init(&s->lock, NULL);
	int rc = s->store.url != NULL ? http_new(&h, &s->http, err) : error_no_memory(err, "a store");
	o.http = s->http;
	if (rc == 0)
		rc = aws_credentials_new(&o, &s->credentials, err);
	if (rc == 0)
		rc = s3_place_find(url, s->credentials, &o, &s->place, err);
	if (rc < 0) {
		s3_close(&s->store);
		return rc;
	}
	*ret_store = &s->store;
	return 0;
}
