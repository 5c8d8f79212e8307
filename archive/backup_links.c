/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/backup_impl.h"

enum { LINK_SLOTS = 4096 };

int links_init(struct backup *b, struct error *err)
{
	b->links = calloc(LINK_SLOTS, sizeof(struct link *));
	b->link_slots = LINK_SLOTS;
	return b->links == NULL ? error_no_memory(err, "the table of links") : 0;
}

void link_unref(struct backup *b, struct link *link)
{
	pthread_mutex_lock(&b->lock);
	bool gone = --link->refs == 0;
	pthread_mutex_unlock(&b->lock);
	if (!gone)
		return;
	item_free(b, link->content);
	free(link);
}

void links_release(struct backup *b)
{
	for (size_t i = 0; b->links != NULL && i < b->link_slots; i++) {
		while (b->links[i] != NULL) {
			struct link *link = b->links[i];
			b->links[i] = link->next;
			link_unref(b, link);
		}
	}
	free(b->links);
	b->links = NULL;
}

static struct link **find(struct backup *b, const struct stat *st)
{
	uint64_t h = ((uint64_t)st->st_ino ^ ((uint64_t)st->st_dev << 40)) * UINT64_C(0x9e3779b97f4a7c15);
	struct link **at = &b->links[(h >> 40) & (b->link_slots - 1)];

	while (*at != NULL && ((*at)->ino != st->st_ino || (*at)->dev != st->st_dev))
		at = &(*at)->next;
	return at;
}

/*
 * A file's group keeps the number that its first link had in the parent
 * snapshot; new ones count on from the highest ever given in the dataset, so
 * that two files never share one. The table is the walker's alone.
 */
int links_meet(struct backup *b, struct item *item, const struct stat *st, uint64_t prior_group, struct error *err)
{
	struct link **at = find(b, st), *link = *at;

	if (link == NULL) {
		link = calloc(1, sizeof(*link));
		if (link == NULL)
			return error_no_memory(err, "the table of links");
		*link = (struct link){.dev = st->st_dev,
			.ino = st->st_ino,
			.refs = 1,
			.remaining = st->st_nlink,
			.group = prior_group != 0 ? prior_group : ++b->link_max};
		*at = link;
		item->link_first = true;
	}
	item->link = link;
	item->entry.link_group = link->group;
	link->remaining--;
	bool last = link->remaining == 0;
	pthread_mutex_lock(&b->lock);
	link->refs++;
	pthread_mutex_unlock(&b->lock);
	if (last) {
		*at = link->next;
		link_unref(b, link);
	}
	return 0;
}
