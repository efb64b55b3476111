/* rulefile.h - rule files: YAML to groups of recording and alerting rules, checked as Prometheus'
 * rulefmt does. Durations are ms. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "monitor/model/labels.h"
#include "monitor/promql/promql.h"

enum { RULE_FILE_MAX = 64 * 1024 * 1024, RULE_FILE_MEMORY_MAX = 1024 * 1024 * 1024 };

typedef struct RuleDef {
    StrView name; /* of the series or alert */
    bool alerting;
    StrView expr;      /* as written */
    StrView expr_text; /* in normal form */
    PromqlExpr *parsed;
    int64_t hold, keep_firing;
    Labels labels; /* the group's, then its own */
    Labels annotations;
} RuleDef;

typedef struct RuleGroupDef {
    StrView name;
    int64_t interval;     /* 0: the global one */
    int64_t query_offset; /* -1: the global one */
    int64_t limit;        /* 0: none */
    RuleDef *rules;
    unsigned n;
} RuleGroupDef;

typedef struct RuleFile {
    Arena arena; /* holds all */
    StrView path;
    RuleGroupDef *groups;
    unsigned n;
    unsigned refs; /* of groups that are evaluated, beside its maker's */
} RuleFile;

/* In `promql_features`: keys that are not known are no problem. */
#define RULE_FILE_IGNORE_UNKNOWN (1u << 31)

/* Parses and checks. On failure `problems` (may be NULL) gets one line for each that was found and
 * `err` the first. Lines name file, line, group and rule. ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
int rule_file_parse(StrView text, StrView path, unsigned promql_features, Buf *problems,
                    RuleFile **ret, Err *err) NODISCARD;
int rule_file_load(const char *path, unsigned promql_features, Buf *problems, RuleFile **ret,
                   Err *err) NODISCARD;
/* Gives up one reference. NULL is fine; always NULL. */
RuleFile *rule_file_free(RuleFile *f);
