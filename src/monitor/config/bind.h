/* bind.h - the tables of Prometheus' files: kinds of values beyond those of codec/bind.h, the types
 * of the sections, and the walk back from structs to YAML. */
#pragma once

#include "codec/bind.h"
#include "monitor/config/config.h"

enum {
    FIELD_URL = FIELD_OWN, /* StrView; a password in it is not shown */
    FIELD_DURATION,        /* int64_t: ms */
    FIELD_SIZE,            /* uint64_t: bytes */
    FIELD_LABELS,          /* Labels: any map of texts, sorted */
    FIELD_ACTION,          /* RelabelAction */
    FIELD_HEADERS,         /* FetchExtraHeaders */
};

/* Of every Binder for these types. */
extern const BindFormat config_bind_format;

/* The tree of a struct, for people (secrets hidden) or to be compared; false: arena exhausted. */
typedef struct BindShow {
    Arena *arena;
    bool secrets;
} BindShow;
bool bind_show(const BindShow *how, const Type *t, const void *obj, Value *ret) NODISCARD;

extern const Type type_config, type_scrape_files, type_global, type_scrape, type_rule, type_http;
extern const Type type_remote_write, type_remote_read;
extern const Type type_tls, type_discovery, type_alertmanager;

typedef struct ScrapeFile { /* one of scrape_config_files */
    LIST(ConfigScrape) scrape;
} ScrapeFile;

/* Checks that need the whole file: globals into jobs, names that stand twice. */
int config_finish(Binder *b, Config *c, const Value *doc, const ConfigOptions *opt) NODISCARD;
int config_finish_scrape(Binder *b, const ConfigGlobal *g, ConfigScrape *s,
                         const Value *v) NODISCARD;
int config_check_http(Binder *b, FetchOptions *h, const Value *v) NODISCARD;
