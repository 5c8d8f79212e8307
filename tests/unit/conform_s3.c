/* SPDX-License-Identifier: MIT */
/*
 * Holds an S3 server to the contract of backends/store.h. Not a test by itself: who has started a server runs it.
 *
 *   conform_s3 s3://BUCKET/PREFIX     credentials and endpoint from the environment, as drfs takes them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_conformance.h"

struct place {
	const char *url;
	unsigned count;
	char *now;
};

static int place_open(void *arg, struct store **ret_store, struct error *err)
{
	static const struct store_options options;
	struct place *p = arg;

	free(p->now);
	if (asprintf(&p->now, "%s/%ld-%u", p->url, (long)getpid(), p->count++) < 0) {
		p->now = NULL;
		return error_no_memory(err, "a place");
	}
	return store_s3_open(p->now, &options, ret_store, err);
}

int main(int argc, char **argv)
{
	struct place p = {.url = argc == 2 ? argv[1] : NULL};
	struct store_factory factory = {.label = "store s3 conforms", .open = place_open, .arg = &p, .many = 1100};

	if (p.url == NULL) {
		fputs("usage: conform_s3 s3://BUCKET/PREFIX\n", stderr);
		return 2;
	}
	int failed = store_conformance_run(&factory);
	free(p.now);
	return failed != 0;
}
