# oci.bash - bundles of busybox for the tests of knarr-oci, each in a folder of its own.

source "$(dirname "${BASH_SOURCE[0]}")/helpers.bash"
OCI_BIN=$(realpath "$KNARR_BUILD/src/cmd")/knarr-oci

# oci_setup: a bundle in $B, the state of containers below $S; the working directory is the bundle.
oci_setup() {
    need_root
    T=$(mktemp -d /tmp/knarr-oci-XXXXXX)
    chmod 755 "$T"
    B=$T/bundle S=$T/state ID=t${T##*-}
    make_root "$B/rootfs"
    cd "$B" || return 1
    ko spec
    config '.process.terminal = false | .process.args = ["sleep", "1000"] | .root.readonly = false'
}

make_root() { # DIR
    mkdir -p "$1"/{bin,etc,tmp,root,proc,sys,dev}
    cp "$(command -v busybox)" "$1/bin/busybox"
    local name
    for name in sh ls cat true false sleep mount umount ps id echo sort head stat touch mkdir ln rm env kill test printf readlink dd \
        hostname tty wc ulimit nc awk sed grep pwd chmod chroot nproc taskset; do
        ln -s busybox "$1/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$1/etc/group"
}

oci_teardown() {
    cd /
    [ -n "${T:-}" ] || return 0
    local id
    for id in $(ko list -q 2>/dev/null); do ko delete --force "$id"; done
    rm -rf --one-file-system "$T"
}

ko() { timeout 60 "$OCI_BIN" --root "$S" "$@"; }
config() { # JQ-FILTER: changes config.json
    jq "$@" config.json >config.new && mv config.new config.json
}
# args WORDS…: what the container runs
args() { jq '.process.args = $ARGS.positional' config.json --args -- "$@" >config.new && mv config.new config.json; }
# script TEXT: the container runs it by its shell
script() { args sh -c "$1"; }
status_of() { ko state "${1:-$ID}" | jq -r .status; }
# gone_without_trace [ID]: neither state, nor groups, nor a process is left
gone_without_trace() {
    local id=${1:-$ID}
    [ ! -e "$S/$id" ] || { ls -la "$S/$id"; return 1; }
    local left
    left=$(find /sys/fs/cgroup -type d -name "$id" 2>/dev/null)
    [ -z "$left" ] || { echo "groups are left: $left"; return 1; }
}
is_status() { [ "$(status_of "$1" 2>/dev/null)" = "$2" ]; }
