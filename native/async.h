// Asynchronous jobs of a JavaScript thread: native threads do them, promises say when.
#pragma once
#include "job.h"
#include <memory>
#include <node_api.h>

// What one JavaScript thread has of the pool; the owner of its asynchronous jobs.
struct Environment : Owner {
  Buffer scratch;                  // of synchronous jobs
  napi_threadsafe_function settle; // keeps the event loop alive while jobs are in flight
  int64_t inFlight = 0;
};

// Lives as long as the JavaScript thread. Throws std::runtime_error.
Environment *newEnvironment(napi_env);

// A job with a promise of undefined.
struct AsyncJob : Job {
  virtual ~AsyncJob() = default;
  napi_deferred promise;
  napi_ref arrays; // an Array that keeps them alive
};

// Gives the job to the pool, or does a small one at once, and resolves its promise. `arrays` are the typed arrays that
// it works on, `cancel` the Int32Array whose first entry cancels it, or undefined. Throws std::exception.
void begin(napi_env, Environment &, std::unique_ptr<AsyncJob>, const napi_value *arrays, size_t count,
           napi_value cancel);

// Memory of a typed array; none of undefined.
void *memoryOf(napi_env, napi_value array);

// An error that says what the exception at hand is.
napi_value caughtError(napi_env);
