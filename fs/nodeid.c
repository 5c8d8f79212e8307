/* SPDX-License-Identifier: MIT */
#include "fs/nodeid.h"

enum { SPACE_SHIFT = 62, NUMBER_SHIFT = 33, SPACE_VIRTUAL = 0, SPACE_SNAPSHOT = 1, SPACE_WORK = 2 };

static const uint64_t high_half = UINT64_C(1) << 32;

static uint64_t compose(unsigned space, uint32_t number, bool bit, uint32_t low)
{
	return (uint64_t)space << SPACE_SHIFT | (uint64_t)number << NUMBER_SHIFT | (bit ? high_half : 0) | low;
}

uint64_t nodeid_entry(uint32_t number, uint32_t rank)
{
	return compose(SPACE_SNAPSHOT, number, false, rank);
}

uint64_t nodeid_inode(uint32_t number, uint32_t rank, uint64_t link_group)
{
	if (link_group == 0)
		return nodeid_entry(number, rank);
	return compose(SPACE_SNAPSHOT, number, true, (uint32_t)link_group);
}

uint64_t nodeid_work(uint32_t number, uint64_t ino)
{
	return compose(SPACE_WORK, number, (ino & high_half) != 0, (uint32_t)ino);
}

uint64_t nodeid_make(const struct nodeid *node)
{
	switch (node->kind) {
	case NODEID_ROOT:
	case NODEID_FACTS:
	case NODEID_STATUS:
	case NODEID_POINTS:
	case NODEID_SPOOL:
		break;
	case NODEID_DATASET:
		return compose(SPACE_VIRTUAL, 0, true, node->tag << 1);
	case NODEID_DATASET_AT:
		return compose(SPACE_VIRTUAL, 0, true, node->tag << 1 | 1);
	case NODEID_LATEST:
	case NODEID_AT_LINK:
	case NODEID_POINT:
	case NODEID_POINT_LINK:
	case NODEID_COMMIT:
		return compose(SPACE_VIRTUAL, node->number, false, node->kind);
	case NODEID_ENDING_LINK:
		return compose(SPACE_VIRTUAL, node->number, true, node->rank);
	case NODEID_ENTRY:
		return nodeid_entry(node->number, node->rank);
	case NODEID_WORK:
		return nodeid_work(node->number, node->ino);
	}
	return node->kind;
}

static bool parse_virtual(uint32_t number, bool bit, uint32_t low, struct nodeid *ret)
{
	*ret = (struct nodeid){.kind = (enum nodeid_kind)low, .number = number};
	if (number == 0 && !bit)
		return (low >= NODEID_ROOT && low <= NODEID_POINTS) || low == NODEID_SPOOL;
	if (number == 0) {
		ret->kind = (low & 1) != 0 ? NODEID_DATASET_AT : NODEID_DATASET;
		ret->tag = low >> 1;
		return ret->tag != 0;
	}
	if (!bit)
		return (low >= NODEID_LATEST && low <= NODEID_POINT_LINK) || low == NODEID_COMMIT;
	ret->kind = NODEID_ENDING_LINK;
	ret->rank = low;
	return low != 0;
}

bool nodeid_parse(uint64_t id, struct nodeid *ret)
{
	struct nodeid node;
	unsigned space = (unsigned)(id >> SPACE_SHIFT);
	uint32_t number = (uint32_t)(id >> NUMBER_SHIFT) & NODEID_NUMBER_MAX;
	bool bit = (id & high_half) != 0;

	if (space == SPACE_VIRTUAL) {
		if (!parse_virtual(number, bit, (uint32_t)id, &node))
			return false;
		*ret = node;
		return true;
	}
	if (space == SPACE_WORK && number != 0) {
		node = (struct nodeid){.kind = NODEID_WORK, .number = number, .ino = id & (2 * high_half - 1)};
		*ret = node;
		return true;
	}
	if (space != SPACE_SNAPSHOT || bit || number == 0)
		return false;
	*ret = (struct nodeid){.kind = NODEID_ENTRY, .number = number, .rank = (uint32_t)id};
	return true;
}

bool nodeid_in_spool(uint64_t id)
{
	struct nodeid node;
	if (id >> SPACE_SHIFT == SPACE_WORK)
		return true;
	return nodeid_parse(id, &node) && (node.kind == NODEID_SPOOL || node.kind == NODEID_COMMIT);
}
