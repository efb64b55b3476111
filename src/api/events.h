/* events.h - records what happens to objects as Event objects (core/v1), as `kubectl describe`
 * shows them. Equal events are counted in one object, floods of similar ones are combined and
 * limited. */
#pragma once

#include "api/client.h"

typedef struct EventRecorder EventRecorder;

typedef struct EventRef { /* the object it is about; views need to live only during the call */
    StrView api_version, kind, ns, name, uid, resource_version;
    StrView field_path; /* "spec.containers{web}" or empty */
} EventRef;

/* component: "kubelet", "scheduler" …; host: the node, or empty. */
int event_recorder_new(ApiClient *c, StrView component, StrView host, EventRecorder **ret,
                       Err *err) NODISCARD;
EventRecorder *event_recorder_free(
    EventRecorder *r); /* what is under way is dropped; always NULL */

/* The object is gone: what is remembered to count and limit its events goes, once what is under way
 * has been written. In constant time; unknown ones are fine. */
void event_forget(EventRecorder *r, StrView uid);
size_t event_kept(const EventRecorder *r); /* of how many events and limits it knows */

/* type: "Normal" or "Warning"; reason: "FailedMount"; the message as printf. Never fails visibly:
 * an event that cannot be written is dropped, as Kubernetes does. */
void event_record(EventRecorder *r, const EventRef *ref, StrView type, StrView reason,
                  const char *fmt, ...) PRINTF(5, 6);
