/* http_util.h - shared helpers of HTTP. Private to src/net. */
#pragma once

#include "net/http.h"

enum { HTTP_INTERIMS_MAX = 5 }; /* informational (1xx) answers before an answer, as Go has it */
/* That there were more: ERR_LIMIT. */
int http_too_many_interims(Err *err) IGNORABLE; /* it only makes the error */

static inline bool http_status_has_body(int status) /* RFC 9110 section 6.4.1 */
{
    return status >= 200 && status != 204 && status != 304;
}
