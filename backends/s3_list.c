/* SPDX-License-Identifier: MIT */

/* ListObjectsV2, page by page. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/s3_impl.h"
#include "backends/s3_xml.h"

enum { WHAT_TEXT = STORE_NAME_MAX + 300 };

struct listing {
	const struct s3 *s;
	const struct store_call *call;
	store_list_fn *fn;
	void *arg;
	char last[STORE_NAME_MAX + 1]; /* told last: pages go on behind it, and never back */
};

static int tell(void *arg, const char *key, uint64_t size, struct error *err)
{
	struct listing *l = arg;
	size_t skip = strlen(l->s->place.prefix);

	/* What others put beside the repository, folders that consoles make, is not ours. */
	if (strncmp(key, l->s->place.prefix, skip) != 0 || !store_name_ok(key + skip))
		return 0;
	if (strcmp(key + skip, l->last) <= 0)
		return l->last[0] == '\0'
			       ? 0
			       : error_set(err, ERR_UNSUPPORTED,
					 "'%s' lists '%s' behind '%s': drfs needs listings in the order of bytes",
					 l->s->store.url, key + skip, l->last);
	strcpy(l->last, key + skip);
	int rc = store_go_on(l->call, key + skip, err);
	return rc < 0 ? rc : l->fn(l->arg, key + skip, size, err);
}

static int one_page(struct listing *l, const char *prefix, const char *after, struct s3_page *page, struct error *err)
{
	struct s3_request r = {.s = (struct s3 *)l->s, .method = "GET"};
	struct http_answer a = {0};
	char what[WHAT_TEXT], token[S3_TOKEN_MAX];

	snprintf(what, sizeof(what), "listing '%s' in '%s'", prefix, l->s->store.url);
	snprintf(token, sizeof(token), "%s", page->token);
	s3_add_query(&r, "list-type", "2");
	s3_add_query(&r, "encoding-type", "url");
	s3_add_query(&r, "prefix", prefix);
	if (token[0] != '\0')
		s3_add_query(&r, "continuation-token", token);
	else if (after[0] != '\0')
		s3_add_query(&r, "start-after", after);
	r.call.what = what;
	int rc = s3_run(&r, l->call, &a, err);
	if (rc == 0) {
		rc = s3_xml_page(a.text.data, a.text.len, page, tell, l, err);
		if (rc == 0 && page->truncated && page->token[0] == '\0')
			rc = error_set(err, ERR_IO, "%s: the server does not say where the next page begins", what);
	}
	http_answer_release(&a);
	return rc;
}

int s3_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err)
{
	struct s3 *s = (struct s3 *)store;
	struct listing l = {.s = s, .call = call, .fn = fn, .arg = arg};
	struct s3_page *page = calloc(1, sizeof(*page));
	char *full = NULL, *behind = NULL;
	int rc = store_begin(store, call, NULL, err);

	if (rc == 0 && (page == NULL || asprintf(&full, "%s%s", s->place.prefix, prefix) < 0 ||
			       asprintf(&behind, "%s%s", after[0] ? s->place.prefix : "", after) < 0))
		rc = error_no_memory(err, "a listing");
	if (rc == 0 && strlen(after) <= STORE_NAME_MAX)
		strcpy(l.last, after);
	do {
		if (rc == 0)
			rc = one_page(&l, full, behind, page, err);
	} while (rc == 0 && page->truncated);
	free(page);
	free(full);
	free(behind);
	return rc;
}
