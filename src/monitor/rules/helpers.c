/* helpers.c - threads that evaluate single rules for a group whose rules do not depend on each
 * other. A rule goes to a helper only when one is idle, else the group's own thread does it: so a
 * group never waits for a helper to become free. */
#include "monitor/rules/internal.h"

bool helpers_take(Rules *r, const Job *job)
{
    pthread_mutex_lock(&r->lock);
    bool taken =
        r->idle_helpers > r->jobs.len && !atomic_load(&r->stopping) && vec_push(&r->jobs, *job);
    if (taken) {
        job->batch->left++;
        pthread_cond_signal(&r->job_there);
    }
    pthread_mutex_unlock(&r->lock);
    return taken;
}

bool helpers_wait(Rules *r, const Batch *b)
{
    pthread_mutex_lock(&r->lock);
    while (b->left)
        pthread_cond_wait(&r->job_done, &r->lock);
    bool whole = !b->broken;
    pthread_mutex_unlock(&r->lock);
    return whole;
}

static void *work(void *ctx)
{
    Rules *r = ctx;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->jobs.len && !atomic_load(&r->stopping)) {
            r->idle_helpers++;
            pthread_cond_wait(&r->job_there, &r->lock);
            r->idle_helpers--;
        }
        if (!r->jobs.len)
            break;
        Job job = r->jobs.items[--r->jobs.len];
        pthread_mutex_unlock(&r->lock);
        bool whole = rule_eval(r, job.g, job.rule, job.t);
        pthread_mutex_lock(&r->lock);
        job.batch->broken |= !whole;
        if (--job.batch->left == 0)
            pthread_cond_broadcast(&r->job_done);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int helpers_start(Rules *r, Err *err)
{
    unsigned n = MIN(r->opt.helpers, (unsigned)RULES_THREADS_MAX);
    r->helpers = n ? calloc(n, sizeof *r->helpers) : NULL;
    if (n && !r->helpers)
        return err_nomem(err);
    for (; r->n_helpers < n; r->n_helpers++) {
        int e = pthread_create(&r->helpers[r->n_helpers], NULL, work, r);
        if (e)
            return err_neg(err, -e, "start a thread for rules");
    }
    return 0;
}

void helpers_join(Rules *r)
{
    for (unsigned i = 0; i < r->n_helpers; i++)
        pthread_join(r->helpers[i], NULL);
    r->n_helpers = 0;
    free(r->helpers);
    r->helpers = NULL;
    vec_free(&r->jobs);
}
