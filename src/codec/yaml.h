/* yaml.h - YAML 1.2 core schema with the 1.1 leftovers that Kubernetes' decoder has (yes/no stay
 * strings only when quoted: sigs.k8s.io/yaml follows YAML 1.1 booleans), through libyaml. */
#pragma once

#include "base/buf.h"
#include "codec/json.h"

/* Decodes the first document of `text`; *ret_used (may be NULL) is where the next one starts, so
 * that a stream of documents can be walked. Anchors and merge keys work; an alias bomb ends in
 * ERR_LIMIT. Duplicates are reported as json_decode does. Everything is copied into the arena. */
int yaml_decode(StrView text, Arena *a, const JsonOptions *opt, Value *ret, size_t *ret_used,
                Err *err) NODISCARD;

/* Appends block-style YAML, keys in the tree's order. */
int yaml_encode(const Value *v, Buf *out, Err *err) NODISCARD;
