#!/usr/bin/env bats
# Control groups of a container: limits at its start and by update, pause, ps, events, devices.
load oci

setup() {
    oci_setup
    config --arg p "/knarr-oci-test/$ID" '.linux.cgroupsPath = $p'
}
teardown() {
    oci_teardown
    find /sys/fs/cgroup -depth -type d -path "*/knarr-oci-test*" -exec rmdir {} + 2>/dev/null || true
}

# group CONTROLLER: its folder, in version 1 or version 2
group() {
    local dir
    for dir in "/sys/fs/cgroup/$1" "/sys/fs/cgroup/cpu,cpuacct" /sys/fs/cgroup; do
        [ ! -d "$dir/knarr-oci-test/$ID" ] || { echo "$dir/knarr-oci-test/$ID"; return 0; }
    done
    return 1
}
v1() { [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; }
# has_limit CONTROLLER V1-FILE V1-VALUE V2-FILE V2-VALUE
has_limit() {
    local file=$2 want=$3
    v1 || { file=$4 want=$5; }
    [ "$(cat "$(group "$1")/$file")" = "$want" ] || { echo "$file: $(cat "$(group "$1")/$file"), not $want"; return 1; }
}
start() { ko run -d "$ID" </dev/null >log 2>&1; }

@test "limits of the configuration are there before the program runs" {
    config '.linux.resources += {"memory": {"limit": 67108864, "reservation": 33554432}, "pids": {"limit": 30},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"}}'
    start
    has_limit memory memory.limit_in_bytes 67108864 memory.max 67108864
    has_limit memory memory.soft_limit_in_bytes 33554432 memory.low 33554432
    has_limit pids pids.max 30 pids.max 30
    has_limit cpu cpu.shares 512 cpu.weight 20
    has_limit cpu cpu.cfs_quota_us 50000 cpu.max "50000 100000"
    has_limit cpuset cpuset.cpus 0 cpuset.cpus 0
    [ "$(ko exec "$ID" nproc)" = 1 ]
    # What exec starts is in the same groups.
    ko exec -d --pid-file pid "$ID" sleep 1000 </dev/null >/dev/null 2>&1
    grep -qx "$(cat pid)" "$(group pids)/cgroup.procs"
    ko delete --force "$ID"
    gone_without_trace
}

@test "update: every flag, sizes with units, a file, standard input; what is not said stays" {
    config '.linux.resources += {"memory": {"limit": 67108864}, "pids": {"limit": 30}}'
    start
    ko update --memory 128M --memory-reservation 64MiB --cpu-share 200 --cpu-period 90000 --cpu-quota 60000 --cpuset-cpus 0 "$ID"
    has_limit memory memory.limit_in_bytes 134217728 memory.max 134217728
    has_limit memory memory.soft_limit_in_bytes 67108864 memory.low 67108864
    has_limit cpu cpu.shares 200 cpu.weight 8
    has_limit cpu cpu.cfs_period_us 90000 cpu.max "60000 90000"
    has_limit pids pids.max 30 pids.max 30
    ko update --pids-limit -1 "$ID"
    has_limit pids pids.max max pids.max max
    echo '{"pids": {"limit": 25}, "cpu": {"quota": -1}, "unknown": 1}' | ko update -r - "$ID"
    has_limit pids pids.max 25 pids.max 25
    has_limit cpu cpu.cfs_quota_us -1 cpu.max "max 90000"
    echo '{"memory": {"limit": 33554432}}' >r.json
    ko update --resources r.json "$ID"
    has_limit memory memory.limit_in_bytes 33554432 memory.max 33554432
}

@test "update: what is wrong is said in runc's words, and nothing changes" {
    config '.linux.resources += {"pids": {"limit": 30}}'
    start
    refused() { # WORDS ARGS…
        local words=$1
        shift
        run ko update "$@" "$ID"
        [ "$status" = 1 ] && [[ "$output" == *"$words"* ]] || { echo "$* ($status): $output"; return 1; }
    }
    refused "invalid value for memory: invalid size: '5x'" --memory 5x
    refused 'invalid value for cpu-period: strconv.ParseUint: parsing \"a\": invalid syntax' --cpu-period a
    refused 'invalid value \"b\" for flag -pids-limit: parse error' --pids-limit b
    refused "Intel RDT/CAT: l3 cache schema is not enabled" --l3-cache-schema L3:0=f
    refused "open /nowhere: no such file or directory" -r /nowhere
    echo '{"pids": {"limit": "5"}}' >r.json
    refused "r.json:1: pids.limit: " -r r.json
    refused "cpuset.cpus" --cpuset-cpus 4000
    has_limit pids pids.max 30 pids.max 30
    ko kill "$ID" KILL
    wait_for 10 is_status "$ID" stopped
    refused "container not running" --pids-limit 5
    run ko update --pids-limit 5 nobody
    [ "$status" = 1 ] && [[ "$output" == *"container does not exist"* ]]
}

@test "a limit that the kernel does not take: no container, and nothing is left" {
    config '.linux.resources += {"cpu": {"period": 100}}'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cpu."* ]]
    gone_without_trace
    config 'del(.linux.resources.cpu) | .linux.resources.hugepageLimits = [{"pageSize": "3KB", "limit": 1}]'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *hugetlb* ]]
    gone_without_trace
    v1 || return 0
    config 'del(.linux.resources.hugepageLimits) | .linux.resources.unified = {"memory.high": "max"}'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot use unified on cgroup v1"* ]]
    gone_without_trace
}

@test "pids: a fork bomb stays inside" {
    config '.linux.resources += {"pids": {"limit": 10}}'
    script 'bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000'
    start
    wait_for 20 eval '[ "$(cat "$(group pids)/pids.current")" -le 10 ]'
    [ "$(cat "$(group pids)/pids.current")" -le 10 ]
    ko delete --force "$ID"
    gone_without_trace
}

@test "pause and resume: all of it stands, and goes on" {
    script 'while :; do echo x >>/tmp/out; sleep 0.01; done'
    start
    wait_for 10 test -s rootfs/tmp/out
    ko pause "$ID"
    [ "$(status_of)" = paused ]
    [ "$(ko list -q)" = "$ID" ]
    size=$(stat -c %s rootfs/tmp/out)
    sleep 0.3
    [ "$(stat -c %s rootfs/tmp/out)" = "$size" ]
    run ko pause "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"container not running"* ]]
    ko update --pids-limit 50 "$ID"
    ko resume "$ID"
    [ "$(status_of)" = running ]
    grew() { [ "$(stat -c %s rootfs/tmp/out)" -gt "$size" ]; }
    wait_for 10 grew
    run ko resume "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"container not paused"* ]]
    ko pause "$ID"
    ko delete --force "$ID"
    gone_without_trace
}

@test "ps: a table of the host's ps, with its options, and JSON" {
    script 'sleep 1000 & sleep 1000'
    start
    wait_for 10 eval '[ "$(ko ps -f json "$ID" | jq length)" -ge 2 ]'
    first=$(ko state "$ID" | jq .pid)
    ko ps --format json "$ID" | jq -e --argjson p "$first" 'index($p) == 0 and . == sort'
    run ko ps "$ID"
    [ "$status" = 0 ] && [[ "${lines[0]}" == UID*PID*CMD ]] && [[ "$output" == *"sleep 1000"* ]]
    run ko ps "$ID" -o pid,comm -e
    [ "${lines[0]}" = "    PID COMMAND" ] || [ "${lines[0]}" = "  PID COMMAND" ]
    grep -q "^ *$first " <<<"$output"
    [ "$(grep -c "^ *1 " <<<"$output")" = 0 ]
    run ko ps "$ID" -o comm -e
    [ "$status" = 1 ] && [[ "$output" == *"couldn't find PID field in ps output"* ]]
    run ko ps -f xml "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"invalid format option"* ]]
    ko kill "$ID" KILL
    wait_for 10 is_status "$ID" stopped
    [ "$(ko ps -f json "$ID")" = null ]
}

@test "events: statistics in runc's form, at intervals, until the container ends" {
    config '.linux.resources += {"pids": {"limit": 30}}'
    start
    ko events --stats "$ID" >stats
    jq -e '.type == "stats" and .id != "" and .data.pids == {"current": 1, "limit": 30} and .data.memory.usage.usage > 0
        and .data.cpu.usage.total > 0 and (.data.memory.raw | length) > 10 and .data.network_interfaces == null
        and (.data | keys_unsorted) == ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"]' stats
    "$OCI_BIN" --root "$S" events --interval 50ms "$ID" >events 2>log 3>&- &
    several() { [ "$(grep -c '"type":"stats"' events)" -ge 3 ]; }
    wait_for 10 several
    ko delete --force "$ID"
    wait $! || { cat log; false; }
    run ko events --interval 0 "$ID"
    [ "$status" = 1 ]
    start
    run ko events --interval=-1s "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"duration interval must be greater than 0"* ]]
    run ko events --interval 5x "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"invalid value"* ]]
    ko kill "$ID" KILL
    wait_for 10 is_status "$ID" stopped
    run ko events "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"container with id $ID is not running"* ]]
}

@test "events: a process that is killed for want of memory is told of" {
    config '.linux.resources += {"memory": {"limit": 16777216}} | .mounts += [{"destination": "/m", "type": "tmpfs", "source": "tmpfs"}]'
    [ ! -e "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes" ] || config '.linux.resources.memory.swap = 16777216'
    start
    "$OCI_BIN" --root "$S" events --interval 50ms "$ID" >events 2>log 3>&- &
    wait_for 10 grep -q stats events
    run ko exec "$ID" sh -c 'x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr "\0" x); echo survived'
    [[ "$output" != *survived* ]]
    wait_for 20 grep -qF "{\"type\":\"oom\",\"id\":\"$ID\"}" events
    ko delete --force "$ID"
    wait $! || true
}

@test "devices: denied unless allowed, those that everybody has, no rule that would be ignored" {
    config '.linux.devices = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]'
    start
    run ko exec "$ID" sh -c 'head -c 1 /dev/kmsg'
    [ "$status" != 0 ] && [[ "$output" == *"not permitted"* ]]
    ko exec "$ID" sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c | grep -qx 4'
    ko delete --force "$ID"
    config '.linux.resources.devices += [{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]'
    start
    ko exec "$ID" sh -c 'dd if=/dev/kmsg bs=8192 count=1 2>&1 >/dev/null | grep -v records' || [ "$?" = 1 ]
    run ko exec "$ID" sh -c 'echo x >/dev/kmsg'
    [ "$status" != 0 ] && [[ "$output" == *"not permitted"* ]]
    ko delete --force "$ID"
    # The other way round: all but one access, and what contains it.
    config '.linux.resources.devices = [{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"}]'
    start
    run ko exec "$ID" sh -c 'head -c 1 /dev/kmsg'
    [ "$status" != 0 ] && [[ "$output" == *"not permitted"* ]]
    run ko exec "$ID" sh -c ': <>/dev/kmsg'
    [ "$status" != 0 ] && [[ "$output" == *"not permitted"* ]]
    ko exec "$ID" sh -c ': >/dev/kmsg; : <>/dev/null'
    ko delete --force "$ID"
    config '.linux.resources.devices = [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "access": "r"}, {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "r"}]'
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"cannot punch hole in existing wildcard rule"* ]]
    gone_without_trace
}

@test "groups that are there: with members a warning, frozen a refusal; sub-groups for exec" {
    start
    config --arg p "/knarr-oci-test/$ID" '.linux.cgroupsPath = $p'
    ko --log warnings run -d "$ID-b" </dev/null >/dev/null 2>&1
    grep -qF "container's cgroup is not empty: 1 process(es) found" warnings
    ko pause "$ID" # one group: both stand
    run ko run "$ID-c" </dev/null
    [ "$status" = 1 ] && [[ "$output" == *"container's cgroup unexpectedly frozen"* ]]
    ko resume "$ID"
    ko kill "$ID-b" KILL
    wait_for 10 is_status "$ID-b" stopped
    dir=$(group pids)
    mkdir "$dir/low"
    if v1; then sub=pids:low; else sub=low; fi
    ko exec --cgroup $sub -d --pid-file pid "$ID" sleep 1000 </dev/null >/dev/null 2>&1
    grep -qx "$(cat pid)" "$dir/low/cgroup.procs"
    run ko exec --cgroup nothing "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"error adding pid "*"/nothing/cgroup.procs: no such file or directory"* ]]
    run ko exec --cgroup ../.. "$ID" true
    [ "$status" = 255 ] && [[ "$output" == *"../.. is not a sub cgroup path"* ]]
    ko delete --force "$ID"
    gone_without_trace
}

@test "exec finds its way into a container that has given its controllers to groups below" {
    top=/sys/fs/cgroup
    [ -e $top/cgroup.controllers ] || top=/sys/fs/cgroup/unified
    [ -n "$(cat $top/cgroup.controllers)" ] || skip "version 2 has no controllers here"
    start
    dir=$top/knarr-oci-test/$ID
    mkdir "$dir/init"
    ko state "$ID" | jq .pid >"$dir/init/cgroup.procs"
    controller=$(cut -d' ' -f1 "$dir/cgroup.controllers")
    [ -n "$controller" ]
    echo "+$controller" >"$dir/cgroup.subtree_control"
    ko exec "$ID" grep -q "^0::.*/init$" /proc/self/cgroup
    ko delete --force "$ID"
    gone_without_trace
}
