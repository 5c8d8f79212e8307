/* SPDX-License-Identifier: MIT */
/* Snapshots: the bytes as they come, and statements that are well signed. What is accepted is encoded and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/snapshot.h"
#include "fuzz_repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bounds that everyone else relies on. */
static void look_at(const struct snapshot *s)
{
	if (s->is_void)
		return;
	if (strlen(s->name) >= SNAPSHOT_NAME_MAX || s->name[0] < '0' || s->name[0] > '9' || strchr(s->name, '/'))
		abort();
	if (snapshot_dataset_ok(s->dataset, NULL) != 0 || s->state > SNAPSHOT_PARTIAL)
		abort();
	if (s->number < 1 || s->number >= 1u << SNAPSHOT_NUMBER_BITS || s->root.ref.depth > CHUNK_DEPTH_MAX)
		abort();
	for (unsigned i = 0; i < s->check_count; i++)
		if (!s->checks[i].path || !s->checks[i].kind || !s->checks[i].reason)
			abort();
}

static void write_and_read(struct snapshot *s, const struct id *id)
{
	struct snapshot *again = NULL;
	struct buf b = {0};
	if (snapshot_encode(fuzz_repo(), s, &b, NULL) == 0) {
		if (snapshot_decode(fuzz_repo(), id, b.data, b.len, &again, NULL) != 0)
			abort();
		if (strcmp(again->dataset, s->dataset) != 0 || memcmp(&again->root, &s->root, sizeof(s->root)) != 0)
			abort();
		snapshot_free(again);
	}
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct id zero;
	struct snapshot *s = NULL, *copy;
	struct buf b = fuzz_statement(KIND_SNAPSHOT, data, size);
	if (snapshot_decode(fuzz_repo(), &zero, data, size, &s, NULL) == 0)
		snapshot_free(s);
	if (snapshot_decode(fuzz_repo(), &zero, b.data, b.len, &s, NULL) == 0) {
		look_at(s);
		copy = snapshot_copy(s);
		if (!copy)
			abort();
		if (!s->is_void)
			write_and_read(copy, &zero);
		snapshot_free(copy);
		snapshot_free(s);
	}
	buf_release(&b);
	return 0;
}
