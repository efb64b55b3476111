/* http_util.h - shared helpers of HTTP. Private to src/net. */
#pragma once

#include "net/http.h"

static inline bool http_status_has_body(int status) /* RFC 9110 section 6.4.1 */
{
    return status >= 200 && status != 204 && status != 304;
}
