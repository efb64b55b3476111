/* encode.h - hexadecimal and base64 (RFC 4648), URL queries, and random identifiers. */
#pragma once

#include "base/buf.h"

void hex_encode(const void *data, size_t n, char *out); /* writes 2n characters, no terminator */
int hex_decode(StrView s, uint8_t *out, size_t size, size_t *ret_n); /* 0, -EINVAL or -ENOSPC */

typedef enum Base64Kind { BASE64_STD, BASE64_URL } Base64Kind; /* URL: no padding (RFC 7515) */
void base64_encode(Base64Kind kind, StrView in, Buf *out);
/* Appends to `out`. STD wants padding as Go's decoder does; ignores CR and LF. 0 or -EINVAL. */
int base64_decode(Base64Kind kind, StrView in, Buf *out);

/* Percent-encodes all but letters, digits and "-_.~" (RFC 3986, section 2.3). */
void percent_encode(StrView s, Buf *out);
/* The same, but those of `plain` stay, too ("/" of a path). */
void percent_encode_but(StrView s, const char *plain, Buf *out);
/* Only what cannot stand in a URL at all, spaces, controls and what is not ASCII, and those of
 * `unsafe`: of a text that is a URL or nearly one. */
void percent_encode_only(StrView s, const char *unsafe, Buf *out);
/* percent_encode(), but a space becomes "+" (Go's url.QueryEscape). */
void query_escape(StrView s, Buf *out);

int random_bytes(void *buf, size_t n); /* getrandom(2); 0 or negative errno */

enum { UUID_SIZE = 37 };
int uuid4(char buf[static UUID_SIZE]); /* lower-case, terminated; 0 or negative errno */
/* n characters of Kubernetes' alphabet for generated names ("bcdfghjklmnpqrstvwxz2456789"). */
int random_suffix(char *out, size_t n);
