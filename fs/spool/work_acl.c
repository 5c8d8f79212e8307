/* SPDX-License-Identifier: MIT */

/* POSIX ACLs as Linux keeps them in attributes: u32 version 2, then entries of u16 tag, u16 permissions, u32 id. */

#include "base/buf.h"
#include "fs/spool/work_impl.h"

const char work_acl_access[] = "system.posix_acl_access";
const char work_acl_default[] = "system.posix_acl_default";

enum { VERSION = 2, HEADER = 4, EACH = 8 };
enum tag { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

/* Where the entry of a tag that stands at most once keeps its permissions; 0: there is none. */
static size_t find(const uint8_t *value, size_t len, enum tag tag)
{
	for (size_t at = HEADER; at + EACH <= len; at += EACH) {
		if (value[at] == (uint8_t)tag && value[at + 1] == 0)
			return at + 2;
	}
	return 0;
}

bool acl_ok(const void *value, size_t len)
{
	struct cursor c = cursor_of(value, len);
	unsigned last = 0, seen = 0;
	if (cursor_u32(&c) != VERSION || len <= HEADER || (len - HEADER) % EACH != 0)
		return false;
	while (cursor_left(&c) > 0) {
		unsigned tag = cursor_u16(&c), permissions = cursor_u16(&c);
		cursor_u32(&c);
		bool many = tag == USER || tag == GROUP;
		bool known = many || tag == USER_OBJ || tag == GROUP_OBJ || tag == MASK || tag == OTHER;
		if (!known || permissions > 7 || tag < last || (tag == last && !many))
			return false;
		last = tag;
		seen |= tag;
	}
	unsigned must = USER_OBJ | GROUP_OBJ | OTHER;
	return cursor_done(&c) && (seen & must) == must && ((seen & (USER | GROUP)) == 0 || (seen & MASK) != 0);
}

bool acl_is_mode(const void *value, size_t len)
{
	return find(value, len, USER) == 0 && find(value, len, GROUP) == 0 && find(value, len, MASK) == 0;
}

/* What stands for the group's bits of the mode. */
static size_t group_place(const uint8_t *value, size_t len)
{
	size_t mask = find(value, len, MASK);
	return mask != 0 ? mask : find(value, len, GROUP_OBJ);
}

mode_t acl_mode(const void *value, size_t len)
{
	const uint8_t *p = value;
	return (mode_t)(p[find(p, len, USER_OBJ)] << 6 | p[group_place(p, len)] << 3 | p[find(p, len, OTHER)]);
}

void acl_set_mode(uint8_t *value, size_t len, mode_t mode)
{
	value[find(value, len, USER_OBJ)] = (uint8_t)(mode >> 6 & 7);
	value[group_place(value, len)] = (uint8_t)(mode >> 3 & 7);
	value[find(value, len, OTHER)] = (uint8_t)(mode & 7);
}

void acl_inherit(uint8_t *value, size_t len, mode_t *mode)
{
	mode_t both = acl_mode(value, len) & *mode & 0777;
	acl_set_mode(value, len, both);
	*mode = (*mode & ~(mode_t)0777) | both;
}
