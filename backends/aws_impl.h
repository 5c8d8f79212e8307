/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_AWS_IMPL_H
#define BACKENDS_AWS_IMPL_H

/*
 * Inside aws_credentials: the places where keys may be, each a function that
 * returns 0 with keys, AWS_NOTHING with a note of why there were none, or an
 * error where there should have been some. They are called by one thread at a
 * time, the one whose struct aws_fetch it is; none holds a lock.
 */

#include <pthread.h>

#include "backends/aws_credentials.h"

enum {
	AWS_NOTHING = 1,           /* not here: look on */
	AWS_TOKEN_MOST = 64 << 10, /* of a token's file, an answer, what a command prints */
	AWS_CHAIN_MOST = 8,        /* profiles that lead to each other */
};

/* ---- aws_ini.c: a file of profiles. Pure. ---- */

struct aws_ini_entry {
	char *section, *name, *value; /* name "": the section's own line */
};
struct aws_ini {
	struct aws_ini_entry *list;
	size_t count, room;
};
/*
 * `path` is for messages. Names come out in lower case; what is indented below "s3 =" as "s3.name"; "[profile 'x']" as
 * "profile x". ERR_USAGE names the line, never what is in it. *ret is to be released in any case.
 */
int aws_ini_parse(const char *path, const char *text, size_t len, struct aws_ini *ret, struct error *err);
/* The last one of that name; NULL: none, or empty. Borrowed. */
const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *name);
/* Is there such a section, be it empty? */
bool aws_ini_has(const struct aws_ini *ini, const char *section);
/* Wipes. */
void aws_ini_release(struct aws_ini *ini);

/* ---- aws_files.c: both files ---- */

struct aws_file {
	char *path;    /* NULL: HOME is not set */
	char why[120]; /* it was not read; "" it was */
	struct aws_ini ini;
};
struct aws_files {
	struct aws_file credentials, config;
};
/* What is missing or, unless a variable names it, cannot be read is noted in `why`. *ret is to be released. */
int aws_files_load(const struct aws_options *o, struct aws_files *ret, struct error *err);
/* Wipes. */
void aws_files_release(struct aws_files *files);
/* Is the profile in one of them? */
bool aws_files_has(const struct aws_files *files, const char *profile);
/* A value of the profile, the credentials file first; NULL: none. Borrowed. */
const char *aws_files_get(const struct aws_files *files, const char *profile, const char *name);
/* Likewise of one file. */
const char *aws_file_get(
	const struct aws_files *files, const struct aws_file *one, const char *profile, const char *name);
/* `name`: of a setting, as in aws_setting(). */
const char *aws_profile_setting(const struct aws_files *files, const char *profile, const char *name);
/* "'/a' or '/b' (no such file)", for messages. Returns dst. */
const char *aws_files_names(const struct aws_files *files, char *dst, size_t room);
/* All of a small file as a C string in a buffer to be wiped, without white space at its end. */
int aws_read_secret(const char *path, size_t most, struct buf *ret, struct error *err);

/* ---- aws_keys.c ---- */

/* As they were read. */
struct aws_raw {
	const char *access, *secret, *token; /* NULL: not there */
	const char *expires;                 /* RFC 3339; NULL: never */
};
/* Checked copies. ERR_USAGE: one is missing, or is none that can be sent. */
int aws_keys_make(const struct aws_raw *raw, const char *source, struct aws_keys *ret, struct error *err);
/* A copy that the caller releases. ERR_NO_MEMORY. */
int aws_keys_copy(const struct aws_keys *keys, struct aws_keys *ret, struct error *err);
/* Are they the same to a server? */
bool aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b);
/* The JSON of containers and instances and, `versioned`, of commands. */
int aws_keys_from_json(
	const void *text, size_t len, bool versioned, const char *source, struct aws_keys *ret, struct error *err);

/* ---- aws_credentials.c ---- */

struct aws_credentials {
	struct aws_options o;
	char *profile, *sts_endpoint; /* owned */
	bool asked;                   /* for this profile, by the caller or AWS_PROFILE */
	struct aws_files files;       /* as they were in the beginning, for settings */
	struct http *local;           /* made by who fetches, when it is needed; past all proxies */
	pthread_mutex_t lock;         /* guards all below */
	pthread_cond_t wake;
	bool fetching, has, fixed; /* fixed: these keys will be the same for ever */
	struct aws_keys keys;
	struct aws_keys refused; /* those that the server did not want, last */
	bool came_back;          /* and that were found again */
	int64_t fetched, failed; /* when, last; 0: never */
	uint64_t flights;
	struct error last; /* of the last flight */
};

struct aws_fetch {
	struct aws_credentials *c;
	const struct store_call *limits;
	struct aws_files files; /* as they are now */
	bool fixed;
	const char *chain[AWS_CHAIN_MOST]; /* profiles on the way */
	unsigned depth;
	char trail[700]; /* where nothing was */
};
/* ns since 1970. */
int64_t aws_now(const struct aws_options *o);
/* Adds to the trail; returns AWS_NOTHING. */
int aws_note(struct aws_fetch *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- aws_sources.c ---- */

/* All places in their order. */
int aws_fetch_keys(struct aws_fetch *f, struct aws_keys *ret, struct error *err);
/* AWS_ACCESS_KEY_ID and its companions. */
int aws_from_environment(struct aws_fetch *f, struct aws_keys *ret, struct error *err);

/* ---- aws_profile.c, aws_process.c ---- */

/* The profile that was asked for, or the default one, with all that it leads to. */
int aws_from_profile(struct aws_fetch *f, struct aws_keys *ret, struct error *err);
/* Runs it by sh(1) for at most a minute. */
int aws_from_process(
	struct aws_fetch *f, const char *command, const char *source, struct aws_keys *ret, struct error *err);

/* ---- aws_cloud.c ---- */

/* The agent that the container's variables name. */
int aws_from_container(struct aws_fetch *f, struct aws_keys *ret, struct error *err);
/* The metadata service of an instance: version 2, and 1 where a token is refused. */
int aws_from_instance(struct aws_fetch *f, struct aws_keys *ret, struct error *err);
/* Where the container's keys are, with a NUL; AWS_NOTHING: no variable says so. ERR_USAGE: nowhere that may be asked.
 */
int aws_container_url(struct aws_fetch *f, struct buf *ret, struct error *err);

/* ---- aws_sts.c, aws_sts_xml.c ---- */

struct aws_role {
	const char *arn;
	const char *session_name;                        /* NULL: one of ours */
	const char *external_id, *duration, *token_file; /* NULL: none */
	const char *source;                              /* for messages, and of the keys */
};
/* AssumeRoleWithWebIdentity, unsigned, with what is in token_file now. */
int aws_sts_web_identity(struct aws_fetch *f, const struct aws_role *role, struct aws_keys *ret, struct error *err);
/* AssumeRole, signed by `by`. */
int aws_sts_assume(struct aws_fetch *f, const struct aws_role *role, const struct aws_keys *by, struct aws_keys *ret,
	struct error *err);

enum { AWS_FAULT_TEXT = 300 };
/* What STS answered. Texts are bounded; control characters in the message become '?'. */
struct aws_sts_answer {
	struct buf access, secret, token, expires; /* C strings; empty: not there */
	char code[64], message[AWS_FAULT_TEXT];
};
/* False: it is no answer of STS. To be released in any case. */
bool aws_sts_parse(const void *text, size_t len, struct aws_sts_answer *ret);
/* Wipes. */
void aws_sts_answer_release(struct aws_sts_answer *a);

/* ---- aws_ask.c: a question by HTTP ---- */

struct aws_question {
	const char *what; /* for messages */
	const char *method, *url;
	const struct buf *headers; /* "name: value" each with its NUL; NULL: none */
	const struct buf *body;    /* NULL: none */
	bool sts;                  /* a service of the net, not of the machine */
};
/* 0 with any answer but 408, 429 and 5xx, which were asked again. The answer is the caller's to release. */
int aws_ask(struct aws_fetch *f, const struct aws_question *q, struct http_answer *ret, struct error *err);
/* Appends "name: value". */
void aws_put_header(struct buf *b, const char *name, const char *value);
/* Appends without a NUL. */
void aws_put_text(struct buf *b, const char *text);

#endif
