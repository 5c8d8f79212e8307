/* SPDX-License-Identifier: MIT */
#ifndef FS_ERRMAP_H
#define FS_ERRMAP_H

/* What programs on the mount see of an error: the one place where codes become errno. Pure. */

#include <stdbool.h>

/* A positive errno for a negative enum error_code or enum work_error; 0 for 0; EIO for a code that is unknown. */
int errmap_errno(int code);
/* Something is wrong with the archive, its store or this host, so that the log should name it; not an answer such as
 * ENOENT. */
bool errmap_is_fault(int code);

#endif
