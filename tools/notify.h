/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_NOTIFY_H
#define TOOLS_NOTIFY_H

/* The word to systemd (Type=notify), by the datagram protocol of sd_notify(3). */

/* Sends `text`, as "READY=1", to $NOTIFY_SOCKET. Without that variable, or when nobody listens: nothing. */
void notify_systemd(const char *text);

#endif
