/* types.h - what the files of tables and the checks share. Private to the folder. */
#pragma once

#include "monitor/config/bind.h"

int check_tls(Binder *b, void *obj, const Value *v);
int check_file_sd(Binder *b, void *obj, const Value *v);
int check_http_sd(Binder *b, void *obj, const Value *v);
int check_dns_sd(Binder *b, void *obj, const Value *v);
int check_k8s_sd(Binder *b, void *obj, const Value *v);
int check_global(Binder *b, void *obj, const Value *v);
int check_scrape(Binder *b, void *obj, const Value *v);
int check_alertmanager(Binder *b, void *obj, const Value *v);
int check_remote_write(Binder *b, void *obj, const Value *v);
int check_remote_read(Binder *b, void *obj, const Value *v);
int check_tsdb(Binder *b, void *obj, const Value *v);
int check_tracing(Binder *b, void *obj, const Value *v);
int check_otlp(Binder *b, void *obj, const Value *v);
/* Compiles and checks the rules of a list; `key` is the list's. */
int compile_rules(Binder *b, ConfigRules *rules, bool legacy, const Value *v,
                  const char *key) NODISCARD;

/* types_cloud.c */
extern const Type type_sigv4, type_azuread, type_google_iam;

/* Headers that no section may set. */
bool header_is_reserved(StrView name);

/* ---- config.c ---- */

/* ---- rows of tables: T is the struct, m its member, K the kind without FIELD_ ---- */

#define FIELDS(f) (f), ARRAY_SIZE(f)
#define F(T, k, K, m)                                                                              \
    {                                                                                              \
        k, FIELD_##K, false, offsetof(T, m), NULL                                                  \
    }
#define KEEP(T, k, K, m)                                                                           \
    {                                                                                              \
        k, FIELD_##K, true, offsetof(T, m), NULL                                                   \
    } /* shown when zero too */
#define SUB(T, k, K, m, s)                                                                         \
    {                                                                                              \
        k, FIELD_##K, false, offsetof(T, m), &(s)                                                  \
    }
#define INLINE_(T, m, s)                                                                           \
    {                                                                                              \
        "", FIELD_INLINE, false, offsetof(T, m), &(s)                                              \
    }
