/* internal.h - the table that tools/pagegen.py writes. Private to monitor/page. */
#pragma once

#include "monitor/page/page.h"

extern const PageFile page_files[];
extern const size_t page_n_files;
