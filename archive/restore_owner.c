/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/restore_impl.h"

/* One "old:new". */
struct owner_rule {
	char *old;       /* a name, or a number in digits */
	bool is_number;  /* old may also be a number */
	uint32_t number; /* of old */
	uint32_t to;
};

/* What is asked of users and of groups alike. */
struct owner_side {
	bool groups;
	struct owner_rule *rules;
	size_t rule_count;
	/* The last answer: neighbours in a tree mostly have one owner. */
	char last_name[ENTRY_OWNER_MAX + 1];
	uint32_t last_number, last_answer;
	bool has_last;
};

struct owner_map {
	struct restore *r;
	struct owners *owners;
	struct owner_side users, groups;
};

static bool parse_number(const char *text, uint32_t *ret_number)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	unsigned long long v = strtoull(text, &end, 10);
	if (*end || v >= UINT32_MAX)
		return false;
	*ret_number = (uint32_t)v;
	return true;
}

static int find_name(struct owner_map *m, const struct owner_side *side, const char *name, uint32_t *ret_id)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int status = side->groups ? owners_find_group(m->owners, name, &gid) : owners_find_user(m->owners, name, &uid);
	if (status == 0)
		*ret_id = side->groups ? gid : uid;
	return status;
}

static int add_rule(struct owner_map *m, struct owner_side *side, char *text, struct error *err)
{
	const char *what = side->groups ? "group" : "user";
	char *colon = strchr(text, ':');
	if (!colon || colon == text || !colon[1])
		return error_set(err, ERR_USAGE, "'%s' maps no %s: give OLD:NEW", text, what);
	*colon = '\0';
	struct owner_rule *more = reallocarray(side->rules, side->rule_count + 1, sizeof(*more));
	if (!more)
		return error_no_memory(err, "the map of owners");
	side->rules = more;
	struct owner_rule *rule = &more[side->rule_count];
	*rule = (struct owner_rule){.old = strdup(text)};
	if (!rule->old)
		return error_no_memory(err, "the map of owners");
	side->rule_count++;
	rule->is_number = parse_number(text, &rule->number);
	if (find_name(m, side, colon + 1, &rule->to) != 0 && !parse_number(colon + 1, &rule->to))
		return error_set(err, ERR_USAGE, "there is no %s '%s' on this host", what, colon + 1);
	return 0;
}

static int add_rules(struct owner_map *m, struct owner_side *side, const char *list, struct error *err)
{
	char *copy = strdup(list ? list : ""), *rest = copy, *one;
	int status = copy ? 0 : error_no_memory(err, "the map of owners");
	while (status == 0 && (one = strsep(&rest, ",")) != NULL)
		if (*one)
			status = add_rule(m, side, one, err);
	free(copy);
	return status;
}

int owner_map_new(struct restore *r, struct owner_map **ret_map, struct error *err)
{
	struct owner_map *m = calloc(1, sizeof(*m));
	if (!m)
		return error_no_memory(err, "the map of owners");
	m->r = r;
	m->groups.groups = true;
	m->owners = owners_new();
	int status = m->owners ? 0 : error_no_memory(err, "the map of owners");
	if (status == 0)
		status = add_rules(m, &m->users, r->options->map_user, err);
	if (status == 0)
		status = add_rules(m, &m->groups, r->options->map_group, err);
	if (status != 0) {
		owner_map_free(m);
		return status;
	}
	*ret_map = m;
	return 0;
}

static void side_release(struct owner_side *side)
{
	for (size_t i = 0; i < side->rule_count; i++)
		free(side->rules[i].old);
	free(side->rules);
}

void owner_map_free(struct owner_map *m)
{
	if (!m)
		return;
	side_release(&m->users);
	side_release(&m->groups);
	owners_free(m->owners);
	free(m);
}

static uint32_t answer(struct owner_map *m, const struct owner_side *side, const char *name, uint32_t number)
{
	uint32_t id;
	for (size_t i = 0; i < side->rule_count; i++) {
		const struct owner_rule *rule = &side->rules[i];
		if ((*name && strcmp(rule->old, name) == 0) || (rule->is_number && rule->number == number))
			return rule->to;
	}
	if (m->r->options->numeric_ids || !*name)
		return number;
	if (find_name(m, side, name, &id) == 0)
		return id;
	log_info(m->r->repo->log, "there is no %s '%s' on this host: its files get the number %u",
		side->groups ? "group" : "user", name, number);
	return number;
}

static uint32_t side_apply(struct owner_map *m, struct owner_side *side, const char *name, uint32_t number)
{
	if (side->has_last && side->last_number == number && strcmp(side->last_name, name) == 0)
		return side->last_answer;
	side->last_answer = answer(m, side, name, number);
	side->last_number = number;
	side->has_last = strlen(name) < sizeof(side->last_name);
	if (side->has_last)
		strcpy(side->last_name, name);
	return side->last_answer;
}

void owner_map_apply(struct owner_map *m, const struct entry *entry, uid_t *ret_uid, gid_t *ret_gid)
{
	*ret_uid = side_apply(m, &m->users, entry->user ? entry->user : "", entry->uid);
	*ret_gid = side_apply(m, &m->groups, entry->group ? entry->group : "", entry->gid);
}
