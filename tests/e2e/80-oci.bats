#!/usr/bin/env bats
# The verbs of knarr-oci on a real bundle: a container's life, its terminal, hooks and exec.
load oci

setup() { oci_setup; }
teardown() { oci_teardown; }

@test "create, start, state, kill, delete: a container's life, and nothing is left of it" {
    ko create --pid-file pid "$ID" </dev/null >out 2>&1
    [ "$(status_of)" = created ]
    [ "$(ko state "$ID" | jq .pid)" = "$(cat pid)" ]
    ko state "$ID" | jq -e --arg b "$B" '.ociVersion == "1.2.0" and .bundle == $b and .owner == "root"'
    # A container that waits holds none of our descriptors but the fifo.
    [ "$(readlink /proc/"$(cat pid)"/fd/* | grep -cvE 'exec.fifo|/null|/out|pipe:|socket:')" = 0 ]
    ko start "$ID"
    [ "$(status_of)" = running ]
    run ko start "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot start an already running container"* ]]
    run ko delete "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot delete container $ID that is not stopped: running"* ]]
    ko kill "$ID" KILL
    wait_for 10 is_status "$ID" stopped
    run ko start "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot start a container that has stopped"* ]]
    ko delete "$ID"
    gone_without_trace
    run ko state "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"container does not exist"* ]]
}

@test "run in the foreground: output, exit codes, signals, and it is deleted" {
    script 'echo to-out; echo to-err >&2; exit 7'
    run ko run "$ID"
    [ "$status" = 7 ] && [[ "$output" == *to-out* ]] && [[ "$output" == *to-err* ]]
    gone_without_trace
    script 'kill -9 $$'
    config '.linux.namespaces |= map(select(.type != "pid"))'
    run ko run "$ID"
    [ "$status" = 137 ]
    gone_without_trace
    script 'trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    "$OCI_BIN" --root "$S" run "$ID" >out 3>&- &
    wait_for 10 grep -q ready out
    kill -TERM $!
    code=0
    wait $! || code=$?
    [ "$code" = 3 ]
    grep -q "got it" out
    run ko run --keep "$ID" --bundle /nowhere
    [ "$status" = 1 ] && [[ "$output" == *"runc run failed: chdir /nowhere: no such file or directory"* ]]
}

@test "run --keep leaves a stopped container, --detach a running one" {
    args true
    ko run --keep "$ID"
    [ "$(status_of)" = stopped ]
    ko delete "$ID"
    args sleep 1000
    ko run --detach --pid-file pid "$ID" </dev/null >/dev/null 2>&1
    [ "$(status_of)" = running ]
    kill -0 "$(cat pid)"
    ko delete --force "$ID"
    gone_without_trace
    ko delete --force "$ID"
    run ko delete "$ID"
    [ "$status" = 1 ]
}

@test "a program that ends at once is no failure of start" {
    args true
    for _ in 1 2 3 4 5 6 7 8; do
        ko create "$ID" </dev/null >/dev/null 2>&1
        ko start "$ID"
        ko delete --force "$ID"
    done
}

@test "create | cat ends when the container ends" {
    script 'echo hello; read line <go; echo bye'
    mkfifo rootfs/go
    (ko create "$ID" </dev/null | cat >out; echo ended >>out) 3>&- &
    wait_for 10 is_status "$ID" created
    ko start "$ID"
    wait_for 10 grep -q hello out
    run grep ended out
    [ "$status" = 1 ]
    echo x >rootfs/go
    wait_for 10 grep -q ended out
    grep -q bye out
}

@test "list: table, JSON, ids; what cannot be read costs itself only" {
    [ "$(ko list)" = "ID          PID         STATUS      BUNDLE      CREATED     OWNER" ]
    [ "$(ko list -f json)" = null ]
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    ko create b-"$ID" </dev/null >/dev/null 2>&1
    [ "$(ko list -q | sort | tr '\n' ' ')" = "b-$ID $ID " ]
    [ "$(ko list --format json | jq -r 'map(.status) | sort | join(",")')" = created,running ]
    mkdir "$S/broken"
    run ko list
    [ "$status" = 0 ] && [[ "$output" == *"load container broken"* ]] && [[ "$output" == *"$ID"*running* ]]
    ko delete --force broken
    [ ! -e "$S/broken" ]
}

flip() { # FILE OFFSET: one bit of it
    python3 -c 'import sys; f = open(sys.argv[1], "r+b"); d = bytearray(f.read()); d[int(sys.argv[2])] ^= 1; f.seek(0); f.write(d)' "$1" "$2"
}

@test "a damaged state is no reason to keep a container: its copy counts, and nothing is left running" {
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    pid=$(ko state "$ID" | jq .pid)
    cp "$S/$ID/state.json" "$T/good"
    for at in $(seq 0 29 "$(($(stat -c %s "$T/good") - 1))"); do
        flip "$S/$ID/state.json" "$at"
        [ "$(ko state "$ID" | jq .pid)" = "$pid" ] || { echo "byte $at"; false; }
        cp "$T/good" "$S/$ID/state.json"
    done
    rm "$S/$ID/state.json"
    [ "$(ko exec "$ID" echo in)" = in ]
    echo '{"id":' >"$S/$ID/state.json"
    ko delete --force "$ID"
    gone_without_trace
    [ ! -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status"
}

@test "nothing of a damaged file is believed: state.json with its copy, config.json" {
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    pid=$(ko state "$ID" | jq .pid)
    cp "$S/$ID/config.json" "$T/config"
    sed -i 's/PATH=/PAT1=/' "$S/$ID/config.json"
    for verb in "state $ID" "exec $ID true" "ps $ID" "pause $ID" "delete $ID"; do
        # shellcheck disable=SC2086
        run ko $verb
        [ "$status" != 0 ] && [[ "$output" == *"state of container $ID is damaged (config.json); delete --force takes it away"* ]]
        [ -d "/proc/$pid" ]
    done
    ko delete --force "$ID"
    gone_without_trace
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    pid=$(ko state "$ID" | jq .pid)
    sed -i "s/\"pid\":$pid/\"pid\":$$/" "$S/$ID/state.json" "$S/$ID/state.copy"
    run ko state "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"damaged (state.json)"* ]]
    run ko delete --force "$ID"
    [ "$status" = 0 ] && [[ "$output" == *"what still runs of it is left alone"* ]]
    kill -KILL "$pid"
    find /sys/fs/cgroup -depth -type d -name "$ID" -exec sh -c 'until rmdir "$1"; do sleep 0.05; done' _ {} \; 2>/dev/null
}

@test "a state that does not say when its process began kills nobody else, and its own all the same" {
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    own=$(ko state "$ID" | jq .pid)
    sleep 997 3>&- &
    jq --argjson pid $! 'del(.startTime) | .pid = $pid' "$S/$ID/state.json" >"$T/damaged"
    cp "$T/damaged" "$S/$ID/state.json"
    run ko state "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"damaged"* ]]
    ko delete --force "$ID"
    gone_without_trace
    kill %1 # it was still there
    [ ! -e "/proc/$own" ] || grep -q '^State:.Z' "/proc/$own/status"
}

@test "messages go to standard error, to --log, and as JSON" {
    run ko state nope
    [[ "$output" =~ ^time=\"20..-..-..T..:..:..(Z|[+-]..:..)\"\ level=error\ msg=\"container\ does\ not\ exist\"$ ]]
    run ko --log "$T/log" --log-format json state nope
    [ "$output" = "container does not exist" ]
    jq -e '.level == "error" and .msg == "container does not exist" and (.time | length > 0)' "$T/log"
    run ko --log-format nothing list
    [ "$status" = 1 ] && [[ "$output" == *"invalid log-format: nothing"* ]]
    run ko create --nothing "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"flag provided but not defined: -nothing"* ]]
    run ko state
    [ "$status" = 1 ] && [[ "$output" == *'\"state\" requires exactly 1 argument(s)'* ]]
    run ko state ../x
    [ "$status" = 1 ] && [[ "$output" == *"invalid container ID format"* ]]
    run ko checkpoint "$ID"
    [ "$status" = 1 ] && [[ "$output" == *criu* ]]
    [[ "$(ko --version)" == "knarr-oci version "*"spec: 1.2.0"* ]]
    run ko --log "$T/nodir/log" list
    [ "$status" = 1 ] && [[ "$output" == *"open $T/nodir/log: no such file or directory"* ]]
    ko --log "$T/made" list
    [ -e "$T/made" ] && [ ! -s "$T/made" ]
}

@test "exec: exit codes, user, groups, environment, folder, capabilities, detached" {
    config '.process.env += ["GREETING=hello"]'
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    [ "$(ko exec "$ID" sh -c 'echo $GREETING $MORE; pwd')" = $'hello\n/' ]
    [ "$(ko exec -e MORE=world -e GREETING=bye --cwd /tmp "$ID" sh -c 'echo $GREETING $MORE; pwd')" = $'bye world\n/tmp' ]
    [ "$(ko exec -u 1000:1001 -g 5 -g 6 "$ID" id)" = "uid=1000(user) gid=1001 groups=5,6" ]
    [ "$(ko exec -u 1000 "$ID" sh -c 'echo $HOME')" = /home/user ]
    run ko exec "$ID" sh -c 'exit 42'
    [ "$status" = 42 ]
    run ko exec "$ID" nothing
    [ "$status" = 255 ] && [[ "$output" == *'exec failed: unable to start container process: exec: \"nothing\": executable file not found in $PATH'* ]]
    [ "$(ko exec --cap CAP_SYS_TIME "$ID" awk '/CapEff/ {print $2}' /proc/self/status)" = 0000000022000420 ]
    [ "$(ko exec --no-new-privs "$ID" awk '/NoNewPrivs/ {print $2}' /proc/self/status)" = 1 ]
    ko exec -d --pid-file pid "$ID" sleep 999 </dev/null >/dev/null 2>&1
    grep -q sleep "/proc/$(cat pid)/cmdline"
    [ "$(readlink "/proc/$(cat pid)/ns/pid")" = "$(readlink "/proc/$(ko state "$ID" | jq .pid)/ns/pid")" ]
    echo '{"args":["id","-u"],"cwd":"/","user":{"uid":7,"gid":0}}' >process.json
    [ "$(ko exec --process process.json "$ID")" = 7 ]
    ko kill "$ID" KILL
    wait_for 10 is_status "$ID" stopped
    run ko exec "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"cannot exec in a stopped container"* ]]
}

@test "a paused container takes no exec, unless asked" {
    ko run -d "$ID" </dev/null >/dev/null 2>&1
    ko pause "$ID"
    [ "$(status_of)" = paused ]
    run ko exec "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"cannot exec in a paused container (use --ignore-paused to override)"* ]]
    ko resume "$ID"
    ko exec "$ID" true
    ko pause "$ID"
    ko delete --force "$ID"
    gone_without_trace
}

@test "terminal: a socket gets the master, in the foreground ours is passed through" {
    config '.process.terminal = true | .process.consoleSize = {"height": 10, "width": 70}'
    script 'tty; echo "size: $(busybox stty size)"; ls -l /dev/console; read line; echo "got $line"'
    run ko create "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot allocate tty if runc will detach without setting console socket"* ]]
    python3 "$E2E_DIR/oci_console.py" "$T/console" "a line" >seen 3>&- &
    wait_for 10 test -S "$T/console"
    ko create --console-socket "$T/console" "$ID"
    ko start "$ID"
    wait $!
    grep -q "/dev/pts/0" seen
    grep -q "size: 10 70" seen
    grep -qE "^c.* 136, +0 .*/dev/console" seen
    grep -q "got a line" seen
    ko delete --force "$ID"
    type -P script >/dev/null || skip "without script(1)"
    (wait_for 10 is_status "$ID" running && echo "another line") | command script -qec "$OCI_BIN --root $S run $ID" /dev/null >seen
    grep -q "got another line" seen || { cat seen; false; }
    gone_without_trace
}

@test "hooks: each at its stage, in order, with the state on standard input" {
    cat >hook <<'END'
#!/bin/sh
state=$(cat)
echo "$1 $(echo "$state" | sed 's/.*"status":"\([a-z]*\)".*/\1/')" >>"$LOG"
END
    chmod +x hook
    cp hook rootfs/hook
    : >log
    mkdir -p rootfs"$B"
    : >rootfs"$B"/log # what runs inside writes there
    config --arg b "$B" '
        def hook(p; n): [{"path": p, "args": ["hook", n], "env": ["LOG=" + $b + "/log", "PATH=/bin:/usr/bin"]}];
        .hooks = {
            "prestart": hook($b + "/hook"; "prestart"), "createRuntime": hook($b + "/hook"; "createRuntime"),
            "createContainer": hook($b + "/hook"; "createContainer"), "startContainer": hook("/hook"; "startContainer"),
            "poststart": hook($b + "/hook"; "poststart"), "poststop": hook($b + "/hook"; "poststop")}'
    ko create "$ID" </dev/null >/dev/null 2>&1
    [ "$(cat log)" = $'prestart creating\ncreateRuntime creating\ncreateContainer creating' ]
    ko start "$ID"
    [ "$(tail -1 log)" = "poststart running" ]
    [ "$(cat rootfs"$B"/log)" = "startContainer created" ]
    ko delete --force "$ID"
    [ "$(tail -1 log)" = "poststop stopped" ]
}

@test "a hook without an environment has ours, and nothing that we tell ourselves" {
    config --arg f "$B/environment" '.hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "env >" + $f]}]}'
    args true
    OUR_OWN=there ko run "$ID"
    grep -qx OUR_OWN=there environment
    ! grep KNARR_OCI environment || false
}

@test "a hook that fails or takes too long: the container is not made, and nothing is left" {
    config '.hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]}'
    run ko run "$ID"
    [ "$status" = 1 ]
    [[ "$output" == *"error running hook #0: error running hook: exit status 3, stdout: , stderr: why"* ]]
    gone_without_trace
    config '.hooks = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"hook ran past specified timeout of 1.0s"* ]]
    gone_without_trace
    config '.hooks = {"startContainer": [{"path": "/bin/false"}]}'
    ko create "$ID" </dev/null >/dev/null 2>&1
    run ko start "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"error running hook #0: error running hook: exit status 1"* ]]
    ko delete --force "$ID"
    gone_without_trace
}

@test "descriptors: --preserve-fds and LISTEN_FDS go in, nothing else does" {
    script 'ls -l /proc/self/fd | awk "/->/ {print \$9}" | sort -n | tr "\n" " "; echo "listen=$LISTEN_FDS,$LISTEN_PID"'
    ko run --preserve-fds 2 "$ID" 3</dev/zero 4</dev/zero 5</dev/zero 17</etc/hostname >out
    grep -q "^0 1 2 3 4 [0-9]* *listen=,$" out # one more is that of ls itself
    LISTEN_FDS=1 ko run "$ID" 3</dev/zero 4</dev/zero >out
    grep -q "^0 1 2 3 [0-9]* *listen=1,1$" out
}
