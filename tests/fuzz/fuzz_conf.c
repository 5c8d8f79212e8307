/* SPDX-License-Identifier: MIT */
/* Any bytes as a configuration file: it is read, or refused with a message that names the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/fileio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct conf *conf = NULL;
	int fd = memfd_create("drfs.conf", MFD_CLOEXEC);
	char *path = fileio_format("/proc/self/fd/%d", fd);
	if (fd < 0 || !path || fileio_write(fd, path, data, size, NULL) < 0)
		abort();
	if (conf_load(path, NULL, &conf, &err) == 0) {
		for (unsigned i = 0; i < conf->dataset_count; i++) {
			if (conf_dataset(conf, conf->datasets[i].name) != &conf->datasets[i])
				abort();
		}
		conf_free(conf);
	} else if (err.code != ERR_USAGE || !strstr(error_text(&err), path)) {
		abort();
	}
	free(path);
	(void)close(fd);
	return 0;
}
