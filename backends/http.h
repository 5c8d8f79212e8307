/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_HTTP_H
#define BACKENDS_HTTP_H

/*
 * Requests over HTTP, for all stores that speak it: one engine on libcurl's
 * multi interface.
 *
 * An engine has one thread that drives all its transfers over connections that
 * are kept. http_run() may be called by any thread and blocks until the answer
 * is there; it sends again what may be sent again, waiting in between by full
 * jitter, and asks a second time for a small read that is late. How many
 * transfers run at once adapts: one more while answers come, fewer when the
 * server says that it is too much.
 *
 * The engine knows no store: what a request looks like and what an answer means
 * is said by two functions of the caller's, which are called in the calling
 * thread. A message is made anew for every attempt, as signatures carry the time.
 *
 * TLS is verified. Proxies are taken from the usual variables (http_proxy, https_proxy,
 * all_proxy, no_proxy), by libcurl.
 * Nothing that is sent or received is ever logged but the method, the host and
 * the path without its query, the status and how long it took.
 *
 * Errors: ERR_CANCELLED, ERR_TIMEOUT (the call's deadline), ERR_UNAVAILABLE
 * (no answer after all attempts), ERR_THROTTLED, ERR_NO_MEMORY; and what judge() sets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/store.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"

enum {
	HTTP_TEXT_MAX = 1 << 20, /* of an answer that is no object: a page of a listing, an error */
	HTTP_HEADERS_MAX = 32 << 10,
	HTTP_ATTEMPTS = 10, /* some 25 s of waiting at most, half of it as a rule */
	HTTP_BROKEN_MAX = 256,
};

struct http;

struct http_options {
	struct log *log;     /* may be NULL */
	const char *ca_file; /* NULL: the system's */
	unsigned parallel;   /* transfers at once at most; 0: 64 */
	unsigned attempts;   /* of one request; 0: HTTP_ATTEMPTS */
	unsigned budget;     /* repetitions of all requests before one of them must have helped; 0: 4 * parallel */
	int64_t connect_ns;  /* 0: 5 s */
	int64_t stall_ns;    /* a transfer that moves (next to) nothing for so long is given up; 0: 20 s */
	int64_t backoff_ns;  /* of the first repetition, at most; 0: 50 ms (throttled: 20 times that) */
	bool no_proxy;       /* for addresses of the machine's own (metadata servers) */
};
/* `options` and its strings are borrowed for the call, but for the log. Starts a thread. ERR_NO_MEMORY, ERR_IO. */
int http_new(const struct http_options *options, struct http **ret, struct error *err);
/* No call may be under way. NULL is a no-op. */
void http_free(struct http *h);

/* ---- a request ---- */

/* What one attempt sends. Strings are copied; secrets in headers are wiped. */
struct http_message {
	const char *method; /* a constant */
	struct buf url;     /* with its NUL; goes out byte by byte as it is */
	struct buf headers; /* "name: value" each with its NUL */
	bool head;          /* the answer has no body */
};
/*
 * Appends a header; an empty value is sent as one. Failing shows in the buffer; a value that holds the end of a line
 * makes http_run() fail with ERR_USAGE.
 */
void http_header_add(struct http_message *m, const char *name, const char *value);

/* What came back. */
struct http_answer {
	int status;                   /* 0: there was no whole answer; `broken` says why */
	char broken[HTTP_BROKEN_MAX]; /* libcurl's words */
	bool hopeless;                /* with status 0: asking again does not help (a certificate, a URL) */
	bool sent;                    /* with status 0: the request may have reached the server */
	uint64_t len;                 /* bytes of the body that came */
	bool over;                    /* there were more of them than asked for: the rest was not read */
	struct buf headers;           /* of the last answer, "name: value" each with its NUL, names in lower case */
	struct buf text;              /* the body, where it was not put to the call's `dst` */
	int64_t date;                 /* the Date header, ns since 1970; 0: none */
	unsigned attempt;             /* from 0 */
};
/* Frees what it holds, wiping the text, and zeroes it. */
void http_answer_release(struct http_answer *a);
/* NULL: none. The first one of that name (in lower case). */
const char *http_answer_header(const struct http_answer *a, const char *name);

enum http_verdict {
	HTTP_DONE,      /* what was wanted */
	HTTP_FAILED,    /* err is set; not again */
	HTTP_AGAIN,     /* later, by full jitter */
	HTTP_THROTTLED, /* later still, and fewer at once */
	HTTP_AT_ONCE,   /* something was put right (clock, credentials, region): a few times at most */
};

struct http_call {
	const struct store_call *limits; /* may be NULL */
	const char *what;                /* for messages: what is done, on what, where */
	/* Once an attempt, and once more for its second request; always in the calling thread. */
	int (*prepare)(void *arg, unsigned attempt, struct http_message *m, struct error *err);
	/* Sets err for all verdicts but HTTP_DONE: of the last attempt it is what the caller gets. */
	enum http_verdict (*judge)(void *arg, const struct http_answer *a, struct error *err);
	void *arg;
	const struct store_body *body; /* sent; NULL: none */
	void *dst;                     /* a 2xx answer's body goes here, up to dst_len; what is more breaks it off */
	size_t dst_len;
	bool hedge;      /* a late answer is asked for a second time over another connection (a small read) */
	bool repeatable; /* may be sent again when it is not known whether it arrived */
};

/* The last answer in *ret, which the caller releases in any case (zeroed before). */
int http_run(struct http *h, const struct http_call *call, struct http_answer *ret, struct error *err);

/* What http_judge_status() makes of a status that means the same everywhere: 2xx done, 408, 429 and 5xx later. */
enum http_verdict http_judge_status(const struct http_answer *a, const char *what, struct error *err);

/* ---- figures ---- */

struct http_metrics {
	uint64_t requests; /* attempts that were sent, hedged ones too */
	uint64_t repeated, hedged, hedges_won, throttled;
	uint64_t failed; /* calls that were given up without an answer that says more than "later" */
	uint64_t sent_bytes, received_bytes; /* of bodies */
	uint64_t connections;                /* made */
	unsigned limit;                      /* transfers at once, now */
};
/* Counted since http_new(). Any thread. */
void http_get_metrics(struct http *h, struct http_metrics *ret);

#endif
