/* SPDX-License-Identifier: MIT */
#ifndef BASE_HEX_H
#define BASE_HEX_H

/* Lower-case hexadecimal, both ways; and text made safe to print. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2*len digits and a NUL to dst. */
void hex_encode(const uint8_t *src, size_t len, char *dst);
/* `src` is a C string of exactly 2*len digits, lower case only. */
bool hex_decode(const char *src, size_t len, uint8_t *dst);
/* The length of the valid UTF-8 sequence at the start of src (1 to 4), or 0 when there is none. */
size_t hex_utf8_length(const void *src, size_t len);
/* A file name or message for people: bytes outside printable UTF-8 become \xNN. Caller frees; NULL without memory. */
char *hex_printable(const void *src, size_t len);
/* As hex_printable(), into dst of cap bytes, cut if longer. Returns dst. */
char *hex_printable_to(const void *src, size_t len, char *dst, size_t cap);

#endif
