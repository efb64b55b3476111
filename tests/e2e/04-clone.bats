#!/usr/bin/env bats
# A clone in which nothing was fetched or built yet: the tests and bench/ get what they need, and make says what
# there is to make.

load helpers

@test "kubectl is fetched before a cluster is made, unless another is named" {
    local clone="$BATS_TEST_TMPDIR/clone"
    mkdir -p "$clone/tests/e2e" "$clone/tools"
    cp "$E2E_DIR/helpers.bash" "$clone/tests/e2e/"
    printf '#!/bin/sh\necho fetched\nexit 1\n' >"$clone/tools/kubectl135"
    chmod 755 "$clone/tools/kubectl135"
    for place in new_cluster new_up_place; do
        run env -u KUBECTL bash -ec "source '$clone/tests/e2e/helpers.bash'; $place; echo made"
        echo "$output"
        [ "$status" -ne 0 ]
        [ "$output" = fetched ]
    done
    KUBECTL=/bin/true run bash -ec "source '$clone/tests/e2e/helpers.bash'; need_kubectl; echo made"
    [ "$output" = made ]
}

@test "make help lists every target, and make alone does no more" {
    local target targets
    run make -sC "$E2E_DIR/../.." help
    [ "$status" -eq 0 ]
    targets=$(sed -n 's/^.PHONY: //p' "$E2E_DIR/../../Makefile")
    [ "${#lines[@]}" -eq "$(wc -w <<<"$targets")" ]
    for target in $targets; do
        grep -qE "^make $target  +[a-z]" <<<"$output" || { echo "$target is missing"; false; }
    done
    [ "$output" = "$(make -sC "$E2E_DIR/../..")" ]
}
