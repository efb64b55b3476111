/* types_cloud.c - sections that say who we are to a cloud, as tables with their checks: sigv4,
 * azuread, google_iam. */
#include "monitor/config/types.h"

/* ---- sigv4 ---- */

#define T FetchSigv4
static const Field sigv4_fields[] = {
    F(T, "region", TEXT, region),
    F(T, "access_key", TEXT, access_key),
    F(T, "secret_key", SECRET, secret_key),
    F(T, "profile", TEXT, profile),
    F(T, "role_arn", TEXT, role_arn),
    F(T, "external_id", TEXT, external_id),
    F(T, "use_fips_sts_endpoint", BOOL, use_fips_sts_endpoint),
    F(T, "service_name", TEXT, service_name),
};
#undef T

static int check_sigv4(Binder *b, void *obj, const Value *v)
{
    const FetchSigv4 *s = obj;
    if (sv_empty(s->access_key) != sv_empty(s->secret_key))
        return bind_fail(b, v,
                         "must provide a AWS SigV4 Access key and Secret Key if credentials are "
                         "specified in the SigV4 config");
    if (s->external_id.len && sv_empty(s->role_arn))
        return bind_fail_key(b, v, "external_id", "external_id can only be used with role_arn");
    return 0;
}

const Type type_sigv4 = { "sigv4.plain", sizeof(FetchSigv4), FIELDS(sigv4_fields), NULL,
                          check_sigv4 };

/* ---- azuread ---- */

/* 8-4-4-4-12 hexadecimal digits, bare or in Microsoft's and URN's wrappings, or 32 digits. */
static bool is_uuid(StrView s)
{
    bool braced = s.len == 38 && s.ptr[0] == '{' && s.ptr[37] == '}';
    if (s.len == 45 && sv_eq_nocase(sv_head(s, 9), SV("urn:uuid:")))
        s = sv_skip(s, 9);
    else if (braced)
        s = sv_n(s.ptr + 1, 36);
    if (s.len != 36 && s.len != 32)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = s.len == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        char c = (char)(s.ptr[i] | 0x20);
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? s.ptr[i] != '-' : !hex || s.ptr[i] < '0')
            return false;
    }
    return true;
}

/* It becomes a part of a path. */
static bool is_tenant(StrView s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
              c == '.'))
            return false;
    }
    return true;
}

/* What one way of proving who we are needs. */
typedef struct Needs {
    const char *name; /* in messages: "Azure NAME" */
    bool client, tenant, secret;
} Needs;

static int check_identity(Binder *b, const FetchAzureIdentity *i, const Needs *n, const Value *v)
{
    if (n->client && sv_empty(i->client_id))
        return bind_fail(b, v, "must provide an Azure %s client_id in the Azure AD config",
                         n->name);
    if (n->secret && sv_empty(i->client_secret))
        return bind_fail(b, v, "must provide an Azure %s client_secret in the Azure AD config",
                         n->name);
    if (n->tenant && sv_empty(i->tenant_id))
        return bind_fail(b, v, "must provide an Azure %s tenant_id in the Azure AD config",
                         n->name);
    if (i->client_id.len && !is_uuid(i->client_id))
        return bind_fail(b, v, "the provided Azure %s client_id is invalid", n->name);
    if (!is_tenant(i->tenant_id))
        return bind_fail(b, v, "the provided Azure %s tenant_id is invalid", n->name);
    return 0;
}

#define T FetchAzureIdentity
static const Field managed_fields[] = { F(T, "client_id", TEXT, client_id) };
static int check_managed(Binder *b, void *obj, const Value *v)
{
    return check_identity(b, obj, &(Needs){ "Managed Identity" }, v);
}
static const Type type_managed = { "azuread.ManagedIdentityConfig", sizeof(T),
                                   FIELDS(managed_fields), NULL, check_managed };

static const Field workload_fields[] = {
    F(T, "client_id", TEXT, client_id),
    F(T, "tenant_id", TEXT, tenant_id),
    F(T, "token_file_path", TEXT, token_file_path),
};
static int check_workload(Binder *b, void *obj, const Value *v)
{
    return check_identity(b, obj, &(Needs){ "Workload Identity", true, true, false }, v);
}
static const Type type_workload = { "azuread.WorkloadIdentityConfig", sizeof(T),
                                    FIELDS(workload_fields), NULL, check_workload };

static const Field oauth_fields[] = {
    F(T, "client_id", TEXT, client_id),
    F(T, "client_secret", SECRET, client_secret),
    F(T, "tenant_id", TEXT, tenant_id),
};
static int check_oauth(Binder *b, void *obj, const Value *v)
{
    return check_identity(b, obj, &(Needs){ "OAuth", true, true, true }, v);
}
static const Type type_oauth = { "azuread.OAuthConfig", sizeof(T), FIELDS(oauth_fields), NULL,
                                 check_oauth };

static const Field certificate_fields[] = {
    F(T, "client_id", TEXT, client_id),
    F(T, "tenant_id", TEXT, tenant_id),
    F(T, "certificate_path", TEXT, certificate_path),
    F(T, "certificate_key_path", TEXT, certificate_key_path),
    F(T, "certificate_password", SECRET, certificate_password),
    F(T, "send_certificate_chain", BOOL, send_certificate_chain),
};
static int check_certificate(Binder *b, void *obj, const Value *v)
{
    const FetchAzureIdentity *i = obj;
    int r = check_identity(b, i, &(Needs){ "Certificate", true, true, false }, v);
    if (r == 0 && sv_empty(i->certificate_path))
        return bind_fail(
            b, v, "must provide an Azure Certificate certificate_path in the Azure AD config");
    return r;
}
static const Type type_certificate = { "azuread.CertificateConfig", sizeof(T),
                                       FIELDS(certificate_fields), NULL, check_certificate };

static const Field sdk_fields[] = { F(T, "tenant_id", TEXT, tenant_id) };
static int check_sdk(Binder *b, void *obj, const Value *v)
{
    return check_identity(b, obj, &(Needs){ "SDK" }, v);
}
static const Type type_sdk = { "azuread.SDKConfig", sizeof(T), FIELDS(sdk_fields), NULL,
                               check_sdk };
#undef T

#define T FetchAzuread
static const Field azuread_fields[] = {
    SUB(T, "managed_identity", POINTER, managed_identity, type_managed),
    SUB(T, "workload_identity", POINTER, workload_identity, type_workload),
    SUB(T, "oauth", POINTER, oauth, type_oauth),
    SUB(T, "sdk", POINTER, sdk, type_sdk),
    SUB(T, "certificate", POINTER, certificate, type_certificate),
    F(T, "cloud", TEXT, cloud),
    F(T, "scope", TEXT, scope),
};
#undef T

static bool is_scope(StrView s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
        if (!word && !(c && strchr(" \t\n\r\f\v:/.-", c)))
            return false;
    }
    return true;
}

static int check_azuread(Binder *b, void *obj, const Value *v)
{
    FetchAzuread *a = obj;
    unsigned n =
        !!a->managed_identity + !!a->workload_identity + !!a->oauth + !!a->sdk + !!a->certificate;
    if (sv_empty(a->cloud))
        a->cloud = SV("AzurePublic");
    if (!sv_eq(a->cloud, SV("AzurePublic")) && !sv_eq(a->cloud, SV("AzureChina")) &&
        !sv_eq(a->cloud, SV("AzureGovernment")))
        return bind_fail_key(b, v, "cloud",
                             "must provide a cloud in the Azure AD config: AzurePublic, AzureChina "
                             "or AzureGovernment");
    if (n == 0)
        return bind_fail(b, v,
                         "must provide an Azure Managed Identity, Azure Workload Identity, Azure "
                         "OAuth, Azure Certificate or Azure SDK in the Azure AD config");
    if (n > 1)
        return bind_fail(b, v,
                         "cannot provide multiple authentication methods in the Azure AD config");
    if (!is_scope(a->scope))
        return bind_fail_key(b, v, "scope", "the provided scope contains invalid characters");
    return 0;
}

const Type type_azuread = { "azuread.plain", sizeof(FetchAzuread), FIELDS(azuread_fields), NULL,
                            check_azuread };

/* ---- google_iam ---- */

static const Field google_fields[] = { F(FetchGoogleIam, "credentials_file", TEXT,
                                         credentials_file) };
const Type type_google_iam = { "googleiam.Config", sizeof(FetchGoogleIam), FIELDS(google_fields),
                               NULL, NULL };
