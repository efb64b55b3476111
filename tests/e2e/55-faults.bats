#!/usr/bin/env bats
# A system call fails, once: plugins, images and pods end with an error that says why, leave nothing, and work afterwards.
# Each pair here was once met badly; `make soak` goes through all that there are (tests/fault-run).

load helpers

setup_file() { need_root; }

faults() { # CASE:CALL:ERRNO:N…
    run "$E2E_DIR/../fault-run" --build "$KNARR_BUILD" "$@"
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "what was made and not heard of is taken away by a failed ADD" {
    faults bridge-add:poll:ENOMEM:1 bridge-add:recvmsg:ENOBUFS:3 portmap-add:recvfrom:ENOBUFS:1
}

@test "an ADD whose result cannot be told did not happen" {
    faults host-local-add:write:ENOSPC:3 bridge-add:write:ENOSPC:5
}

@test "a lease that cannot be read or removed is an error, and no second address is given" {
    faults host-local-del:getdents64:EIO:1 host-local-del:read:EIO:3 host-local-del:unlinkat:EROFS:1 host-local-gc:fcntl:ENOLCK:1 \
        host-local-add-twice:getdents64:EIO:1 host-local-add-twice:openat:EMFILE:4
}

@test "a plugin that cannot look at its namespace does not say that all is well" {
    faults bridge-del:fstatfs:EIO:1 bridge-check-broken:setns:EPERM:1 loopback-check-broken:recvmsg:ENOBUFS:1
}

@test "a network is taken down with what its ADD was told, or not at all" {
    faults cni-del:openat:EMFILE:1 cni-del:unlink:EROFS:1
}

@test "a list of images that is cut off is no list" {
    faults image-list:write:ENOSPC:1 image-rm:getdents64:EIO:1
}

@test "a pod whose supervisor does not hear is ended none the less" {
    faults pod-start:epoll_ctl:ENOMEM:13 pod-start:getsockopt:ENOBUFS:2
}
