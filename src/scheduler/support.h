/* support.h - fail closed: which hard constraint of a pod this scheduler would have to ignore. */
#pragma once

#include "codec/value.h"

/* The path of the first one, or NULL. */
const char *support_missing(const Value *pod);
