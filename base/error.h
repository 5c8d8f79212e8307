/* SPDX-License-Identifier: MIT */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * The one error type of drfs: a code from a closed set, and the chain of what
 * was being done when it happened, outermost first.
 *
 * A function that can fail returns 0 or one of the negative codes below, and
 * takes a `struct error *err` as its last argument, which may be NULL. The
 * chain is begun by error_set() where the failure is first seen; callers on
 * the way up may add what they were doing with error_wrap(), and never
 * overwrite. A struct error lives wherever its owner puts it (the stack, as a
 * rule), holds no memory of its own, and is used by one thread at a time.
 *
 * Messages: lower case, no full stop, names in single quotes, what failed
 * first, then on what, then what to do. No secret ever enters one.
 */

#include <stdarg.h>
#include <stddef.h>

/* Why something failed. Retry, caching, errno and exit codes decide on it. */
enum error_code {
	ERR_OK = 0,
	ERR_NOT_FOUND = -1,    /* the thing named does not exist */
	ERR_EXISTS = -2,       /* a create-only name is taken */
	ERR_DENIED = -3,       /* permission or credentials refused */
	ERR_THROTTLED = -4,    /* the store asked to slow down, budget used up */
	ERR_UNAVAILABLE = -5,  /* the store cannot be reached, may come back */
	ERR_CORRUPT = -6,      /* bytes that are not what was written */
	ERR_TIMEOUT = -7,      /* a deadline passed */
	ERR_CANCELLED = -8,    /* the caller's cancel flag was set, or Ctrl-C */
	ERR_IO = -9,           /* the operating system refused, see the text */
	ERR_NO_SPACE = -10,    /* disk or quota full */
	ERR_NO_MEMORY = -11,   /* an allocation failed */
	ERR_USAGE = -12,       /* wrong argument, option or configuration */
	ERR_UNSUPPORTED = -13, /* a newer version or unknown feature; or not possible here */
	ERR_PASSPHRASE = -14,  /* no key slot opens with what was given */
	ERR_BUSY = -15,        /* someone else has it, try later */
	ERR_NO_REPO = -16,     /* there is no repository at that place */
	ERR_VOID = -17,        /* the session was ended by a pruner: begin anew */
	ERR_BUG = -18,         /* cannot happen; says where */
};

enum { ERROR_TEXT_MAX = 1000 };

/* Public so that it can live on the stack; fields are read through the functions below. */
struct error {
	enum error_code code;
	int sys_errno;             /* the errno behind it, or 0 */
	unsigned used;             /* bytes of text in use, without the final NUL */
	char text[ERROR_TEXT_MAX]; /* the chain, outermost first, joined by ": " */
};

#define ERROR_INIT ((struct error){0})

/* Begin a chain in `err` (may be NULL) with `code` and a message. Returns `code`. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * As error_set(), with a code chosen from `sys_errno` (ENOENT: ERR_NOT_FOUND,
 * ENOSPC and EDQUOT: ERR_NO_SPACE, EACCES, EPERM and EROFS: ERR_DENIED, EEXIST: ERR_EXISTS,
 * ENOMEM: ERR_NO_MEMORY, otherwise ERR_IO) and ": strerror" appended. Returns the code.
 */
int error_set_errno(struct error *err, int sys_errno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put what the caller was doing before the chain. Returns err's code, or `code` where err is NULL. */
int error_wrap(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ERR_NO_MEMORY for `what`. */
int error_no_memory(struct error *err, const char *what);

/* The whole chain as one line; "no error" for an empty one. Borrowed from err. */
const char *error_text(const struct error *err);

/* Forget everything, so that err can be used again. */
void error_clear(struct error *err);

/* The stable name of a code, as "not-found". Never NULL. */
const char *error_code_name(int code);

/* True for what may succeed when tried again: throttled, unavailable, timeout. */
int error_is_retryable(int code);

#endif
