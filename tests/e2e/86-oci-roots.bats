#!/usr/bin/env bats
# Namespaces, mounts and the process of a container.
load oci

setup() { oci_setup; }
teardown() { oci_teardown; }

add_mount() { # DESTINATION TYPE SOURCE OPTIONS…
    local d=$1 t=$2 s=$3
    shift 3
    jq --arg d "$d" --arg t "$t" --arg s "$s" '.mounts += [{"destination": $d, "type": $t, "source": $s, "options": $ARGS.positional}]' \
        config.json --args -- "$@" >config.new
    mv config.new config.json
}
add_ns() { config --arg t "$1" --arg p "${2:-}" '.linux.namespaces += [if $p == "" then {"type": $t} else {"type": $t, "path": $p} end]'; }
drop_ns() { config --arg t "$1" '.linux.namespaces |= map(select(.type != $t))'; }
ns_of() { readlink "/proc/$1/ns/$2"; }

@test "new namespaces of every kind, and those of another container by path" {
    add_ns time
    config '.linux.timeOffsets = {"boottime": {"secs": 1000000}} | .hostname = "inside"'
    ko run -d a-"$ID" </dev/null >/dev/null 2>&1
    first=$(ko state a-"$ID" | jq .pid)
    for kind in pid mnt net ipc uts time cgroup; do
        [ "$kind" != cgroup ] || jq -e '.linux.namespaces[] | select(.type == "cgroup")' config.json >/dev/null || continue
        [ "$(ns_of "$first" $kind)" != "$(ns_of self $kind)" ] || { echo "$kind is ours"; false; }
    done
    [ "$(ko exec a-"$ID" hostname)" = inside ]
    [ "$(ko exec a-"$ID" awk '{print ($1 > 1000000)}' /proc/uptime)" = 1 ]
    for kind in pid network ipc uts time; do
        short=${kind/network/net}
        config --arg t $kind --arg p "/proc/$first/ns/$short" '(.linux.namespaces[] | select(.type == $t)).path = $p | del(.linux.timeOffsets) | del(.hostname)'
    done
    ko run -d b-"$ID" </dev/null >/dev/null 2>&1
    second=$(ko state b-"$ID" | jq .pid)
    for kind in pid net ipc uts time; do
        [ "$(ns_of "$first" $kind)" = "$(ns_of "$second" $kind)" ] || { echo "$kind differs"; false; }
    done
    [ "$(ns_of "$first" mnt)" != "$(ns_of "$second" mnt)" ]
    ko exec b-"$ID" ps | grep -c sleep | grep -qx 2
    ko delete -f b-"$ID"
    kill -0 "$first"
}

@test "a user namespace: mappings, binds, devices, exec" {
    add_ns user
    config '.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
    mkdir -m 700 "$T/private" && mkdir -m 777 "$T/private/vol"
    chown -R 100000:100000 rootfs "$T/private/vol"
    chmod 711 "$T/private"
    add_mount /vol bind "$T/private/vol" rbind rw
    script 'id -u; cat /proc/self/uid_map | tr -s " "; touch /vol/made; echo x >/dev/null; ls -l /dev/null; ls -ln /proc/self/exe >/dev/null; sleep 1000'
    ko run -d "$ID" </dev/null >out 2>&1
    wait_for 10 grep -q /dev/null out
    [ "$(sed -n 1p out)" = 0 ]
    grep -q "0 100000 65536" out
    grep -qE "^crw-rw-rw- .* 1, +3 .*/dev/null" out
    [ "$(stat -c %u "$T/private/vol/made")" = 100000 ]
    [ "$(ko exec "$ID" id -u)" = 0 ]
    pid=$(ko state "$ID" | jq .pid)
    [ "$(awk '/^Uid/ {print $2}' "/proc/$pid/status")" = 100000 ]
    # Another container joins it by path.
    config --arg p "/proc/$pid/ns/user" '(.linux.namespaces[] | select(.type == "user")).path = $p | del(.linux.uidMappings) | del(.linux.gidMappings)'
    args id -u
    [ "$(ko run b-"$ID")" = 0 ]
}

@test "an id-mapped mount shows other owners" {
    mkdir "$T/vol"
    touch "$T/vol/file"
    chown 1000:1000 "$T/vol/file"
    add_mount /vol bind "$T/vol" rbind
    config '.mounts[-1] += {"uidMappings": [{"containerID": 1000, "hostID": 2000, "size": 1}], "gidMappings": [{"containerID": 1000, "hostID": 2000, "size": 1}]}'
    args stat -c %u:%g /vol/file
    run ko run "$ID"
    [ "$output" = 2000:2000 ] || [[ "$output" == *"map the owners"* ]] # a file system may not be able to
}

@test "options of binds: read-only, recursively too, propagation, nosuid" {
    mkdir -p "$T/vol/sub"
    mount -t tmpfs none "$T/vol/sub"
    add_mount /ro bind "$T/vol" rbind ro nosuid
    add_mount /rro bind "$T/vol" rbind rro
    add_mount /slave bind "$T/vol" rbind rslave
    script 'touch /ro/x 2>&1; touch /ro/sub/x && echo sub; touch /rro/x /rro/sub/x 2>&1; touch /slave/y && echo slave; grep " /ro " /proc/self/mountinfo'
    run ko run "$ID"
    umount "$T/vol/sub"
    [[ "${lines[0]}" == *"/ro/x: Read-only file system"* ]] && [ "${lines[1]}" = sub ]
    [[ "${lines[2]}" == *"/rro/x: Read-only file system"* ]] && [[ "${lines[3]}" == *"/rro/sub/x: Read-only file system"* ]]
    [ "${lines[4]}" = slave ] && [[ "${lines[5]}" == *nosuid* ]]
}

@test "a bind onto a link to nothing, a file for a file, a folder for a folder" {
    mkdir "$T/dir"
    echo content >"$T/file"
    ln -s ../run/made rootfs/etc/resolv.conf
    add_mount /etc/resolv.conf bind "$T/file" bind
    add_mount /deep/er/dir bind "$T/dir" bind
    script 'cat /etc/resolv.conf /run/made; [ -d /deep/er/dir ] && echo dir'
    run ko run "$ID"
    [ "$output" = $'content\ncontent\ndir' ]
    [ -f rootfs/run/made ] && [ -d rootfs/deep/er/dir ]
}

@test "tmpfs: its mode stays, read-only comes last, tmpcopyup" {
    mkdir -m 1700 rootfs/kept
    mkdir -p rootfs/data/dir
    echo text >rootfs/data/dir/file
    ln -s dir rootfs/data/link
    chown 12:34 rootfs/data/dir/file
    add_mount /kept tmpfs tmpfs ro
    add_mount /data tmpfs tmpfs tmpcopyup
    script 'stat -c %a /kept; touch /kept/x 2>&1; cat /data/link/file; stat -c %u:%g /data/dir/file; echo more >>/data/dir/file'
    run ko run "$ID"
    [ "${lines[0]}" = 1700 ] && [[ "${lines[1]}" == *"Read-only file system"* ]]
    [ "${lines[2]}" = text ] && [ "${lines[3]}" = 12:34 ]
    [ "$(cat rootfs/data/dir/file)" = text ]
}

@test "a read-only root; propagation of the root; --no-pivot" {
    config '.root.readonly = true | .process.cwd = "/made/for/it" | .linux.rootfsPropagation = "shared"'
    script 'pwd; touch /x 2>&1; awk "\$5 == \"/\"" /proc/self/mountinfo | grep -c shared'
    run ko run "$ID"
    [ "${lines[0]}" = /made/for/it ] && [[ "${lines[1]}" == *"Read-only file system"* ]] && [ "${lines[2]}" = 1 ]
    config '.root.readonly = false | del(.linux.rootfsPropagation) | .process.cwd = "/"'
    script 'ls / | tr "\n" " "; mount | wc -l'
    run ko run --no-pivot "$ID"
    [ "$status" = 0 ] && [[ "$output" == *"bin "*"rootfs"* || "$output" == *"bin "* ]] && [[ "$output" != *" home "*" media "* ]]
}

@test "devices: the usual ones, those asked for, the links" {
    config '.linux.devices = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 384, "uid": 1, "gid": 2},
        {"path": "/dev/deep/pipe", "type": "p"}]'
    script 'stat -c "%n %F %t:%T %a %u:%g" /dev/mine /dev/null; stat -c %F /dev/deep/pipe; for l in fd ptmx stdin; do echo "$l $(readlink /dev/$l)"; done'
    run ko run "$ID"
    [ "${lines[0]}" = "/dev/mine character special file 1:5 600 1:2" ]
    [ "${lines[1]}" = "/dev/null character special file 1:3 666 0:0" ]
    [ "${lines[2]}" = fifo ]
    [ "${lines[3]}" = "fd /proc/self/fd" ] && [ "${lines[4]}" = "ptmx pts/ptmx" ] && [ "${lines[5]}" = "stdin /proc/self/fd/0" ]
}

@test "the process: limits, oom score, umask, priority, affinity, personality" {
    config '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 101}] | .process.oomScoreAdj = 77 | .process.user.umask = 18 |
        .process.user.additionalGids = [11, 12] | .process.ioPriority = {"class": "IOPRIO_CLASS_BE", "priority": 6} |
        .process.scheduler = {"policy": "SCHED_BATCH", "nice": 5} | .linux.personality = {"domain": "LINUX32"}'
    script 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; umask; id -G; awk "{print \$19, \$41}" /proc/self/stat; busybox uname -m'
    run ko run "$ID"
    [ "${lines[0]}" = 99 ] && [ "${lines[1]}" = 101 ] && [ "${lines[2]}" = 77 ] && [ "${lines[3]}" = 0022 ]
    [ "${lines[4]}" = "0 11 12" ] && [ "${lines[5]}" = "5 3" ] && [ "${lines[6]}" = i686 ]
}

@test "labels of security modules that the kernel does not have are errors" {
    [ ! -e /sys/fs/selinux/enforce ] && [ ! -e /proc/self/attr/apparmor ] || skip "a module is there"
    config '.process.selinuxLabel = "system_u:system_r:container_t:s0"'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"selinux label is specified in config, but selinux is disabled or not supported"* ]]
    config 'del(.process.selinuxLabel) | .process.apparmorProfile = "containers-default"'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"unable to apply apparmor profile"* ]]
    config 'del(.process.apparmorProfile)'
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    run ko exec --process-label x:y:z "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"selinux is disabled or not supported"* ]]
    run ko exec --apparmor other "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"unable to apply apparmor profile"* ]]
}

@test "as an ordinary user: an unprivileged container" {
    id nobody >/dev/null
    chmod 755 "$T" "$B"
    mkdir -m 700 "$T/own"
    chown 65534:65534 "$T/own"
    ko_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR "$OCI_BIN" --root "$T/own" "$@"; }
    ko_nobody list
    rm config.json
    chmod 777 .
    ko_nobody spec --rootless
    script 'id -u; cat /proc/self/setgroups; hostname'
    config '.process.terminal = false'
    chmod 644 config.json
    run ko_nobody run "$ID"
    [ "$status" = 0 ] || { echo "$output"; false; }
    [[ "$output" == *$'0\ndeny\n'* ]]
    [ -z "$(ls "$T/own")" ]
}
