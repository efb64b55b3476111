/* printers_storage.c - the columns of volumes, claims and storage classes. */
#include "apiserver/printers_internal.h"

/* "RWO,RWX" */
static StrView access_modes(Arena *a, const Value *modes)
{
    static const struct {
        StrView mode;
        const char *sign;
    } rows[] = {
        { SV_INIT("ReadWriteOnce"), "RWO" },
        { SV_INIT("ReadOnlyMany"), "ROX" },
        { SV_INIT("ReadWriteMany"), "RWX" },
        { SV_INIT("ReadWriteOncePod"), "RWOP" },
    };
    bool has[ARRAY_SIZE(rows)] = { 0 };
    Buf out = BUF_INIT;
    value_list_foreach (m, modes) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
            has[i] |= sv_eq(value_str(m), rows[i].mode);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (has[i])
            buf_printf(&out, "%s%s", out.len ? "," : "", rows[i].sign);
    return cell_take(a, &out);
}

/* The class of a volume or claim; the annotation is of a time before the field. */
static StrView class_of(const Value *obj)
{
    StrView old = cell_annotation(obj, SV("volume.beta.kubernetes.io/storage-class"));
    return old.ptr ? old : value_path_str(obj, "spec.storageClassName");
}

static StrView phase_of(const Value *obj)
{
    return value_path(obj, "metadata.deletionTimestamp") ? SV("Terminating")
                                                         : value_path_str(obj, "status.phase");
}

static bool print_common(StrView col, const Value *obj, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("VolumeAttributesClass"), "spec.volumeAttributesClassName", FIELD_TEXT,
          "<unset>" },
        { SV_INIT("VolumeMode"), "spec.volumeMode", FIELD_TEXT, "<unset>" },
    };
    if (sv_eq(col, SV("Status")))
        *ret = cell_text(phase_of(obj));
    else if (sv_eq(col, SV("StorageClass")))
        *ret = cell_text(class_of(obj));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, obj, ret);
    return true;
}

bool print_volume(Arena *a, StrView col, const Value *pv, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Reclaim Policy"), "spec.persistentVolumeReclaimPolicy", FIELD_TEXT, NULL },
        { SV_INIT("Reason"), "status.reason", FIELD_TEXT, NULL },
    };
    const Value *claim = value_path(pv, "spec.claimRef");
    if (sv_eq(col, SV("Capacity")))
        *ret = cell_text(cell_quantity(a, value_path(pv, "spec.capacity.storage")));
    else if (sv_eq(col, SV("Access Modes")))
        *ret = cell_text(access_modes(a, value_path(pv, "spec.accessModes")));
    else if (sv_eq(col, SV("Claim")))
        *ret = cell_text(!claim ? SV("")
                                : arena_printf(a, "%.*s/%.*s",
                                               SV_FMT(value_str(value_get(claim, SV("namespace")))),
                                               SV_FMT(value_str(value_get(claim, SV("name"))))));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, pv, ret) || print_common(col, pv, ret);
    return true;
}

/* Size and modes are those of the volume: nothing before there is one. */
bool print_volume_claim(Arena *a, StrView col, const Value *pvc, Value *ret)
{
    static const FieldColumn rows[] = { { SV_INIT("Volume"), "spec.volumeName", FIELD_TEXT,
                                          NULL } };
    bool bound = value_path_str(pvc, "spec.volumeName").len > 0;
    if (sv_eq(col, SV("Capacity")))
        *ret = cell_text(!bound ? SV("")
                                : cell_quantity(a, value_path(pvc, "status.capacity.storage")));
    else if (sv_eq(col, SV("Access Modes")))
        *ret = cell_text(bound ? access_modes(a, value_path(pvc, "status.accessModes")) : SV(""));
    else
        return cell_of_field(rows, ARRAY_SIZE(rows), col, pvc, ret) || print_common(col, pvc, ret);
    return true;
}

static bool is_default(const Value *class)
{
    return sv_eq(cell_annotation(class, SV("storageclass.kubernetes.io/is-default-class")),
                 SV("true")) ||
           sv_eq(cell_annotation(class, SV("storageclass.beta.kubernetes.io/is-default-class")),
                 SV("true"));
}

bool print_storage_class(Arena *a, StrView col, const Value *class, Value *ret)
{
    static const FieldColumn rows[] = {
        { SV_INIT("Provisioner"), "provisioner", FIELD_TEXT, NULL },
        { SV_INIT("ReclaimPolicy"), "reclaimPolicy", FIELD_TEXT, "Delete" },
        { SV_INIT("VolumeBindingMode"), "volumeBindingMode", FIELD_TEXT, "Immediate" },
        { SV_INIT("AllowVolumeExpansion"), "allowVolumeExpansion", FIELD_BOOL, NULL },
    };
    if (!sv_eq(col, SV("Name")) || !is_default(class))
        return cell_of_field(rows, ARRAY_SIZE(rows), col, class, ret);
    *ret = cell_text(
        arena_printf(a, "%.*s (default)", SV_FMT(value_path_str(class, "metadata.name"))));
    return true;
}
