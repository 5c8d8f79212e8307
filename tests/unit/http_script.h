/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_HTTP_SCRIPT_H
#define TESTS_UNIT_HTTP_SCRIPT_H

/*
 * An HTTP server for tests that follows a script: it listens on 127.0.0.1, at
 * a port that the system chooses, answers each request by the next step, and
 * keeps every request for the test to look at.
 *
 *	static const struct http_step steps[] = {
 *		{.expect = "PUT /token", .header = "ttl-seconds: 60", .body = "abc"},
 *		{.expect = "GET /keys?a=b ", .status = 503},
 *		{.expect = "GET /keys", .cut = true},
 *	};
 *	struct http_script *s = http_script_start(steps, 3);
 *	… ask http_script_url(s) …
 *	http_script_end(s);
 *
 * A request that is not what its step expects, or for which there is no step,
 * is answered with 418 and fails the test in http_script_end(), as do steps
 * that were not reached. Connections are kept (HTTP/1.1) and may be several at
 * once, each has a thread: steps are taken in the order in which requests come
 * in whole.
 *
 * Threads: start and end belong to the test's main thread; the others may be
 * called by any. Steps are borrowed until the end.
 */

#include <stdbool.h>
#include <stddef.h>

struct http_step {
	const char *expect;  /* how the request line begins: "GET /path"; NULL: any */
	const char *header;  /* a text that the head or the body must hold, in any case of letters; NULL: none */
	const char *absent;  /* one that it must not hold; NULL: none */
	const char *raw;     /* the answer byte by byte, of raw_len bytes (0: a C string); NULL: made of what follows */
	size_t raw_len;      /* … */
	int status;          /* 0: 200 */
	const char *headers; /* further ones, each with its "\r\n"; NULL: none */
	const char *body;    /* a C string; NULL: empty */
	bool cut;            /* no answer: the connection is closed. After `raw`, where there is one */
	bool hold;           /* the answer waits until http_script_let_go() was called once more */
};

struct http_script;

/* Listens when this returns. Fails the test where it cannot. */
struct http_script *http_script_start(const struct http_step *steps, size_t count);
/* "http://127.0.0.1:PORT", without a slash at the end. Borrowed. */
const char *http_script_url(const struct http_script *s);
unsigned http_script_port(const struct http_script *s);
/* How many requests came in so far. */
size_t http_script_count(struct http_script *s);
/* Waits until that many came in; false: not within ten seconds. */
bool http_script_wait(struct http_script *s, size_t count);
/* The request as it came, head and body, as a C string; NULL: there was none (yet). Borrowed until the end. */
const char *http_script_request(struct http_script *s, size_t at);
/* Lets one step with `hold` answer, one that has come or one that will. */
void http_script_let_go(struct http_script *s);
/* Closes all connections, ends the threads, and fails the test where the script was not followed to its end. */
void http_script_end(struct http_script *s);

#endif
