/* json_log.h - a file of JSON lines, as the logs that a configuration asks for are: query_log_file.
 * Each line is one write, so several threads and programs may append to one file. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct JsonLog JsonLog;

/* Appends to `path`, which is made where it is not there. ERR_SYS and others name it. */
int json_log_open(StrView path, JsonLog **ret, Err *err) NODISCARD;
JsonLog *json_log_close(JsonLog *l); /* NULL is fine; always NULL */
/* {"time":…,"level":…,"msg":…,MEMBERS}: `members` is JSON, empty or without braces around it. A
 * line that cannot be written is lost: false. */
bool json_log_write(JsonLog *l, const char *level, StrView msg, StrView members);
