/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_HTTP_IMPL_H
#define BACKENDS_HTTP_IMPL_H

/*
 * Inside the engine. A transfer is one attempt: made by the thread that calls
 * http_run(), handed to the engine's thread by http_submit(), and back when it
 * is `done`. In between only the engine's thread touches it, but for
 * `abandoned`, which is under the engine's lock.
 */

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "backends/http.h"

enum { HTTP_KEPT = 1024, HTTP_IDLE_EASY = 32, HTTP_HEDGE_MAX = 512 << 10 };

/* Shared by a call's transfers: who waits for them. */
struct http_waiter {
	pthread_cond_t wake; /* with the engine's lock */
};

struct http_transfer {
	struct http_transfer *next; /* queued, or to be looked at */
	struct http_waiter *waiter;
	struct http *engine;
	int fd, opened; /* its socket; one that was made for it: -1 where not known */
	CURL *easy;
	struct curl_slist *headers;
	struct http_message message;
	const struct store_body *body;
	uint64_t sent; /* of the body, in this attempt */
	uint8_t *dst;  /* of a 2xx answer; NULL: to answer.text */
	size_t dst_len;
	bool to_dst, over; /* it is an object's bytes; there were more than asked for */
	bool short_body;   /* the file to be sent ended before its length */
	bool twin;         /* the second of two: before others, by a new look-up of the name */
	bool stale;        /* the kept connection that it got is of no use */
	bool fresh;        /* over a connection of its own */
	bool abandoned;    /* nobody wants the answer */
	bool done;
	int code;             /* CURLcode */
	int64_t began, ended; /* 0: it waits for its turn */
	/* Whether it stalls: what moved, and how much of it, and since when, at the last look. */
	uint64_t moved, moved_then;
	int unsent_then; /* bytes that the kernel had still to send */
	int64_t looked;
	char words[CURL_ERROR_SIZE];
	struct http_answer answer;
};

/* How long small reads take, and how many may be asked for twice. Under the engine's lock. */
struct http_pace {
	int64_t mean, spread; /* ns, smoothed; 0: nothing known */
	unsigned seen;        /* reads, up to what is enough to go by */
	double hedges;        /* that may be spent */
};

struct http {
	struct http_options o;
	char *ca_file;
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	bool closing;
	bool unwanted; /* one that runs was abandoned */
	struct http_transfer *queue, **queue_end;
	struct http_transfer *running; /* by next */
	unsigned count;                /* of running ones */
	double limit;
	int64_t narrowed; /* when the limit was taken down last */
	double tokens;    /* repetitions that may be made */
	double tokens_most;
	struct http_pace pace;
	struct http_metrics metrics;
	CURL *idle[HTTP_IDLE_EASY];
	unsigned idle_count;
	/* The engine's thread alone. */
	int64_t look_at;     /* when to look for stalled ones */
	int kept[HTTP_KEPT]; /* sockets by their local port, if it is (still) theirs; else -1 */
};

/* ---- http_attempt.c ---- */

/* One attempt, with its twin where it is late. 0 with an answer, whose status may be 0. */
int http_attempt(
	struct http *h, const struct http_call *call, unsigned attempt, struct http_answer *ret, struct error *err);
/* ERR_CANCELLED, ERR_TIMEOUT: the call must end. */
int http_go_on(const struct http_call *call, struct error *err);

/* ---- http_transfer.c: with no lock ---- */

/* Sets up the handle. ERR_NO_MEMORY. */
int http_transfer_begin(struct http *h, struct http_transfer *t, CURL *easy, struct error *err);
/* Fills in the answer after `code` is known. */
void http_transfer_end(struct http_transfer *t);
/* It was stopped before it began, for the connection's sake: true, and it may begin anew over another one. */
bool http_transfer_renew(struct http_transfer *t);
/* Has too little moved for `stall_ns`? By the engine's thread, while it runs. */
bool http_transfer_stalls(struct http_transfer *t, int64_t now, int64_t stall_ns);
/* Frees it, wiping its headers. It must be done, or never have been submitted. */
void http_transfer_release(struct http_transfer *t);

/* ---- http_engine.c ---- */

/* Makes the multi handle and the thread; nothing is left behind where it fails. */
int http_engine_start(struct http *h, struct error *err);
/* Ends the thread; no transfer may be in its hands. Without a started engine a no-op. */
void http_engine_stop(struct http *h);
/* The engine has it until it is done; takes a handle from the idle ones. */
int http_submit(struct http *h, struct http_transfer *t, struct error *err);
/* Waits until one of them is done, or the moment has come (monotonic ns). With the lock held. */
void http_wait_locked(struct http *h, struct http_waiter *w, int64_t until);
/* Nobody wants it any more; returns when the engine has let go of it. Without the lock. */
void http_abandon(struct http *h, struct http_transfer *t);
/* The server said that it is too much. Without the lock. */
void http_narrow(struct http *h);

/* ---- http_pace.c: pure, under the engine's lock ---- */

/* A small read took so many ns; it earns a share of a second request. */
void http_pace_note(struct http_pace *p, int64_t took);
/* After how long a small read is late. */
int64_t http_pace_late(const struct http_pace *p);
/* Takes one second request from what was earned; false: there is none. */
bool http_pace_spend(struct http_pace *p);
/* Full jitter: of the `attempt`-th repetition, at most; `random` from 0 to UINT64_MAX. */
int64_t http_pace_backoff(int64_t base, unsigned attempt, uint64_t random);

#endif
