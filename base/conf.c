/* SPDX-License-Identifier: MIT */
#include "base/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void texts_free(char **texts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

static void dataset_release(struct conf_dataset *dataset)
{
	free(dataset->name);
	free(dataset->keep);
	free(dataset->check);
	free(dataset->alert);
	free(dataset->storage_class);
	free(dataset->drill_url);
	texts_free(dataset->drills, dataset->drill_count);
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (unsigned i = 0; i < conf->dataset_count; i++)
		dataset_release(&conf->datasets[i]);
	free(conf->datasets);
	texts_free(conf->replicas, conf->replica_count);
	free(conf->path);
	free(conf->url);
	free(conf->password_command);
	free(conf->password_file);
	free(conf->key_file);
	free(conf->catalog);
	free(conf->spool_dir);
	free(conf);
}

const struct conf_dataset *conf_dataset(const struct conf *conf, const char *name)
{
	static const struct conf_dataset defaults = {
		.commit = CONF_COMMIT_IDLE,
		.idle_ns = 10 * CLOCK_SECOND,
		.idle_max_ns = 600 * CLOCK_SECOND,
		.durability = CONF_DURABLE_LOCAL,
		.compression = 3,
	};
	for (unsigned i = 0; conf && i < conf->dataset_count; i++) {
		if (strcmp(conf->datasets[i].name, name) == 0)
			return &conf->datasets[i];
	}
	return &defaults;
}
