/* options.h - how requests are made to others: TLS, credentials, proxies, redirects. What texts and
 * lists point at belongs to whoever made the options; they do not change while they are used.
 *
 * A text that is not said is empty; a pointer that is NULL: not wanted. Of a secret and its file
 * one is said. Names of files are good from the working folder. */
#pragma once

#include "base/list.h"

typedef struct FetchTls {
    StrView ca, cert, key; /* PEM texts; key is secret */
    StrView ca_file, cert_file, key_file, server_name;
    bool insecure_skip_verify;
    bool system_roots;                /* count beside those of `ca` */
    StrView min_version, max_version; /* "TLS12" */
} FetchTls;

typedef struct FetchBasicAuth {
    StrView username, username_file, password, password_file;
} FetchBasicAuth;

typedef struct FetchAuthorization {
    StrView type; /* "Bearer" */
    StrView credentials, credentials_file;
} FetchAuthorization;

typedef struct FetchProxy {
    StrView url, no_proxy;
    bool from_environment;
    StrParams connect_header; /* values are secret */
} FetchProxy;

typedef struct FetchOauth2 {
    StrView client_id, client_secret, client_secret_file, token_url;
    StrList scopes;
    StrPairs endpoint_params;
    FetchTls tls;
    FetchProxy proxy;
} FetchOauth2;

typedef struct FetchExtraHeader { /* of http_headers */
    StrView name;
    StrList values, secrets, files;
} FetchExtraHeader;
typedef LIST(FetchExtraHeader) FetchExtraHeaders;

typedef struct FetchSigv4 {
    StrView region, access_key, secret_key, profile, role_arn, external_id;
    StrView service_name; /* empty: aps */
    bool use_fips_sts_endpoint;
} FetchSigv4;

/* Of one of the ways of azuread; what the way does not know is empty. */
typedef struct FetchAzureIdentity {
    StrView client_id, tenant_id, client_secret, token_file_path;
    StrView certificate_path, certificate_key_path, certificate_password;
    bool send_certificate_chain;
} FetchAzureIdentity;

typedef struct FetchAzuread { /* exactly one way is there */
    FetchAzureIdentity *managed_identity, *workload_identity, *oauth, *sdk, *certificate;
    StrView cloud; /* AzurePublic, AzureChina or AzureGovernment */
    StrView scope; /* empty: the cloud's */
} FetchAzuread;

typedef struct FetchGoogleIam {
    StrView credentials_file; /* empty: the default credentials */
} FetchGoogleIam;

typedef struct FetchOptions {
    FetchBasicAuth *basic_auth;
    FetchAuthorization *authorization; /* also of bearer_token and bearer_token_file */
    FetchOauth2 *oauth2;
    StrView bearer_token, bearer_token_file; /* moved to authorization when loaded */
    FetchTls tls;
    bool follow_redirects, enable_http2;
    bool same_host_redirects; /* one to another host is not followed: it is the answer */
    bool no_reuse;            /* a connection of its own for every request (probes) */
    FetchProxy proxy;
    FetchExtraHeaders headers;
    bool round_robin_dns; /* of remote_write: a connection goes to any of a host's addresses */
    /* Of remote_write and alertmanagers alone, which have them beside these keys. */
    FetchSigv4 *sigv4;
    FetchAzuread *azuread;
    FetchGoogleIam *google_iam;
} FetchOptions;
