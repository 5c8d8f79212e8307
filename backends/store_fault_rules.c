/* SPDX-License-Identifier: MIT */

#include <stdlib.h>
#include <string.h>

#include "backends/store_fault.h"

int store_fault_add(struct store *store, const struct fault_rule *rule, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_entry *entry = calloc(1, sizeof(*entry));
	char *prefix = rule->prefix ? strdup(rule->prefix) : NULL;

	if (!entry || (rule->prefix && !prefix)) {
		free(entry);
		free(prefix);
		return error_no_memory(err, "a rule of the fault layer");
	}
	entry->rule = *rule;
	entry->rule.prefix = prefix;
	if (entry->rule.count == 0)
		entry->rule.count = 1;
	if (entry->rule.code == 0)
		entry->rule.code = ERR_UNAVAILABLE;
	pthread_mutex_lock(&f->lock);
	entry->next = f->rules;
	f->rules = entry;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

void store_fault_clear(struct store *store)
{
	struct store_fault *f = store_fault_of(store);

	pthread_mutex_lock(&f->lock);
	struct fault_entry *entry = f->rules;
	f->rules = NULL;
	pthread_mutex_unlock(&f->lock);
	while (entry) {
		struct fault_entry *next = entry->next;

		free((char *)entry->rule.prefix);
		free(entry);
		entry = next;
	}
}

static unsigned kind_index(enum fault_ops op)
{
	return (unsigned)__builtin_ctz((unsigned)op);
}

uint64_t store_fault_calls(struct store *store, unsigned ops)
{
	struct store_fault *f = store_fault_of(store);
	uint64_t sum = 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < FAULT_KINDS; i++) {
		if (ops & (1u << i))
			sum += f->calls[i];
	}
	pthread_mutex_unlock(&f->lock);
	return sum;
}

/* Counts the call for one rule; true when it is hit. */
static bool hits(struct fault_entry *entry, enum fault_ops op, const char *name)
{
	const struct fault_rule *rule = &entry->rule;

	if (!(rule->ops & (unsigned)op))
		return false;
	if (rule->prefix && strncmp(name, rule->prefix, strlen(rule->prefix)) != 0)
		return false;
	entry->seen++;
	return rule->nth == 0 || (entry->seen >= rule->nth && entry->seen - rule->nth < rule->count);
}

static void add_to_plan(struct fault_plan *plan, const struct fault_rule *rule)
{
	switch (rule->kind) {
	case FAULT_FAIL:
		plan->fail = rule->code;
		break;
	case FAULT_DELAY:
		plan->delay_ms += rule->delay_ms;
		break;
	case FAULT_TRUNCATE:
		plan->truncate = true;
		break;
	case FAULT_CORRUPT:
		plan->corrupt = true;
		break;
	case FAULT_LOSE_REPLY:
		plan->lose_reply = true;
		break;
	case FAULT_KILL_BEFORE:
		plan->kill_before = true;
		break;
	case FAULT_KILL_AFTER:
		plan->kill_after = true;
		break;
	}
}

struct fault_plan fault_plan_draw(struct store_fault *f, enum fault_ops op, const char *name)
{
	struct fault_plan plan = {0};

	pthread_mutex_lock(&f->lock);
	f->calls[kind_index(op)]++;
	for (unsigned i = 0; i < FAULT_KINDS; i++)
		plan.number += f->calls[i];
	for (struct fault_entry *entry = f->rules; entry; entry = entry->next) {
		if (hits(entry, op, name))
			add_to_plan(&plan, &entry->rule);
	}
	pthread_mutex_unlock(&f->lock);
	return plan;
}
