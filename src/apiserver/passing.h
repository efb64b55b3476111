/* passing.h - which headers go through when the server forwards a request. */
#pragma once

#include "net/http.h"

/* To a backend: not those of one connection (RFC 9110 section 7.6.1), and none that say who asks:
 * the user's credentials, impersonation and identities end here. Content-Length is the caller's
 * matter. */
bool passes_on(const HttpReq *req, StrView lower_name);
/* Back to the client: not those of one connection, and none that open this server to pages of other
 * origins. */
bool passes_back(const HttpHeader *headers, uint32_t n, StrView lower_name);
