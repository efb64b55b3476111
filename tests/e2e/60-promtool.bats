#!/usr/bin/env bats
# knarr promtool beside Debian's promtool on the same rule files.
bats_require_minimum_version 1.5.0

setup() {
    command -v promtool >/dev/null || skip "promtool is not installed"
    KNARR_PROMTOOL="${BUILD_DIR:-$BATS_TEST_DIRNAME/../../build}/src/cmd/knarr-promtool"
    cd "$BATS_TEST_TMPDIR"
    printf 'groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {alert: B, expr: up == 0, for: 1m}\n' >good.yml
    printf 'groups:\n- name: g\n  rules:\n  - {record: a, expr: "up =="}\n' >bad.yml
}

@test "check rules says what promtool says" {
    run --separate-stderr promtool check rules good.yml bad.yml
    want="$output" code="$status"
    run --separate-stderr "$KNARR_PROMTOOL" check rules good.yml bad.yml
    [ "$output" = "$want" ] && [ "$status" -eq "$code" ]
    [[ "$stderr" == *'group "g", rule 1, "a": could not parse expression'* ]]
}
