/* SPDX-License-Identifier: MIT */
/* Marks, and what a revocation says, which is believed once the root key's signature is. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/mark.h"
#include "fuzz_repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct id zero;
	struct signers signers = {.repo = fuzz_repo()};
	struct mark *m = NULL;
	struct buf b = fuzz_statement(KIND_MARK, data, size);
	if (mark_decode(fuzz_repo(), &zero, data, size, &m, NULL) == 0)
		mark_free(m);
	if (mark_decode(fuzz_repo(), &zero, b.data, b.len, &m, NULL) == 0) {
		if (!m->reason || m->kind == 0 || (m->data_len > 0) != (m->data != NULL))
			abort();
		mark_free(m);
	}
	if (signers_revoke(&signers, &zero, data, size, NULL) == 0 && signers.revoked_count == 1)
		signers_find(&signers, &zero, &zero);
	signers_release(&signers);
	buf_release(&b);
	return 0;
}
