# cluster.bash - what measurements of a cluster have in common. Sourced beside tests/e2e/helpers.bash.

# Nodes without a kubelet, whose leases are good for an hour.
fake_nodes() { # NAME…
    local renewed name
    renewed=$(date -u -d '+1 hour' +%FT%T.000000Z)
    for name in "$@"; do
        printf 'apiVersion: v1\nkind: Node\nmetadata: {name: %s}\n---\n' "$name"
        printf 'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: %s, namespace: kube-node-lease}\n' "$name"
        printf 'spec: {holderIdentity: %s, leaseDurationSeconds: 3600, renewTime: "%s"}\n---\n' "$name" "$renewed"
    done | kubectl apply -f - >/dev/null
}
