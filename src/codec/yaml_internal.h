/* yaml_internal.h - what a plain YAML scalar means; shared by the decoder and the encoder. */
#pragma once

#include "codec/value.h"

/* The value of an unquoted scalar without a tag, as Go's yaml.v2 resolves it: YAML 1.1 booleans,
 * null, integers in Go's notations (0x, 0o, 0b, 0 and underscores), floats. Anything else is the
 * string itself, referring to `s`. Infinities and NaN come back as VALUE_DOUBLE. */
Value yaml_plain_scalar(StrView s);

/* Whether text must be quoted so that a YAML 1.1 reader takes it as a string (also dates and
 * sexagesimal numbers, which other readers convert). */
bool yaml_needs_quotes(StrView s);
