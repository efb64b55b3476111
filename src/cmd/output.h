/* output.h - the end of what a command says. */
#pragma once

/* Writes what is still buffered for standard output. Returns `code`, or 1 where that was 0 and
 * something of the output was lost, which is then said on standard error: a listing that a full
 * disk has cut off is no listing. `program` ("knarr image") opens the message. */
int output_end(const char *program, int code);
