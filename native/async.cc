#include "async.h"
#include "parallel.h"

#include <exception>
#include <memory>
#include <new>
#include <string>

namespace {

const char *const NO_MEMORY = "xattn has no memory for the working space of a call";

napi_value newError(napi_env env, const std::string &message) {
  napi_value text, error;
  napi_create_string_utf8(env, message.c_str(), message.size(), &text);
  napi_create_error(env, nullptr, text, &error);
  return error;
}

Environment &environmentOf(const Job &job) {
  return *static_cast<Environment *>(job.owner);
}

void resolve(napi_env env, napi_deferred promise) {
  napi_value undefined;
  napi_get_undefined(env, &undefined);
  napi_resolve_deferred(env, promise, undefined);
}

// On the JavaScript thread, when the pool has let go of a job. Where the environment is gone, so is the promise.
void settle(napi_env env, napi_value, void *, void *data) {
  std::unique_ptr<AsyncJob> job(static_cast<AsyncJob *>(data));
  if (env == nullptr) return;
  Environment &environment = environmentOf(*job);
  if (--environment.inFlight == 0) napi_unref_threadsafe_function(env, environment.settle);
  if (job->failed) {
    napi_reject_deferred(env, job->promise, newError(env, NO_MEMORY));
  } else {
    resolve(env, job->promise);
  }
  napi_delete_reference(env, job->arrays);
}

void keep(napi_env env, AsyncJob &job, const napi_value *arrays, size_t count, napi_value cancel) {
  napi_value kept;
  napi_create_array_with_length(env, count + 1, &kept);
  for (size_t i = 0; i < count; i++) napi_set_element(env, kept, static_cast<uint32_t>(i), arrays[i]);
  napi_set_element(env, kept, static_cast<uint32_t>(count), cancel);
  napi_create_reference(env, kept, 1, &job.arrays);
}

} // namespace

Environment *newEnvironment(napi_env env) {
  auto *environment = new Environment;
  auto destroy = [](napi_env, void *environment, void *) { delete static_cast<Environment *>(environment); };
  napi_set_instance_data(env, environment, destroy, nullptr); // deletes it at the very end
  napi_value name;
  napi_create_string_utf8(env, "xattn", NAPI_AUTO_LENGTH, &name);
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                                       settle, &environment->settle);
  if (status != napi_ok) return nullptr;
  napi_unref_threadsafe_function(env, environment->settle);
  // Hooks run in reverse order: the pool lets go of all jobs before the function above is closed.
  auto leave = [](void *environment) { dismiss(*static_cast<Environment *>(environment)); };
  napi_add_env_cleanup_hook(env, leave, environment);
  return environment;
}

void begin(napi_env env, Environment &environment, std::unique_ptr<AsyncJob> job, const napi_value *arrays,
           size_t count, napi_value cancel) {
  if (isSmall(job->plan)) {
    run(*job, environment);
    return resolve(env, job->promise);
  }
  job->owner = &environment;
  job->cancel = static_cast<const std::atomic<int32_t> *>(memoryOf(env, cancel));
  job->done = [](Job &job) {
    napi_call_threadsafe_function(environmentOf(job).settle, static_cast<AsyncJob *>(&job), napi_tsfn_nonblocking);
  };
  submit(*job);
  keep(env, *job, arrays, count, cancel);
  if (environment.inFlight++ == 0) napi_ref_threadsafe_function(env, environment.settle);
  job.release(); // settle() deletes it, on this thread
}

napi_value caughtError(napi_env env) {
  try {
    throw;
  } catch (const std::bad_alloc &) {
    return newError(env, NO_MEMORY);
  } catch (const std::exception &error) {
    return newError(env, error.what());
  }
}

void *memoryOf(napi_env env, napi_value array) {
  void *data = nullptr;
  napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr);
  return data;
}
