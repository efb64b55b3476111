#!/usr/bin/env bats
# Who knarr-monitor says it is to other storages and to Alertmanagers: signatures of AWS and tokens of Azure and Google, from
# each place where their programs look for them. A small cloud of the test judges them by means of its own.

load helpers

setup() {
    need_root
    new_place
    URL=http://127.0.0.1:9090
    CLOUD=http://127.0.0.1:9094
    ID=11111111-2222-3333-4444-555555555555
    unset "${!AWS_@}" "${!AZURE_@}" "${!GOOGLE_@}" "${!GCE_@}" IDENTITY_ENDPOINT IDENTITY_HEADER
    export HOME=$DATA AZURE_AUTHORITY_HOST=$CLOUD/ AWS_ENDPOINT_URL_STS=$CLOUD/sts
    nsenter --net="/run/netns/$NS" "$E2E_DIR/remote-auth.py" 9094 "$DATA" >>"$DATA/log/cloud.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 10 inside curl -s -o /dev/null "$CLOUD/"
    echo "pod token" >"$DATA/pod-token"
}

teardown() { stop_all; }

begin_config() {
    cat >"$DATA/m.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:9090']}]}]
remote_write:
Y
}
# section NAME KEYS: sends to /write/NAME.
section() {
    echo "- {url: '$CLOUD/write/$1?x=a%20b&x=&c=d', name: $1, $2, queue_config: {batch_send_deadline: 100ms}, metadata_config: {send: false}}" >>"$DATA/m.yml"
}
start_monitor() {
    rm -rf "$DATA/tsdb" "$DATA/auth"
    run_role monitor --storage.tsdb.path="$DATA/tsdb" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/m.yml" \
        --storage.remote.flush-deadline=1s
    wait_for 20 inside curl -sf "$URL/-/ready"
}
sends_as() { grep -qx "$1 204 $2" "$DATA/auth"; }
none_was_denied() { ! grep -h 403 "$DATA/auth" && ! grep -s denied "$DATA/issued"; }

@test "AWS: keys of the section, of a profile and of a role; alerts are signed, too" {
    mkdir -p "$DATA/.aws"
    printf '[default]\naws_access_key_id = AKNO\n\n[writer]\naws_access_key_id = AKPROFILE\naws_secret_access_key=profile-secret\naws_session_token = profile-session\n' >"$DATA/.aws/credentials"
    printf '[profile writer]\nregion = eu-north-1\n' >"$DATA/.aws/config"
    begin_config
    section static 'sigv4: {region: eu-west-1, access_key: AKSTATIC, secret_key: static/secret+key}, headers: {X-Own: "a  b"}'
    section service 'sigv4: {region: eu-west-1, access_key: AKSTATIC, secret_key: static/secret+key, service_name: other}'
    section profile 'sigv4: {profile: writer}'
    section role "sigv4: {region: eu-west-1, access_key: AKSTATIC, secret_key: static/secret+key, role_arn: 'arn:aws:iam::1:role/writer', external_id: 'out side'}"
    cat >>"$DATA/m.yml" <<Y
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - sigv4: {region: eu-west-1, access_key: AKSTATIC, secret_key: static/secret+key}
    static_configs: [{targets: ['127.0.0.1:9094']}]
Y
    echo 'groups: [{name: g, interval: 200ms, rules: [{alert: Always, expr: vector(1)}]}]' >"$DATA/rules.yml"
    start_monitor
    wait_for 20 sends_as static AKSTATIC/eu-west-1
    wait_for 20 sends_as service AKSTATIC/eu-west-1
    wait_for 20 sends_as profile AKPROFILE/eu-north-1
    wait_for 20 sends_as role ASROLE/eu-west-1
    wait_for 20 sends_as alerts AKSTATIC/eu-west-1
    grep -qx 'sts-by AKSTATIC/eu-west-1' "$DATA/issued"
    none_was_denied
    # The page and the API show no secret.
    ! inside curl -sf "$URL/api/v1/status/config" | grep -q static/secret || false
    kill_role monitor
}

@test "AWS: the environment, a pod's token, a container and a machine" {
    export AWS_REGION=eu-west-1
    begin_config
    section env 'sigv4: {}'
    AWS_ACCESS_KEY_ID=AKENV AWS_SECRET_ACCESS_KEY=env-secret start_monitor
    wait_for 20 sends_as env AKENV/eu-west-1
    none_was_denied
    kill_role monitor
    AWS_WEB_IDENTITY_TOKEN_FILE=$DATA/pod-token AWS_ROLE_ARN=arn:aws:iam::1:role/pod start_monitor
    wait_for 20 sends_as env ASWEB/eu-west-1
    none_was_denied
    kill_role monitor
    AWS_CONTAINER_CREDENTIALS_FULL_URI=$CLOUD/container AWS_CONTAINER_AUTHORIZATION_TOKEN="box token" start_monitor
    wait_for 20 sends_as env ASBOX/eu-west-1
    none_was_denied
    kill_role monitor
    AWS_EC2_METADATA_SERVICE_ENDPOINT=$CLOUD/ start_monitor
    wait_for 20 sends_as env ASMACHINE/eu-west-1
    none_was_denied
    kill_role monitor
    # Nothing is found, nor a region: that is told, and samples wait.
    AWS_EC2_METADATA_DISABLED=true start_monitor
    wait_for 10 grep -q 'could not get SigV4 credentials: neither the section, the environment nor a profile has keys' "$DATA/log/monitor.log"
    kill_role monitor
    unset AWS_REGION
    start_monitor
    wait_for 10 grep -q 'region not configured in sigv4 or in default credentials chain' "$DATA/log/monitor.log"
    kill_role monitor
}

@test "Azure: a secret, certificates, a pod's token, a machine, an app; tokens are renewed" {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DATA/key.pem" -out "$DATA/cert.pem" -subj /CN=writer 2>/dev/null
    cat "$DATA/cert.pem" "$DATA/key.pem" >"$DATA/both.pem"
    openssl pkcs12 -export -in "$DATA/both.pem" -out "$DATA/both.pfx" -passout pass:secret
    openssl x509 -in "$DATA/cert.pem" -pubkey -noout >"$DATA/azure.pub"
    openssl x509 -in "$DATA/cert.pem" -fingerprint -sha1 -noout | sed 's/.*=//; s/://g' >"$DATA/azure.x5t"
    begin_config
    section oauth "azuread: {oauth: {client_id: $ID, client_secret: azure secret, tenant_id: tenant-1}}"
    section pod "azuread: {workload_identity: {client_id: $ID, tenant_id: tenant-1, token_file_path: $DATA/pod-token}}"
    section own 'azuread: {managed_identity: {}, cloud: AzurePublic}'
    section given "azuread: {managed_identity: {client_id: $ID}}"
    section pem "azuread: {certificate: {client_id: $ID, tenant_id: tenant-1, certificate_path: $DATA/both.pem}}"
    section two "azuread: {certificate: {client_id: $ID, tenant_id: tenant-1, certificate_path: $DATA/cert.pem, certificate_key_path: $DATA/key.pem, send_certificate_chain: true}}"
    section pfx "azuread: {certificate: {client_id: $ID, tenant_id: tenant-1, certificate_path: $DATA/both.pfx, certificate_password: secret}}"
    section sdk 'azuread: {sdk: {tenant_id: tenant-1}}'
    AZURE_POD_IDENTITY_AUTHORITY_HOST=$CLOUD AZURE_CLIENT_ID=$ID AZURE_CLIENT_SECRET='azure secret' start_monitor
    wait_for 20 sends_as oauth azure-oauth
    wait_for 20 sends_as pod azure-workload
    wait_for 20 sends_as own azure-managed-own
    wait_for 20 sends_as given azure-managed-111
    wait_for 20 sends_as pem azure-certificate
    wait_for 20 sends_as two azure-chain
    wait_for 20 sends_as pfx azure-certificate
    wait_for 20 sends_as sdk azure-oauth
    # A secret's token lives 4 s: it is renewed after half of it. While that fails samples wait.
    touch "$DATA/down"
    wait_for 20 grep -q 'Failed to get access token: HTTP status 500: down as the test wants it' "$DATA/log/monitor.log"
    local before
    before=$(grep -c '^oauth 204' "$DATA/auth")
    rm "$DATA/down"
    on() { [ "$(grep -c '^oauth 204' "$DATA/auth")" -gt "$before" ]; }
    wait_for 20 on
    none_was_denied
    [ "$(inside curl -sf "$URL/metrics" | awk '/^prometheus_remote_storage_samples_failed_total/ { n += $NF } END { print n }')" = 0 ]
    ! inside curl -sf "$URL/api/v1/status/config" | grep -q 'azure secret' || false
    kill_role monitor
    begin_config
    section app 'azuread: {sdk: {}}'
    IDENTITY_ENDPOINT=$CLOUD/app-service IDENTITY_HEADER='app secret' start_monitor
    wait_for 20 sends_as app azure-app
    none_was_denied
    kill_role monitor
}

@test "Google: the key of a service account, a user, a machine" {
    openssl genrsa -out "$DATA/key.pem" 2048 2>/dev/null
    openssl rsa -in "$DATA/key.pem" -pubout -out "$DATA/google.pub" 2>/dev/null
    jq -n --rawfile k "$DATA/key.pem" --arg u "$CLOUD/google" \
        '{type: "service_account", private_key_id: "k1", private_key: $k, client_email: "me@x", token_uri: $u}' >"$DATA/account.json"
    jq -n --arg u "$CLOUD/google" '{type: "authorized_user", client_id: "c", client_secret: "s", refresh_token: "refresh", token_uri: $u}' >"$DATA/user.json"
    begin_config
    section key "google_iam: {credentials_file: $DATA/account.json}"
    section default 'google_iam: {}'
    section wrong "google_iam: {credentials_file: $DATA/user.json}"
    GOOGLE_APPLICATION_CREDENTIALS=$DATA/user.json start_monitor
    wait_for 20 sends_as key google-key
    wait_for 20 sends_as default google-user
    wait_for 10 grep -q "user.json' are of type \"authorized_user\", expected service_account" "$DATA/log/monitor.log"
    none_was_denied
    kill_role monitor
    GCE_METADATA_HOST=127.0.0.1:9094 start_monitor
    wait_for 20 sends_as default google-machine
    none_was_denied
    kill_role monitor
}

@test "sections that cannot be are refused with file, line and key" {
    refuses() { # KEYS TEXT
        begin_config
        section x "$1"
        run "$BIN/knarr-promtool" check config "$DATA/m.yml"
        [ "$status" -ne 0 ]
        [[ "$output" == *"m.yml:4: remote_write[0]"*"$2"* ]] || { echo "$output"; return 1; }
    }
    refuses 'sigv4: {access_key: a}' 'sigv4: must provide a AWS SigV4 Access key and Secret Key'
    refuses 'sigv4: {}, basic_auth: {username: u}' 'Currently configured: [basic_auth sigv4]'
    refuses 'azuread: {}' 'must provide an Azure Managed Identity'
    refuses 'azuread: {sdk: {}, managed_identity: {}}' 'cannot provide multiple authentication methods'
    refuses 'azuread: {managed_identity: {client_id: x}}' 'managed_identity: the provided Azure Managed Identity client_id is invalid'
    refuses "azuread: {oauth: {client_id: $ID, tenant_id: t}}" 'must provide an Azure OAuth client_secret'
    refuses 'azuread: {cloud: Azure, sdk: {}}' 'must provide a cloud'
    refuses 'google_iam: {file: x}' 'field file not found'
}
