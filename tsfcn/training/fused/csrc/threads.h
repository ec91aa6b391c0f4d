/* A team of threads that execute one function together: `execute`.

   Work is shared so that the order of sums is always the same. So no bit of a result depends on the number of threads,
   and one thread may always do the work of several: where there are no POSIX threads, where no more can be started,
   where another thread of the process has the team, in the child of a fork, and where memory is short.

   Between two tasks the threads of the team sleep. The calling thread is the first of the team. */

#ifndef TSFCN_THREADS_H
#define TSFCN_THREADS_H

#include "common.h"

#if __has_include(<pthread.h>)
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#define TEAM 1
#endif

/* One of the threads that execute a task. */
struct thread {
    int64_t number, count;
};

/* What a function of a team needs: its arguments, and memory. */
struct task {
    const void *args;
    size_t shared_bytes; /* for all threads */
    size_t own_bytes;    /* and for each of them */
    char *memory;
};

typedef void team_function(struct thread thread, const struct task *task);

struct range {
    int64_t start, end;
};

/* Return the part of this thread of 0 to `count`, in whole multiples of `unit`, the last of which may be incomplete. */
static struct range share(struct thread thread, int64_t count, int64_t unit)
{
    int64_t units = (count + unit - 1) / unit;
    int64_t start = units * thread.number / thread.count, end = units * (thread.number + 1) / thread.count;
    return (struct range){MIN(start * unit, count), MIN(end * unit, count)};
}

/* Return the memory of this thread alone. */
static char *own_memory(struct thread thread, const struct task *task)
{
    return task->memory + task->shared_bytes + thread.number * task->own_bytes;
}

/* Return for how many threads there is enough to do with `values` values, since starting a task takes microseconds. */
static int useful_threads(int n_threads, int64_t values)
{
    int64_t useful = values >> 14;
    return useful < 1 ? 1 : (int)MIN(useful, n_threads);
}

#ifdef TEAM

#define MAX_THREADS 512
#define SPINS 1000         /* some ten microseconds in which a thread waits awake: most waits are shorter */
#define STACK_BYTES 0x100000

/* How often something has happened, in a cache line of its own. */
struct event {
    int count;
} __attribute__((aligned(64)));

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t happened; /* one of the events */
    struct event tasks[MAX_THREADS]; /* a task for this thread, except the first */
    struct event all_arrived;        /* at the barrier */
    int n_arrived;
    int is_busy;
    int n_threads; /* of the team, with the caller; 0: it was never asked for */
    struct thread thread; /* the task: how many threads execute it, */
    team_function *function;
    const struct task *task;
    fenv_t environment; /* and how the caller rounds and whether it flushes subnormal numbers */
} team = {.mutex = PTHREAD_MUTEX_INITIALIZER, .happened = PTHREAD_COND_INITIALIZER};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Wait until an event has happened more than `before` times. */
static void wait_for(const struct event *event, int before)
{
    for (int i = 0; i < SPINS; i++) {
        if (__atomic_load_n(&event->count, __ATOMIC_ACQUIRE) != before)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&team.mutex);
    while (__atomic_load_n(&event->count, __ATOMIC_ACQUIRE) == before)
        pthread_cond_wait(&team.happened, &team.mutex);
    pthread_mutex_unlock(&team.mutex);
}

/* Let `count` events happen. */
static void happen(struct event *events, int64_t count)
{
    pthread_mutex_lock(&team.mutex);
    for (int64_t i = 0; i < count; i++)
        __atomic_add_fetch(&events[i].count, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&team.happened);
    pthread_mutex_unlock(&team.mutex);
}

/* Wait until all threads of the task are here. */
static void barrier(struct thread thread)
{
    if (thread.count == 1)
        return;
    int before = __atomic_load_n(&team.all_arrived.count, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team.n_arrived, 1, __ATOMIC_ACQ_REL) < thread.count) {
        wait_for(&team.all_arrived, before);
        return;
    }
    __atomic_store_n(&team.n_arrived, 0, __ATOMIC_RELAXED);
    happen(&team.all_arrived, 1);
}

/* The life of a thread of the team. */
static void *serve(void *number)
{
    int64_t i = (int64_t)(intptr_t)number;
    for (int done = 0;; done++) {
        wait_for(&team.tasks[i], done);
        struct thread thread = {i, team.thread.count};
        fesetenv(&team.environment);
        team.function(thread, team.task);
        barrier(thread);
    }
    return NULL;
}

/* In the child of a fork the caller is alone. */
static void forget_team(void)
{
    memset(team.tasks, 0, sizeof(team.tasks));
    team.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    team.happened = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    team.n_arrived = team.is_busy = 0;
    team.n_threads = 1;
}

/* Let the team have `count` threads if it has fewer, and return how many of them there are. */
static int64_t grow_team(int64_t count)
{
    if (team.n_threads == 0) {
        team.n_threads = 1;
        if (pthread_atfork(NULL, NULL, forget_team))
            return 1;
    }
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the threads of the team inherit that they get no signals */
    for (pthread_t id; team.n_threads < MIN(count, MAX_THREADS); team.n_threads++)
        if (pthread_create(&id, &attributes, serve, (void *)(intptr_t)team.n_threads))
            break;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return MIN(count, team.n_threads);
}

/* Execute a function by up to `n_threads` threads, each with its number, and return when all have ended. */
static void run_team(int n_threads, team_function *function, const struct task *task)
{
    if (n_threads < 2 || __atomic_exchange_n(&team.is_busy, 1, __ATOMIC_ACQUIRE)) {
        function((struct thread){0, 1}, task);
        return;
    }
    struct thread first = {0, grow_team(n_threads)};
    team.thread = first;
    team.function = function;
    team.task = task;
    fegetenv(&team.environment);
    happen(team.tasks + 1, first.count - 1);
    function(first, task);
    barrier(first);
    __atomic_store_n(&team.is_busy, 0, __ATOMIC_RELEASE);
}

#else

static void barrier(struct thread thread)
{
    (void)thread;
}

static void run_team(int n_threads, team_function *function, const struct task *task)
{
    (void)n_threads;
    function((struct thread){0, 1}, task);
}

#endif

/* Execute a function by up to `n_threads` threads. Returns 0, or 1 if memory cannot be allocated. */
static int execute(int n_threads, team_function *function, struct task *task)
{
    while (!(task->memory = scratch(task->shared_bytes + n_threads * task->own_bytes)) && n_threads > 1)
        n_threads /= 2;
    if (!task->memory)
        return 1;
    run_team(n_threads, function, task);
    return 0;
}

#endif
