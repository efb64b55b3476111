#!/usr/bin/env bats
# Ways out of a container that other runtimes had, each of them tried, and what a killed command leaves behind.
load oci

setup() { oci_setup; }
teardown() { oci_teardown; }

# shared: a volume that the container can write, at /vol
shared() {
    mkdir -p "$T/vol"
    config --arg v "$T/vol" '.mounts += [{"destination": "/vol", "type": "bind", "source": $v, "options": ["rbind", "rw"]}]'
}

@test "CVE-2019-5736: a program that is /proc/self/exe cannot be written" {
    before=$(sha256sum <"$OCI_BIN")
    printf '#!/proc/self/exe\n' >rootfs/bin/evil
    chmod 755 rootfs/bin/evil
    # While the runtime's program runs as this container's process, another one tries to open it for writing.
    script 'for i in 1 2 3 4 5 6 7 8 9; do
        /bin/evil >/dev/null 2>&1 &
        for p in /proc/[0-9]*; do
            (echo overwritten >$p/exe) 2>/dev/null && case $(readlink $p/exe) in */busybox) ;; *) echo "opened $(readlink $p/exe)";; esac
        done
    done; wait; echo tried'
    run ko run "$ID"
    [[ "$output" == *tried* ]] && [[ "$output" != *"opened "*knarr* ]]
    [ "$(sha256sum <"$OCI_BIN")" = "$before" ]
    ko run -d "$ID" </dev/null >/dev/null 2>&1 || true
    run ko exec "$ID" /bin/evil
    [ "$(sha256sum <"$OCI_BIN")" = "$before" ]
}

@test "CVE-2019-5736, CVE-2016-9962: of an exec in a shared pid namespace nothing can be read or traced" {
    # Of busybox' own processes the program can be read; of another one neither that nor the descriptors may be.
    script 'while :; do for p in /proc/[0-9]*; do
        exe=$(readlink $p/exe 2>/dev/null)
        case $exe in */busybox) continue;; esac
        [ -z "$exe" ] || echo "$p is $exe" >>/seen
        [ -n "$exe" ] || ls -l $p/fd $p/root $p/cwd 2>/dev/null | grep -e "->.*\(knarr\|exec.fifo\|cgroup\|socket\)" >>/seen
    done; done'
    config '.process.capabilities = {}' # root, but without the right to trace
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    for _ in 1 2 3 4 5 6 7 8 9 10; do ko exec "$ID" true; done
    [ ! -s rootfs/seen ] || { head -20 rootfs/seen; false; }
}

@test "CVE-2019-16884: a volume with other contents does not become /proc" {
    mkdir -p "$T/fake"
    config --arg v "$T/fake" '.mounts += [{"destination": "/proc", "type": "bind", "source": $v, "options": ["rbind"]}]'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot be mounted because it is not of type proc"* ]]
    config '.mounts[-1].destination = "/proc/sys"'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot be mounted because it is inside /proc"* ]]
    ln -s proc rootfs/other
    config '.mounts[-1].destination = "/other/self"'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot be mounted because it is inside /proc"* ]]
}

@test "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc and /sys that are links are refused" {
    rmdir rootfs/proc
    mkdir rootfs/elsewhere
    ln -s elsewhere rootfs/proc
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *'filesystem \"proc\" must be mounted on ordinary directory'* ]]
    rm rootfs/proc && mkdir rootfs/proc
    rmdir rootfs/sys
    ln -s /elsewhere rootfs/sys
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *'filesystem \"sysfs\" must be mounted on ordinary directory'* ]]
    gone_without_trace
}

@test "CVE-2021-30465, CVE-2024-45310: targets are found inside the root, links or not" {
    shared
    mkdir -p "$T/out" "$T/vol2"
    echo secret >"$T/out/file"
    # Links of the image and of a volume that was mounted before lead to the host, which they must not.
    ln -s "$T/out" rootfs/link
    ln -s "$T/out" "$T/vol/link"
    config --arg v "$T/vol2" '.mounts += [
        {"destination": "/link/made", "type": "bind", "source": $v, "options": ["rbind"]},
        {"destination": "/vol/link/made2", "type": "bind", "source": $v, "options": ["rbind"]},
        {"destination": "/../../../../link/made3", "type": "tmpfs", "source": "tmpfs"}]'
    script 'grep -c made /proc/mounts'
    run ko run "$ID"
    [ "$status" = 0 ] && [ "$output" = 3 ]
    [ "$(ls "$T/out")" = file ]
    [ -d "rootfs$T/out/made" ]
    # Somebody exchanges a folder for a link again and again while containers come up.
    mkdir -p "$T/vol/a"
    ln -s / "$T/vol/b"
    python3 - "$T/vol" 3>&- <<'END' &
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
while os.path.exists("."):
    libc.renameat2(-100, b"a", -100, b"b", 2)
END
    racer=$!
    config --arg v "$T/vol2" '.mounts[-3:] = [{"destination": "/vol/a/etc", "type": "bind", "source": $v, "options": ["rbind"]}]'
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do ko run "$ID" >/dev/null 2>&1 || true; done
    kill "$racer"
    [ -e /etc/passwd ]
    run grep "$T/vol2" /proc/self/mountinfo
    [ "$status" = 1 ]
}

@test "CVE-2022-29162: inheritable capabilities are those of the configuration" {
    script 'grep Cap /proc/self/status; grep -E "^Cap(Inh|Amb)" /proc/self/status | grep -v 0000000000000000; true'
    run ko run "$ID"
    [[ "$output" == *$'CapInh:\t0000000000000000'* ]] && [[ "$output" == *$'CapPrm:\t0000000020000420'* ]]
    [[ "$output" == *$'CapEff:\t0000000020000420'* ]] && [[ "$output" == *$'CapBnd:\t0000000020000420'* ]]
    ko run -d "$ID" </dev/null >/dev/null 2>&1 || true
}

@test "CVE-2023-25809: control groups of the host cannot be changed through /sys/fs/cgroup" {
    script 'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/evil 2>/dev/null && echo "made $d/evil"; done; echo tried'
    run ko run "$ID"
    [ "$output" = tried ]
    config '.linux.namespaces |= map(select(.type != "cgroup"))'
    run ko run "$ID"
    [ "$output" = tried ]
}

@test "CVE-2024-21626: no descriptor of ours leads out by the working directory" {
    for n in 3 4 5 6 7 8 9 10 11 12; do
        config --arg d "/proc/self/fd/$n" '.process.cwd = $d'
        run ko run "$ID"
        [ "$status" != 0 ] || { echo "fd $n: $output"; false; }
        gone_without_trace
    done
    config '.process.cwd = "/"'
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    for n in 3 4 5 6 7 8 9 10 11 12; do
        run ko exec --cwd "/proc/self/fd/$n" "$ID" ls -la ..
        [ "$status" = 255 ]
        ln -sf "/proc/self/fd/$n" rootfs/to
        run ko exec --cwd /to "$ID" pwd
        [ "$status" = 255 ]
    done
}

@test "CVE-2025-31133, CVE-2025-52565: a /dev that the container made does not unmask or mount anything" {
    # The volume is /dev itself, with links where the null device and the console are to be.
    mkdir -p "$T/dev/pts"
    ln -s /proc/sys/kernel/core_pattern "$T/dev/null"
    ln -s /proc/sysrq-trigger "$T/dev/console"
    config --arg v "$T/dev" '.mounts |= map(select(.destination | startswith("/dev") | not)) +
        [{"destination": "/dev", "type": "bind", "source": $v, "options": ["rbind"]}]'
    script 'echo "$(cat /proc/keys /proc/timer_list | wc -c) bytes"; (echo x >/proc/sys/kernel/core_pattern) && echo written'
    run ko run "$ID"
    [[ "$output" == *"0 bytes"* ]]
    [[ "$output" != *written* ]]
    config '.process.terminal = true'
    python3 "$E2E_DIR/oci_console.py" "$T/console" x >seen 2>&1 3>&- &
    wait_for 10 test -S "$T/console"
    run ko create --console-socket "$T/console" "$ID"
    [ "$status" = 1 ]
    kill $! 2>/dev/null || true
    gone_without_trace
}

@test "CVE-2025-52881: settings are written to the kernel's own files, whatever lies on the container's /proc" {
    before=$(sysctl -n net.ipv4.ip_unprivileged_port_start)
    config '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "77"} |
        .mounts += [{"destination": "/proc/uptime", "type": "bind", "source": "/dev/null", "options": ["bind"]}]'
    script 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
    [ "$(ko run "$ID")" = 77 ]
    [ "$(sysctl -n net.ipv4.ip_unprivileged_port_start)" = "$before" ]
    config '.linux.sysctl = {"kernel.../../vm/drop_caches": "1"}'
    run ko run "$ID"
    [ "$status" = 1 ]
}

@test "the host's devices keep owner and mode, through masked paths, standard descriptors and exec" {
    before=$(stat -c '%a %u:%g' /dev/null)
    config '.linux.maskedPaths = ["/etc/group"]'
    config '.process.capabilities |= with_entries(.value = ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"])'
    # What it already has is asked for, so that nothing happens to the host where this fails.
    script 'chmod 666 /etc/group 2>&1; chown 0:0 /etc/group 2>&1; echo x >/etc/group && wc -c </etc/group'
    run ko run "$ID"
    [[ "${lines[0]}" == *"Read-only file system"* && "${lines[1]}" == *"Read-only file system"* && "${lines[2]}" = 0 ]]
    # Owners of standard descriptors are not changed where they are devices.
    mknod "$T/zero" c 1 5
    config '.process.user.uid = 1000'
    args true
    ko run "$ID" <"$T/zero" >"$T/zero"
    [ "$(stat -c %u "$T/zero")" = 0 ]
    # The null device that an exec is started with is not the host's.
    config '.process.user.uid = 0'
    args sleep 1000
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    ko exec "$ID" sh -c 'stat -L -c %d:%i /proc/self/fd/0 /dev/null >/root/seen' </dev/null
    [ "$(sort -u rootfs/root/seen | wc -l)" = 1 ]
    [ "$(stat -c '%a %u:%g' /dev/null)" = "$before" ]
}

@test "CVE-2016-3697: a user is whom its number says, and none that leaves root what it is" {
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    for user in 4294967295 1000:4294967295; do
        run ko exec --user "$user" "$ID" id
        [ "$status" != 0 ] && [[ "$output" == *"no number of a user or group"* ]]
    done
    ko delete --force "$ID"
    config '.process.user.uid = 4294967295'
    run ko run "$ID"
    [ "$status" != 0 ]
}

@test "masked and read-only paths are, and cannot be undone" {
    script 'cat /proc/keys | wc -c; ls /proc/acpi /sys/firmware | grep -v : | wc -w; (echo 1 >/proc/sys/vm/swappiness) 2>&1
        umount /proc/keys 2>&1; mount -o remount,rw /proc/sys 2>&1; true'
    run ko run "$ID"
    [ "${lines[0]}" = 0 ] && [ "${lines[1]}" = 0 ] && [[ "${lines[2]}" == *"Read-only file system"* ]]
    [[ "$output" == *"can't unmount"* || "$output" == *"denied"* ]]
}

@test "SIGKILL at any system call of create: delete --force leaves nothing" {
    command -v strace >/dev/null || skip "without strace"
    for call in mkdirat openat:9 flock renameat clone3 socketpair recvmsg:2 sendmsg mkdir:3 mount:4 move_mount pivot_root umount2 close_range; do
        timeout -s KILL 3 strace -qq -f -o /dev/null -e trace="${call%:*}" -e inject="${call%:*}":signal=KILL:when="$([[ $call == *:* ]] && echo "${call#*:}" || echo 1)" \
            "$OCI_BIN" --root "$S" create "$ID" </dev/null >/dev/null 2>&1 || true
        ko delete --force "$ID"
        gone_without_trace || { echo "killed at $call"; false; }
    done
}

@test "SIGKILL at any system call of start and exec: delete --force leaves nothing" {
    command -v strace >/dev/null || skip "without strace"
    killed_at() { # CALL[:NTH] VERB…
        local call=$1
        shift
        timeout -s KILL 3 strace -qq -f -o /dev/null -e trace="${call%:*}" -e inject="${call%:*}":signal=KILL:when="${call#*:}" \
            "$OCI_BIN" --root "$S" "$@" </dev/null >/dev/null 2>&1 || true
    }
    for call in flock:1 pidfd_open:1 openat:6 poll:1 unlinkat:1; do
        ko create "$ID" </dev/null >/dev/null 2>&1
        killed_at $call start "$ID"
        ko delete --force "$ID"
        gone_without_trace || { echo "killed at $call"; false; }
    done
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    for call in socketpair:1 clone3:1 setns:2 sendmsg:1 recvmsg:1 prlimit64:1 close_range:1; do
        killed_at $call exec "$ID" sleep 998
        wait_for 10 eval '[ "$(ko ps "$ID" | grep -c 998)" = 0 ]' || { echo "killed at $call"; ko ps "$ID"; false; }
    done
    ko delete --force "$ID"
    gone_without_trace
}

@test "SIGKILL of create while a hook runs: the container goes with it" {
    config '.hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo here >/'"$T"'/here; sleep 100"]}]}'
    "$OCI_BIN" --root "$S" create "$ID" </dev/null >/dev/null 2>&1 3>&- &
    wait_for 10 test -e "$T/here"
    [ "$(status_of)" = creating ]
    pid=$(ko state "$ID" | jq .pid)
    kill -KILL $!
    wait_for 10 eval "[ ! -e /proc/$pid ] || grep -q '^State:.Z' /proc/$pid/status"
    ko delete --force "$ID"
    gone_without_trace
    pkill -f "sleep 100" -P 1 || true
}

@test "delete --force ends a create that hangs" {
    config '.hooks = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo here >/'"$T"'/here; sleep 100"]}]}'
    "$OCI_BIN" --root "$S" create "$ID" </dev/null >/dev/null 2>&1 3>&- &
    wait_for 10 test -e "$T/here"
    ko delete --force "$ID"
    gone_without_trace
    code=0
    wait $! || code=$?
    [ "$code" != 0 ]
}
