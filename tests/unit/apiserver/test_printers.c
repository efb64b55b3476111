#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "api/kinds.h"
#include "apiserver/printers.h"
#include "base/buf.h"
#include "codec/yaml.h"

/* The columns of every served kind as Kubernetes 1.35 names them: those of wide output after a bar,
 * and the cells of an object that fills them. In a cell `*` stands for any text (an age). */
static const struct {
    const char *kind, *columns, *object, *cells;
} kinds[] = {
    { "ConfigMap", "Name,Data,Age", "{metadata: {name: a}, data: {x: z}, binaryData: {z: eA==}}",
      "a;2;*" },
    { "Endpoints", "Name,Endpoints,Age",
      "{metadata: {name: a}, subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: "
      "80}, {port: 81}]}, {addresses: [{ip: 'fd00::1'}]}]}",
      "a;10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 2 more...;*" },
    { "Event", "Last Seen,Type,Reason,Object,Message|Subobject,Source,First Seen,Count,Name",
      "{metadata: {name: a}, type: Normal, reason: Pulled, involvedObject: {kind: Pod, name: web, "
      "fieldPath: f}, message: ' done ', source: {component: kubelet, host: h}}",
      "<unknown>;Normal;Pulled;pod/web;f;kubelet, h;done;<unknown>;1;a" },
    { "LimitRange", "Name,Created At", "{metadata: {name: a, creationTimestamp: t}}", "a;t" },
    { "Namespace", "Name,Status,Age", "{metadata: {name: a}, status: {phase: Active}}",
      "a;Active;*" },
    { "Node",
      "Name,Status,Roles,Age,Version|Internal-IP,External-IP,OS-Image,Kernel-Version,Container-"
      "Runtime",
      "{metadata: {name: a, labels: {node-role.kubernetes.io/worker: '', kubernetes.io/role: edge}}, "
      "spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'True'}], addresses: "
      "[{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1, osImage: Debian}}}",
      "a;Ready,SchedulingDisabled;edge,worker;*;v1;10.0.0.1;<none>;Debian;<unknown>;<unknown>" },
    { "PersistentVolumeClaim",
      "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age|VolumeMode",
      "{metadata: {name: a}, spec: {volumeName: v, storageClassName: fast, volumeMode: Block}, "
      "status: {phase: Bound, capacity: {storage: 1024Mi}, accessModes: [ReadWriteMany, "
      "ReadWriteOnce, ReadWriteOnce]}}",
      "a;Bound;v;1Gi;RWO,RWX;fast;<unset>;*;Block" },
    { "PersistentVolume",
      "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,"
      "Reason,Age|VolumeMode",
      "{metadata: {name: a, annotations: {volume.beta.kubernetes.io/storage-class: old}}, spec: "
      "{capacity: {storage: 5Gi}, accessModes: [ReadWriteOncePod], persistentVolumeReclaimPolicy: "
      "Retain, claimRef: {namespace: ns, name: c}}, status: {phase: Bound, reason: r}}",
      "a;5Gi;RWOP;Retain;Bound;ns/c;old;<unset>;r;*;<unset>" },
    { "Pod", "Name,Ready,Status,Restarts,Age|IP,Node,Nominated Node,Readiness Gates",
      "{metadata: {name: a}, spec: {nodeName: m, containers: [{name: c}], readinessGates: "
      "[{conditionType: x}, {conditionType: z}]}, status: {phase: Running, podIPs: [{ip: 10.0.0.1}], "
      "conditions: [{type: z, status: 'True'}], containerStatuses: [{ready: true, restartCount: 2, "
      "state: {running: {}}}]}}",
      "a;1/1;Running;2;*;10.0.0.1;m;<none>;1/2" },
    { "PodTemplate", "Name,Containers,Images,Pod Labels",
      "{metadata: {name: a}, template: {metadata: {labels: {b: c, a: d}}, spec: {containers: [{name: "
      "x, image: i}, {name: z, image: j}]}}}",
      "a;x,z;i,j;a=d,b=c" },
    { "ReplicationController", "Name,Desired,Current,Ready,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {replicas: 3, selector: {k: v}, template: {spec: {containers: "
      "[{name: x, image: i}]}}}, status: {replicas: 2, readyReplicas: 1}}",
      "a;3;2;1;*;x;i;k=v" },
    { "ResourceQuota", "Name,Request,Limit,Age",
      "{metadata: {name: a}, status: {hard: {requests.cpu: 1000m, pods: 4, limits.cpu: 2}, used: "
      "{pods: 1}}}",
      "a;pods: 1/4, requests.cpu: 0/1;limits.cpu: 0/2;*" },
    { "Secret", "Name,Type,Data,Age", "{metadata: {name: a}, type: Opaque, data: {x: eQ==}}",
      "a;Opaque;1;*" },
    { "ServiceAccount", "Name,Age", "{metadata: {name: a}}", "a;*" },
    { "Service", "Name,Type,Cluster-IP,External-IP,Port(s),Age|Selector",
      "{metadata: {name: a}, spec: {type: LoadBalancer, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], "
      "externalIPs: [192.0.2.9], selector: {b: c, a: d}, ports: [{port: 80, nodePort: 30000, protocol: "
      "TCP}]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.2}, {hostname: 192.0.2.1}]}}}",
      "a;LoadBalancer;10.0.0.1;192.0.2.1,192.0.2.2,192.0.2.9;80:30000/TCP;*;a=d,b=c" },
    { "ControllerRevision", "Name,Controller,Revision,Age",
      "{metadata: {name: a, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, "
      "controller: true}]}, revision: 7}",
      "a;daemonset.apps/d;7;*" },
    { "DaemonSet",
      "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {selector: {matchLabels: {k: v}}, template: {spec: {nodeSelector: "
      "{disk: ssd}, containers: [{name: x, image: i}]}}}, status: {desiredNumberScheduled: 5, "
      "currentNumberScheduled: 4, numberReady: 3, updatedNumberScheduled: 2, numberAvailable: 1}}",
      "a;5;4;3;2;1;disk=ssd;*;x;i;k=v" },
    { "Deployment", "Name,Ready,Up-to-date,Available,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {replicas: 3, selector: {matchLabels: {k: v}}, template: {spec: "
      "{containers: [{name: x, image: i}]}}}, status: {readyReplicas: 1, updatedReplicas: 2, "
      "availableReplicas: 3}}",
      "a;1/3;2;3;*;x;i;k=v" },
    { "ReplicaSet", "Name,Desired,Current,Ready,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {replicas: 3, selector: {matchExpressions: [{key: k, operator: "
      "Exists}]}}, status: {replicas: 2, readyReplicas: 1}}",
      "a;3;2;1;*;;;k" },
    { "StatefulSet", "Name,Ready,Age|Containers,Images",
      "{metadata: {name: a}, spec: {replicas: 3}, status: {readyReplicas: 1}}", "a;1/3;*;;" },
    { "CronJob",
      "Name,Schedule,Timezone,Suspend,Active,Last Schedule,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {schedule: 0 1 * * *, suspend: false, jobTemplate: {spec: "
      "{template: {spec: {containers: [{name: x, image: i}]}}}}}, status: {active: [{name: j}]}}",
      "a;0 1 * * *;<none>;False;1;<none>;*;x;i;<none>" },
    { "Job", "Name,Status,Completions,Duration,Age|Containers,Images,Selector",
      "{metadata: {name: a}, spec: {completions: 3}, status: {succeeded: 2, startTime: "
      "'2026-01-01T00:00:00Z', completionTime: '2026-01-01T00:03:20Z', conditions: [{type: Complete, "
      "status: 'True'}]}}",
      "a;Complete;2/3;3m20s;*;;;<none>" },
    { "Lease", "Name,Holder,Age", "{metadata: {name: a}, spec: {holderIdentity: me}}", "a;me;*" },
    { "EndpointSlice", "Name,AddressType,Ports,Endpoints,Age",
      "{metadata: {name: a}, addressType: IPv4, ports: [{port: 80}, {name: any}, {}, {port: 81}], "
      "endpoints: [{addresses: [10.0.0.1]}]}",
      "a;IPv4;80,any,* + 1 more...;10.0.0.1;*" },
    { "IngressClass", "Name,Controller,Parameters,Age",
      "{metadata: {name: a}, spec: {controller: c, parameters: {apiGroup: g, kind: K, name: nn}}}",
      "a;c;K.g/nn;*" },
    { "Ingress", "Name,Class,Hosts,Address,Ports,Age",
      "{metadata: {name: a}, spec: {ingressClassName: c, tls: [{}], rules: [{host: p}, {host: q}, "
      "{host: r}, {host: s}]}, status: {loadBalancer: {ingress: [{hostname: h}]}}}",
      "a;c;p,q,r + 1 more...;h;80, 443;*" },
    { "IPAddress", "Name,ParentRef",
      "{metadata: {name: a}, spec: {parentRef: {resource: services, namespace: ns, name: s}}}",
      "a;services/ns/s" },
    { "NetworkPolicy", "Name,Pod-Selector,Age",
      "{metadata: {name: a}, spec: {podSelector: {matchLabels: {b: c, a: d}}}}", "a;a=d,b=c;*" },
    { "PodDisruptionBudget", "Name,Min Available,Max Unavailable,Allowed Disruptions,Age",
      "{metadata: {name: a}, spec: {minAvailable: 50%}, status: {disruptionsAllowed: 1}}",
      "a;50%;N/A;1;*" },
    { "HorizontalPodAutoscaler", "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age",
      "{metadata: {name: a}, spec: {scaleTargetRef: {kind: Deployment, name: d}, maxReplicas: 4, "
      "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, "
      "averageUtilization: 60}}}, {type: External, external: {metric: {name: q}, target: {type: "
      "AverageValue, averageValue: '2'}}}, {type: Pods}]}, status: {currentReplicas: 3, "
      "currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: "
      "9}}}]}}",
      "a;Deployment/d;cpu: 9%/60%, <unknown>/2 (avg) + 1 more...;<unset>;4;3;*" },
    { "ClusterRoleBinding", "Name,Role,Age|Users,Groups,ServiceAccounts",
      "{metadata: {name: a}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: User, name: u}, "
      "{kind: User, name: v}, {kind: Group, name: g}, {kind: ServiceAccount, namespace: ns, name: s}]}",
      "a;ClusterRole/r;*;u, v;g;ns/s" },
    { "ClusterRole", "Name,Created At", "{metadata: {name: a, creationTimestamp: t}}", "a;t" },
    { "RoleBinding", "Name,Role,Age|Users,Groups,ServiceAccounts",
      "{metadata: {name: a}, roleRef: {kind: Role, name: r}}", "a;Role/r;*;;;" },
    { "Role", "Name,Created At", "{metadata: {name: a, creationTimestamp: t}}", "a;t" },
    { "PriorityClass", "Name,Value,Global-Default,Age,PreemptionPolicy",
      "{metadata: {name: a}, value: 9, globalDefault: true, preemptionPolicy: Never}",
      "a;9;true;*;Never" },
    { "StorageClass", "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age",
      "{metadata: {name: a, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, "
      "provisioner: p}",
      "a (default);p;Delete;Immediate;false;*" },
};

static void cell_into(Buf *out, const Value *v)
{
    if (value_is(v, VALUE_INT))
        buf_i64(out, v->i);
    else if (value_is(v, VALUE_BOOL))
        buf_sv(out, v->b ? SV("true") : SV("false"));
    else
        buf_sv(out, value_str(v));
}

/* "a;b;c": the cells of all columns, or of the one named. */
static void print_row(const ApiResource *res, const char *object, const char *only, Buf *out)
{
    _cleanup_arena_ Arena a;
    Value obj;
    arena_init(&a, 0);
    assert_int_equal(yaml_decode(sv_cstr(object), &a, NULL, &obj, NULL, NULL), 0);
    for (unsigned i = 0; i < res->n_columns; i++) {
        Value v;
        if (only && !sv_eq(res->columns[i].name, sv_cstr(only)))
            continue;
        if (!print_cell(&a, res, &res->columns[i], &obj, &v))
            fail_msg("%.*s: the column %.*s shows nothing", SV_FMT(res->kind),
                     SV_FMT(res->columns[i].name));
        if (i && !only)
            buf_putc(out, ';');
        cell_into(out, &v);
    }
}

static void columns_into(const ApiResource *res, int priority, Buf *out)
{
    for (unsigned i = 0, n = 0; i < res->n_columns; i++) {
        if (res->columns[i].priority != priority)
            continue;
        if (n++)
            buf_putc(out, ',');
        else if (priority)
            buf_putc(out, '|');
        buf_sv(out, res->columns[i].name);
    }
}

/* Whether the cells are as wanted, where the wanted cell "*" stands for any. */
static bool same_cells(StrView got, StrView want)
{
    StrView g, w;
    while (sv_next(&want, ';', &w)) {
        if (!sv_next(&got, ';', &g) || (!sv_eq(w, SV("*")) && !sv_eq(g, w)))
            return false;
    }
    return !sv_next(&got, ';', &g);
}

static void test_every_served_kind_has_kubernetes_columns(void **state)
{
    for (size_t i = 0; i < api_resources_len; i++) {
        const ApiResource *res = &api_resources[i];
        size_t k = 0;
        if (!res->served || !res->stored)
            continue;
        while (k < ARRAY_SIZE(kinds) && !sv_eq(sv_cstr(kinds[k].kind), res->kind))
            k++;
        if (k == ARRAY_SIZE(kinds))
            fail_msg("%.*s is in no row of this test", SV_FMT(res->kind));
        _cleanup_buf_ Buf columns = BUF_INIT, cells = BUF_INIT;
        columns_into(res, 0, &columns);
        columns_into(res, 1, &columns);
        assert_sv(buf_view(&columns), kinds[k].columns);
        print_row(res, kinds[k].object, NULL, &cells);
        if (!same_cells(buf_view(&cells), sv_cstr(kinds[k].cells)))
            fail_msg("%s: got '%s', want '%s'", kinds[k].kind, buf_cstr(&cells), kinds[k].cells);
    }
}

static void test_an_empty_object_has_all_its_cells(void **state)
{
    for (size_t i = 0; i < api_resources_len; i++) {
        _cleanup_buf_ Buf cells = BUF_INIT;
        if (api_resources[i].served && api_resources[i].stored)
            print_row(&api_resources[i], "{}", NULL, &cells);
    }
}

static void expect(const char *plural, const char *group, const char *column, const char *object,
                   const char *want)
{
    _cleanup_buf_ Buf cell = BUF_INIT;
    const ApiResource *res = api_resource_find(sv_cstr(group), SV("v1"), sv_cstr(plural));
    assert_non_null(res);
    print_row(res, object, column, &cell);
    assert_sv(buf_view(&cell), want);
}

static void expect_pod(const char *column, const char *status, const char *want)
{
    char object[1024];
    snprintf(object, sizeof object,
             "{metadata: {name: a}, spec: {initContainers: [{name: i}, {name: s, restartPolicy: "
             "Always}], containers: [{name: c}, {name: d}]}, status: %s}",
             status);
    expect("pods", "", column, object, want);
}

static void test_a_pods_status_is_kubernetes_own(void **state)
{
    expect_pod("Status",
               "{phase: Pending, conditions: [{type: PodScheduled, reason: SchedulingGated}]}",
               "SchedulingGated");
    expect_pod("Status", "{phase: Failed, reason: Evicted}", "Evicted");
    expect_pod("Status",
               "{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: "
               "0}}}, {name: s, state: {waiting: {reason: PodInitializing}}}]}",
               "Init:1/2");
    expect_pod(
        "Status",
        "{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3}}}]}",
        "Init:ExitCode:3");
    expect_pod("Status",
               "{phase: Running, containerStatuses: [{state: {terminated: {exitCode: 1, reason: "
               "Error}}}, {state: {waiting: {reason: ErrImagePull}}}]}",
               "Error");
    expect_pod("Status",
               "{phase: Failed, containerStatuses: [{state: {terminated: {exitCode: 0, reason: "
               "Completed}}}, {state: {terminated: {exitCode: 1, reason: Error}}}]}",
               "Error");
    expect_pod("Status",
               "{phase: Running, containerStatuses: [{state: {terminated: {reason: Completed}}}, "
               "{ready: true, state: {running: {}}}]}",
               "NotReady");
}

static void test_sidecars_count_as_containers(void **state)
{
    const char *status =
        "{phase: Running, initContainerStatuses: [{name: i, restartCount: 5, state: {terminated: "
        "{exitCode: 0}}}, {name: s, restartCount: 1, started: true, ready: true, state: {running: "
        "{}}}], containerStatuses: [{restartCount: 2, ready: true, state: {running: {}}}]}";
    expect_pod("Ready", status, "2/3");
    expect_pod("Restarts", status, "3");
}

static void test_cells_of_rare_objects(void **state)
{
    expect("services", "", "External-IP", "{spec: {type: LoadBalancer}}", "<pending>");
    expect("services", "", "External-IP", "{spec: {type: ExternalName, externalName: x.y}}", "x.y");
    expect("services", "", "External-IP", "{spec: {type: ClusterIP}}", "<none>");
    expect("endpoints", "", "Endpoints", "{subsets: [{addresses: [{ip: 10.0.0.1}]}]}", "10.0.0.1");
    expect("endpoints", "", "Endpoints",
           "{subsets: [{addresses: [{ip: 'fd00::1'}], ports: [{port: 80}]}]}", "[fd00::1]:80");
    expect("endpoints", "", "Endpoints", "{}", "<none>");
    expect("ingresses", "networking.k8s.io", "Hosts", "{}", "*");
    expect("networkpolicies", "networking.k8s.io", "Pod-Selector", "{spec: {podSelector: {}}}",
           "<none>");
    expect("jobs", "batch", "Completions", "{spec: {parallelism: 4}}", "0/1 of 4");
    expect("jobs", "batch", "Status", "{metadata: {deletionTimestamp: t}}", "Terminating");
    expect("persistentvolumeclaims", "", "Capacity",
           "{spec: {resources: {requests: {storage: 1Gi}}}}", "");
    expect("events", "", "Object", "{involvedObject: {kind: Node}}", "node");
    expect("events", "events.k8s.io", "Message", "{note: ' so '}", "so");
    expect("events", "", "Count", "{series: {count: 5}, count: 2}", "5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_served_kind_has_kubernetes_columns),
        cmocka_unit_test(test_an_empty_object_has_all_its_cells),
        cmocka_unit_test(test_a_pods_status_is_kubernetes_own),
        cmocka_unit_test(test_sidecars_count_as_containers),
        cmocka_unit_test(test_cells_of_rare_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
