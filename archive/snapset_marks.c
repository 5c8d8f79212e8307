/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/snapset_internal.h"

int snapset_signers(struct signers *signers, struct mark *const *marks, size_t count, struct error *err)
{
	int rc = 0;
	signers_forget_revoked(signers);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (marks[i]->kind == MARK_REVOKED)
			rc = signers_revoke(signers, &marks[i]->subject, marks[i]->data, marks[i]->data_len, err);
	return rc;
}

/* By subject, then in the order in which they were made. */
static int compare_marks(const void *a, const void *b)
{
	const struct mark *x = *(struct mark *const *)a, *y = *(struct mark *const *)b;
	int order = id_compare(&x->subject, &y->subject);
	if (order != 0)
		return order;
	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

/* Index of the first mark about `subject`, or where it would stand. */
static size_t first_mark(const struct snapset_private *p, const struct id *subject)
{
	size_t low = 0, high = p->mark_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (id_compare(&p->marks[middle]->subject, subject) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What the marks say of one snapshot: of hold and unhold, damaged and undamaged the last counts; forgotten is for ever.
 */
static void apply(const struct snapset_private *p, struct snapshot *s)
{
	s->forgotten = s->held = s->verified = false;
	s->state = s->stated_state;
	for (size_t i = first_mark(p, &s->id); i < p->mark_count && id_equal(&p->marks[i]->subject, &s->id); i++) {
		switch (p->marks[i]->kind) {
		case MARK_HOLD:
			s->held = true;
			break;
		case MARK_UNHOLD:
			s->held = false;
			break;
		case MARK_FORGET:
			s->forgotten = true;
			break;
		case MARK_VERIFIED:
			s->verified = true;
			break;
		case MARK_DAMAGED:
			s->state = SNAPSHOT_DAMAGED;
			break;
		case MARK_UNDAMAGED:
			s->state = s->stated_state;
			break;
		case MARK_REVOKED:
		case MARK_REPLICAS:
		case MARK_GENERATION:
		case MARK_DRILL:
			break;
		}
	}
}

static int list_forgotten(struct snapset *set, struct error *err)
{
	struct id_list forgotten = {0};
	for (size_t i = 0; i < set->priv->mark_count; i++)
		if (set->priv->marks[i]->kind == MARK_FORGET &&
			!id_list_add(&forgotten, &set->priv->marks[i]->subject)) {
			id_list_release(&forgotten);
			return error_no_memory(err, "the snapshots");
		}
	id_list_sort(&forgotten);
	set->forgotten = forgotten.ids;
	set->forgotten_count = forgotten.count;
	return 0;
}

int snapset_apply_marks(struct snapset *set, struct snapshot **all, size_t count, struct error *err)
{
	struct snapset_private *p = set->priv;
	struct snapshot **list = calloc(count + 1, sizeof(*list));
	struct snapshot **hidden = calloc(count + 1, sizeof(*hidden));
	if (p->mark_count > 1)
		qsort(p->marks, p->mark_count, sizeof(*p->marks), compare_marks);
	int rc = list && hidden ? list_forgotten(set, err) : error_no_memory(err, "the snapshots");
	if (rc != 0) {
		free(list);
		free(hidden);
		return rc;
	}
	for (size_t i = 0; i < count; i++) {
		apply(p, all[i]);
		if (all[i]->forgotten)
			hidden[p->hidden_count++] = all[i];
		else
			list[set->count++] = all[i];
	}
	set->list = list;
	p->hidden = hidden;
	qsort(list, set->count, sizeof(*list), snapset_order);
	qsort(hidden, p->hidden_count, sizeof(*hidden), snapset_order);
	return 0;
}
