/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "archive/reader_impl.h"
#include "base/clock.h"

/*
 * A fresh page costs more than decoding into it, so buffers are used again. They come in sizes of eighths of powers of
 * two; below the smallest the heap is good enough.
 */
enum { MAPPED_SHIFT = 16, MAPPED_MIN = 1 << MAPPED_SHIFT, STEPS_SHIFT = 3, STEPS = 1 << STEPS_SHIFT, FIT_STEPS = 3 };
enum { HEAP_OVERHEAD = 32, PAGE = 4096 };
/* Nothing let go for so long, or no luck for so long, and who waits goes over the cap. */
static const int64_t room_patience = CLOCK_SECOND, room_patience_total = 10 * CLOCK_SECOND;

/* A buffer that is kept; it stands in the buffer's own first bytes. */
struct idle {
	struct idle *next;
	size_t cap;
};

static unsigned class_of(size_t len)
{
	unsigned shift = 63u - (unsigned)__builtin_clzll(len);
	size_t step = (size_t)1 << (shift - STEPS_SHIFT);
	size_t steps = (len - ((size_t)1 << shift) + step - 1) / step;
	return (shift - MAPPED_SHIFT) * STEPS + (unsigned)steps;
}

static size_t class_size(unsigned class)
{
	return (size_t)(STEPS + class % STEPS) << (class / STEPS + MAPPED_SHIFT - STEPS_SHIFT);
}

size_t room_charge(size_t len)
{
	return len < MAPPED_MIN ? len + HEAP_OVERHEAD : class_size(class_of(len));
}

void reader_lock(struct reader *r)
{
	pthread_mutex_lock(&r->lock);
}

void reader_unlock(struct reader *r)
{
	struct idle *bufs = r->dead_bufs;
	struct slot *slots = r->dead_slots;

	r->dead_bufs = NULL;
	r->dead_slots = NULL;
	pthread_mutex_unlock(&r->lock);
	while (bufs != NULL) {
		struct idle *next = bufs->next;
		munmap(bufs, bufs->cap);
		bufs = next;
	}
	slot_free_list(slots);
}

bool room_try_locked(struct reader *r, size_t n, bool ahead)
{
	/* What nobody waits for yet leaves half of the cap alone, and never overtakes who waits. */
	if (ahead && (r->room_waiters > 0 || n > r->cap / 2 || r->flight > r->cap / 2 - n))
		return false;
	while (r->live + n > r->cap)
		if (!cache_evict_locked(r, ahead))
			return false;
	r->live += n;
	return true;
}

static void wait_until(struct reader *r, int64_t deadline)
{
	struct timespec at = {.tv_sec = (time_t)(deadline / CLOCK_SECOND), .tv_nsec = (long)(deadline % CLOCK_SECOND)};

	pthread_cond_timedwait(&r->room, &r->lock, &at);
}

void room_wait_locked(struct reader *r, size_t n)
{
	int64_t begun = clock_monotonic();

	if (r->room_waiters++ == 0)
		r->room_moved = begun;
	while (!room_try_locked(r, n, false)) {
		if (fetch_drop_locked(r))
			continue;
		int64_t now = clock_monotonic();
		if (now - r->room_moved >= room_patience || now - begun >= room_patience_total) {
			r->live += n;
			r->room_moved = now;
			break;
		}
		wait_until(r, r->room_moved + room_patience);
	}
	r->room_waiters--;
}

void room_give_locked(struct reader *r, size_t n)
{
	r->live -= n;
	if (r->room_waiters > 0) {
		r->room_moved = clock_monotonic();
		pthread_cond_broadcast(&r->room);
	}
}

/* What is largest goes first. */
static void trim_one_locked(struct reader *r)
{
	unsigned c = ROOM_CLASSES - 1;

	while (r->idles[c] == NULL)
		c--;
	struct idle *b = r->idles[c];
	r->idles[c] = b->next;
	r->idle -= b->cap;
	b->next = r->dead_bufs;
	r->dead_bufs = b;
}

static void trim_locked(struct reader *r)
{
	while (r->idle > 0 && r->live + r->idle > r->cap)
		trim_one_locked(r);
}

/* One that was used before, of that size or a little larger. */
static bool reuse_locked(struct reader *r, size_t len, struct room_buf *ret)
{
	unsigned class = class_of(len);

	for (unsigned c = class; c < ROOM_CLASSES && c <= class + FIT_STEPS; c++) {
		struct idle *b = r->idles[c];
		size_t more = class_size(c) - class_size(class);
		if (b == NULL)
			continue;
		if (more > 0 && r->live + more > r->cap)
			return false;
		r->idles[c] = b->next;
		r->idle -= b->cap;
		r->live += more;
		*ret = (struct room_buf){.data = (uint8_t *)b, .cap = b->cap};
		return true;
	}
	return false;
}

/* Takes a charge out of *spare, or where that is too small out of nothing. */
static void pay_locked(struct reader *r, size_t n, size_t *spare)
{
	if (n > *spare) {
		r->live += n - *spare;
		*spare = n;
	}
	*spare -= n;
}

/*
 * A page that is touched for the first time costs the kernel's way in and out; many of them at once cost half of that.
 * A kernel that does not know the advice (before 5.14) is as slow as before.
 */
void room_buf_touch(const struct room_buf *b, size_t from, size_t to)
{
#ifdef MADV_POPULATE_WRITE
	from &= ~(size_t)(PAGE - 1);
	to = (to < b->cap ? to : b->cap) & ~(size_t)(PAGE - 1);
	if (b->cap >= MAPPED_MIN && from < to)
		(void)madvise(b->data + from, to - from, MADV_POPULATE_WRITE);
#else
	(void)b, (void)from, (void)to;
#endif
}

bool room_buf_new(struct reader *r, size_t len, size_t soon, size_t *spare, struct room_buf *ret)
{
	struct room_buf b = {.cap = len};
	bool mapped = len >= MAPPED_MIN;
	bool reused = false;

	reader_lock(r);
	pay_locked(r, room_charge(len), spare);
	if (mapped) {
		reused = reuse_locked(r, len, &b);
		if (!reused)
			trim_locked(r);
	}
	reader_unlock(r);
	if (!reused && mapped) {
		b.cap = room_charge(len);
		void *p = mmap(NULL, b.cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		b.data = p == MAP_FAILED ? NULL : p;
		if (b.data != NULL)
			room_buf_touch(&b, 0, soon);
	} else if (!reused) {
		b.data = malloc(len == 0 ? 1 : len);
	}
	if (b.data == NULL) {
		*spare += room_charge(len);
		return false;
	}
	*ret = b;
	return true;
}

void room_buf_free_locked(struct reader *r, struct room_buf *b)
{
	if (b->data == NULL)
		return;
	size_t charge = room_charge(b->cap);
	if (b->cap < MAPPED_MIN) {
		free(b->data);
	} else {
		struct idle *idle = (struct idle *)(void *)b->data;
		unsigned class = class_of(b->cap);
		idle->cap = b->cap;
		idle->next = r->idles[class];
		r->idles[class] = idle;
		r->idle += b->cap;
	}
	*b = (struct room_buf){0};
	room_give_locked(r, charge);
	trim_locked(r);
}

void room_buf_free(struct reader *r, struct room_buf *b)
{
	if (b->data == NULL)
		return;
	reader_lock(r);
	room_buf_free_locked(r, b);
	reader_unlock(r);
}

void room_release(struct reader *r)
{
	reader_lock(r);
	while (r->idle > 0)
		trim_one_locked(r);
	reader_unlock(r);
}
