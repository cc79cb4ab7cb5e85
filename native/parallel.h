// Runs jobs on the caller's thread and on threads of our own: libuv's few are for files and host names.
#pragma once
#include "job.h"

// Size of the pool.
int64_t poolThreads();

// Threads that would take part in the job.
int64_t threadsFor(const Job &);

// Whether the job would be over before a second thread could help.
bool isSmall(const Plan &);

// Returns when all is done. Throws std::bad_alloc.
void run(Job &, Owner &);

// Queues the job of an owner and returns. Throws std::bad_alloc, or std::system_error where no thread can be started,
// and then does not call done().
void submit(Job &);

// Ends cancelled jobs that no thread works on; the others end themselves, after the item at hand.
void sweep();

// Cancels an owner's jobs and returns when the last done() has returned.
void dismiss(Owner &);
