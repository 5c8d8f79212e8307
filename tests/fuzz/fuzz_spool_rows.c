/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "fs/spool/content.h"
#include "fs/spool/index_impl.h"

static int see(void *arg, const char *name, struct error *err)
{
	(void)arg;
	(void)err;
	if (!name[0])
		abort();
	return 0;
}

/* What lies in the spool's index: an inode's row, and the layers in it. An inode that decodes is encoded to the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index_inode inode = INDEX_INODE_INIT, again = INDEX_INODE_INIT;
	struct buf b = {0};

	(void)content_layer_names(data, size, see, NULL, NULL);
	if (index_inode_decode(data, size, &inode)) {
		index_inode_encode(&inode, &b);
		if (buf_failed(&b) || !index_inode_decode(b.data, b.len, &again) || again.size != inode.size ||
			again.layers.len != inode.layers.len)
			abort();
		(void)content_layer_names(inode.layers.data, inode.layers.len, see, NULL, NULL);
	}
	index_inode_release(&inode);
	index_inode_release(&again);
	buf_release(&b);
	return 0;
}
