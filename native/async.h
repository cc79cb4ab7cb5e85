// Asynchronous jobs of a JavaScript thread: native threads do them, promises say when.
#pragma once
#include "job.h"
#include <memory>
#include <node_api.h>

// What one JavaScript thread has of the pool.
struct Environment : Owner {
  napi_threadsafe_function settle; // keeps the event loop alive while jobs are in flight
  int64_t inFlight = 0;
};

// Lives as long as the JavaScript thread, as its instance data. NULL: Node-API has an error.
Environment *newEnvironment(napi_env);

// A job with a promise of undefined.
struct AsyncJob : Job {
  virtual ~AsyncJob() = default;
  napi_deferred promise;
  napi_ref arrays; // an Array that keeps them alive
};

// Gives the job to the pool, or does a small one at once, and resolves its promise. Throws std::exception.
void begin(napi_env, Environment &, std::unique_ptr<AsyncJob>, const napi_value *arrays, size_t count,
           napi_value cancel);

// An error that says what the exception at hand is.
napi_value caughtError(napi_env);

// A promise of undefined, for the job that make() gives. `arrays` are what it works on, `cancel` the Int32Array whose
// first entry cancels it, or undefined.
template <class Make>
napi_value promised(napi_env env, Environment &environment, const Make &make, const napi_value *arrays, size_t count,
                    napi_value cancel) {
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  try {
    std::unique_ptr<AsyncJob> job = make();
    job->promise = deferred;
    begin(env, environment, std::move(job), arrays, count, cancel);
  } catch (...) {
    napi_reject_deferred(env, deferred, caughtError(env));
  }
  return promise;
}

// Memory of a typed array; none of undefined, which Node-API refuses.
void *memoryOf(napi_env, napi_value array);

// A parameter as a block of numbers has it, and an array as a member.
template <class T> void assign(T &member, double field) {
  member = static_cast<T>(field);
}
template <class T> void assign(T *&member, void *memory) {
  member = static_cast<T *>(memory);
}
