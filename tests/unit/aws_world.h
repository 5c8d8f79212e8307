/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_AWS_WORLD_H
#define TESTS_UNIT_AWS_WORLD_H

/*
 * What the search for AWS's keys sees in a test: variables, a home folder and
 * a clock of its own. Every secret in a test begins with "s3cr3t", and no
 * message may hold that. Helpers assert, so all but world_env() and world_now()
 * belong to the main thread.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "backends/aws_credentials.h"
#include "base/clock.h"
#include "tests/unit/http_script.h"

enum { WORLD_VARIABLES = 24 };

struct world {
	char root[64]; /* HOME; files are in .aws */
	struct {
		const char *name;
		char *value;
	} variables[WORLD_VARIABLES];
	unsigned variable_count;
	atomic_int_fast64_t now;
	_Atomic(struct http_script *) let_go; /* when the clock is looked at next, an answer that is held may go */
	struct aws_options options;
	struct aws_credentials *c;
};

/* cmocka's set-up and tear-down: *state is a struct world in which no metadata service is asked, at WORLD_NOON. */
int world_set_up(void **state);
int world_tear_down(void **state);
#define WORLD_NOON "2031-05-05T12:00:00Z"

/* Sets the variable, anew too. */
void world_set(struct world *w, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void world_unset(struct world *w, const char *name);
/* Writes HOME/.aws/NAME. */
void world_write(struct world *w, const char *name, const char *text);
void world_write_bytes(struct world *w, const char *name, const void *data, size_t len);
/* The clock goes on. */
void world_pass(struct world *w, int64_t seconds);
/* Opens w->c, which must work, and closes the one before. */
void world_open(struct world *w);
/* The keys that are got; opens w->c first where it is not. */
void world_expect(struct world *w, const char *access, const char *secret, const char *token, const char *source);
/* That getting them, or opening, fails so; `words` are in the message, up to a NULL. */
void world_expect_error(struct world *w, int code, const char *const *words);
#define EXPECT_ERROR(w, code, ...) world_expect_error(w, code, (const char *const[]){__VA_ARGS__, NULL})

#endif
