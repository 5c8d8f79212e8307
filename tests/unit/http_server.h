/* SPDX-License-Identifier: MIT */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

/*
 * A small HTTP server for tests that need a say in what happens on each
 * connection: a function of the test's is called for every request, by the
 * connection's own thread, and answers, tears the connection down, or holds it
 * until the test opens the gate. Over TLS, when told so, with a certificate
 * that is made on the spot.
 *
 * A request's thread may use its peer only while the function runs. Failures of
 * the server itself end the test program: there is nothing to test then.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_peer;

struct http_seen {
	unsigned number;     /* of all requests, from 1 */
	unsigned connection; /* of all connections, from 1 */
	char method[16];
	char target[1024];
	const char *headers; /* as they came, up to the empty line */
	const uint8_t *body;
	size_t body_len;
};

typedef void http_server_fn(void *arg, struct http_peer *peer, const struct http_seen *seen);

/* Listens on a free port of 127.0.0.1. `tls_folder`: the certificate goes there, as "cert.pem"; NULL: without TLS. */
struct http_server *http_server_start(http_server_fn *fn, void *arg, const char *tls_folder);
/* Ends all connections and waits for all threads. */
void http_server_stop(struct http_server *s);
/* "http://127.0.0.1:1234" */
const char *http_server_url(const struct http_server *s);
unsigned http_server_requests(struct http_server *s);
unsigned http_server_connections(struct http_server *s);
/* Waits until so many requests have come. */
void http_server_await(struct http_server *s, unsigned requests);
/* Lets all go on that hold now or later. */
void http_server_open(struct http_server *s);

/* Bodies are read at some 500 KiB/s from now on; before the first connection. */
void http_server_read_slowly(struct http_server *s);

/* ---- for the function ---- */

/* The value of a header (any case), "" when it is empty; false: there is none. */
bool http_seen_header(const struct http_seen *seen, const char *name, char *dst, size_t size);
/* Bytes as they are, to the connection. */
void http_send(struct http_peer *peer, const void *data, size_t len);
void http_say(struct http_peer *peer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A whole answer. `headers` are lines that each end in CR LF, or "". */
void http_answer(struct http_peer *peer, int status, const char *headers, const void *body, size_t len);
/* Until the gate is opened, or the server stops. */
void http_hold(struct http_peer *peer);
/* At most so many ms, or until the server stops: the pace of a slow line. */
void http_drip_pause(struct http_peer *peer, unsigned ms);
/* True once the server stops or the other side is gone. */
bool http_gone(struct http_peer *peer);
/* The connection ends after this request: in order, or with a reset. */
void http_hang_up(struct http_peer *peer);
void http_reset(struct http_peer *peer);

#endif
