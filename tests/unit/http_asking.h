/* SPDX-License-Identifier: MIT */
#ifndef TESTS_HTTP_ASKING_H
#define TESTS_HTTP_ASKING_H

/*
 * A scripted server with an engine before it, and the plainest of callers: what
 * the tests of backends/http.h share. One thread uses a struct line's own
 * fields; calls may come from several.
 */

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/http.h"
#include "base/clock.h"
#include "tests/unit/http_server.h"

struct line {
	struct http_server *server;
	struct http *http;
};

/* The surroundings' proxies, so that they do not steer a test. Done by line_start(). */
void forget_proxies(void);
/* Options may be NULL: then repetitions come within ms. `arg` is the function's. */
void line_start(struct line *line, http_server_fn *fn, void *arg, const struct http_options *options);
void line_stop(struct line *line);
struct http_metrics line_metrics(const struct line *line);

/* A request to `path` at the line's server. */
struct ask {
	const char *method; /* NULL: GET, with a body PUT */
	const char *base;   /* NULL: the server's */
	const char *path;
	const char *header, *value; /* NULL: none */
	const struct store_call *limits;
	const struct store_body *body;
	void *dst;
	size_t dst_len;
	bool hedge, unrepeatable;
	enum http_verdict (*judge)(void *arg, const struct http_answer *a, struct error *err); /* NULL: by status */
	const struct line *line;
	unsigned prepared; /* how often it was made */
};
int ask(const struct line *line, struct ask *a, struct http_answer *ret, struct error *err);
/* As ask(), and fails the test unless it succeeds. */
void ask_ok(const struct line *line, struct ask *a, struct http_answer *ret);

/* ---- a server that does one thing to the first requests, and then answers each well ---- */

enum { SCRIPT_OBJECT = 1000 };

struct script {
	atomic_uint times; /* so many requests are treated badly */
	http_server_fn *bad;
	uint8_t object[SCRIPT_OBJECT];
	sem_t said; /* for the test's own function */
};

void script_start(struct line *line, struct script *s, const struct http_options *options);
/* The object comes whole, and the server has seen so many requests then. */
void reads_well(struct line *line, const struct script *s, unsigned requests);
/* It fails with that code and in words that hold `word`. Returns how long it took. */
int64_t fails(struct line *line, struct ask *a, int code, const char *word);

/* What it may do badly: half an object; nothing until the gate opens; 500. `arg` is the script. */
void script_send_half(const struct script *s, struct http_peer *peer);
void script_hold(void *arg, struct http_peer *peer, const struct http_seen *seen);
void script_fail(void *arg, struct http_peer *peer, const struct http_seen *seen);

/* Bytes that differ from each other and by seed. */
void made_bytes(uint8_t *dst, size_t len, unsigned seed);
void assert_text(const struct http_answer *a, const char *text);

#endif
