/* SPDX-License-Identifier: MIT */
#ifndef FS_FOLLOW_H
#define FS_FOLLOW_H

/*
 * Request threads keep to the core of the one who asks.
 *
 * A caller sleeps until its small request is answered. When the answering
 * thread lies on another core, that core must be woken first, and the caller's
 * after it, both out of idle: on a virtual machine some 100 us, where a switch
 * on one core takes 10. find, cp and rsync ask for one small thing after the
 * other, and the scheduler, seeing an idle core, puts the two apart. So, now
 * and then, the core that the caller last ran on is looked up in /proc, and
 * all request threads are bound to it while it stays the same.
 *
 * They are set free again (all cores that the process may use) when callers on
 * different cores ask by turns, or when much is read or written at once: there
 * the kernel's copying and the caller's own work run better side by side.
 *
 * Whether a core is dear to wake differs from machine to machine and from hour
 * to hour, and a caller may be moved about faster than it can be followed. So
 * it is measured: in every run of small requests some are answered the other
 * way, bound or free, and what takes the caller less time is kept.
 *
 * Threads made by a bound thread would be bound too: host_thread() makes them
 * with the main thread's cores.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FOLLOW_FREE = -1 };

/* ---- what to do, by what was seen; of one thread at a time ---- */

struct follow_rule {
	pid_t caller; /* who asked when it was last looked */
	int core;     /* where it had run */
	int home;     /* what was decided: a core or FOLLOW_FREE */
	unsigned same, strikes;
};
#define FOLLOW_RULE_INIT ((struct follow_rule){.core = FOLLOW_FREE, .home = FOLLOW_FREE})

/* One look: `core` FOLLOW_FREE where it could not be told; `bulk`: much went through since the last. Returns home. */
int follow_judge(struct follow_rule *rule, pid_t caller, int core, bool bulk);

/* ---- what it is worth, measured; of one thread at a time ---- */

enum follow_way { FOLLOW_BOUND, FOLLOW_LOOSE };

struct follow_trial {
	enum follow_way way, kept; /* what is done now; what was found better */
	int64_t cost[2];           /* ns a look, last found; 0: not yet */
	int64_t sum, last;         /* of this window; when the last look was (0: none to go by) */
	unsigned looks, windows;   /* in this window; since the last trial */
	pid_t caller;
};
#define FOLLOW_TRIAL_INIT ((struct follow_trial){.way = FOLLOW_BOUND, .kept = FOLLOW_BOUND})

/*
 * A look at the moment `now` (ns of any clock that does not go back) at which the rule would have threads bound. What
 * to do until the next.
 */
enum follow_way follow_weigh(struct follow_trial *t, pid_t caller, int64_t now);
/* A look at which it would not: the next one's distance says nothing. */
void follow_weigh_none(struct follow_trial *t);

/* ---- the threads ---- */

struct follow;
/* NULL: it is not worth it here (one core), or no memory for it. follow_free() after the threads ended. */
struct follow *follow_new(void);
void follow_free(struct follow *f);
/*
 * A request of `caller` (a thread's number; 0: not known) has come to the calling thread, with `bytes` of a file's
 * content to be moved. Any thread; waits for nobody. A NULL f is a no-op.
 */
void follow_request(struct follow *f, pid_t caller, size_t bytes);

#endif
