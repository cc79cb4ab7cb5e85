// Node-API: takes calls apart, has them run, and hands back what came of them. The facade has checked the arguments.
#include "blocks-binding.h"
#include "cpus.h"
#include "dispatch.h"
#include "memory-binding.h"
#include "parallel.h"
#include <exception>
#include <memory>
#include <napi.h>
#include <string>

namespace {

// clang-format off

// Layout of the parameter block: members of Problem, "threads", then where in the block of a memory its arrays begin.
#define XATTN_FIELDS(field)                                                       \
  field(batch) field(heads) field(kvHeads) field(tq) field(tk) field(d) field(dv) \
  field(scale) field(softcap) field(causal) field(windowLeft) field(windowRight)  \
  field(query.type) field(query.batch) field(query.head) field(query.row)         \
  field(key.type) field(key.batch) field(key.head) field(key.row)                 \
  field(value.type) field(value.batch) field(value.head) field(value.row)         \
  field(output.type) field(output.batch) field(output.head) field(output.row)     \
  field(mask.type) field(mask.batch) field(mask.head) field(mask.row) field(mask.key)            \
  field(map.kind) field(map.headCount) field(map.keyCount) field(map.k)

// The arrays, in the order of the arguments, and where a Problem has them.
#define XATTN_ARRAYS(array)                                                                       \
  array(query, query.data) array(key, key.data) array(value, value.data)                          \
  array(keyScales, key.scales) array(valueScales, value.scales)                                   \
  array(output, output.data) array(mask, mask.data) array(keyLengths, keyLengths)                 \
  array(offsets, offsets) array(alibi, alibi) array(sinks, sinks) array(lse, lse)                \
  array(values, map.values) array(indices, map.indices) array(heads, map.heads)                   \
  array(keys, map.keys) array(columns, map.columns)

// clang-format on

#define XATTN_NAME(name, ...) #name,
const char *const FIELDS[] = {XATTN_FIELDS(XATTN_NAME) "threads", "memory.key", "memory.value", "memory.keyScales",
                              "memory.valueScales"};
#define XATTN_ONE(...) +1
constexpr int ARRAY_COUNT = XATTN_ARRAYS(XATTN_ONE);

// Arguments of a call: index of the kernel, parameter block, arrays, the memory that has keys and values instead of
// them, and for asynchronous calls the cell that cancels.
enum { KERNEL, BLOCK, FIRST_ARRAY, MEMORY = FIRST_ARRAY + ARRAY_COUNT, CANCEL, ARGUMENTS };

// What one JavaScript thread has of the library; the owner of its asynchronous calls.
struct Environment : Owner {
  Buffer scratch;                  // of synchronous calls
  napi_threadsafe_function settle; // keeps the event loop alive while calls are in flight
  int64_t inFlight = 0;
};

struct Arguments {
  napi_value values[ARGUMENTS];
  Environment *environment;

  Arguments(napi_env env, napi_callback_info info) {
    size_t count = ARGUMENTS;
    void *data;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
    environment = static_cast<Environment *>(data);
  }
};

// Memory of a typed array; none of undefined, which Node-API refuses.
void *memoryOf(napi_env env, napi_value array) {
  void *data = nullptr;
  napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr);
  return data;
}

template <class T> void assign(T &member, double field) {
  member = static_cast<T>(field);
}
template <class T> void assign(T *&member, void *memory) {
  member = static_cast<T *>(memory);
}

// Keys and values of a memory, at byte offsets into its block.
void place(Problem &problem, const char *block, const double *offset) {
  problem.mayRound = 1;
  problem.key.data = block + static_cast<int64_t>(offset[0]);
  problem.value.data = block + static_cast<int64_t>(offset[1]);
  problem.key.scales = reinterpret_cast<const float *>(block + static_cast<int64_t>(offset[2]));
  problem.value.scales = reinterpret_cast<const float *>(block + static_cast<int64_t>(offset[3]));
}

void unpack(napi_env env, const napi_value *arguments, Job &job) {
  const double *field = static_cast<const double *>(memoryOf(env, arguments[BLOCK]));
#define XATTN_READ(name) assign(job.problem.name, *field++);
  XATTN_FIELDS(XATTN_READ)
  assign(job.wanted, *field++);
  const napi_value *array = arguments + FIRST_ARRAY;
#define XATTN_POINT(name, member) assign(job.problem.member, memoryOf(env, *array++));
  XATTN_ARRAYS(XATTN_POINT)
  if (const char *bytes = bytesOf(env, arguments[MEMORY])) place(job.problem, bytes, field);
  int32_t kernel = 0;
  napi_get_value_int32(env, arguments[KERNEL], &kernel);
  job.kernel = usableKernels().list[kernel];
  job.kernel->plan(&job.problem, &job.plan);
}

const char *const NO_MEMORY = "xattn has no memory for the working space of a call";

napi_value newError(napi_env env, const std::string &message) {
  napi_value text, error;
  napi_create_string_utf8(env, message.c_str(), message.size(), &text);
  napi_create_error(env, nullptr, text, &error);
  return error;
}

// Of the exception at hand.
napi_value caughtError(napi_env env) {
  try {
    throw;
  } catch (const std::bad_alloc &) {
    return newError(env, NO_MEMORY);
  } catch (const std::exception &error) {
    return newError(env, error.what());
  }
}

// attend(kernel, block, query, ..., columns, memory). By the C interface: getting here takes as long as a small call's
// work.
napi_value attend(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Job job;
  try {
    unpack(env, arguments.values, job);
    run(job, arguments.environment->scratch);
  } catch (...) {
    napi_throw(env, caughtError(env));
  }
  return nullptr;
}

// An asynchronous call on its way.
struct Call : Job {
  napi_deferred promise;
  napi_ref arrays; // an Array that keeps them, the memory and the cell alive
};

Environment &environmentOf(const Job &job) {
  return *static_cast<Environment *>(job.owner);
}

void keepArrays(napi_env env, const napi_value *arrays, Call &call) {
  napi_value kept;
  napi_create_array_with_length(env, ARGUMENTS - FIRST_ARRAY, &kept);
  for (int i = 0; i < ARGUMENTS - FIRST_ARRAY; i++) napi_set_element(env, kept, i, arrays[i]);
  napi_create_reference(env, kept, 1, &call.arrays);
}

void resolve(napi_env env, napi_deferred promise) {
  napi_value undefined;
  napi_get_undefined(env, &undefined);
  napi_resolve_deferred(env, promise, undefined);
}

// On the JavaScript thread, when the pool has let go of a call. Where the environment is gone, so is the promise.
void settle(napi_env env, napi_value, void *, void *data) {
  std::unique_ptr<Call> call(static_cast<Call *>(data));
  if (env == nullptr) return;
  Environment &environment = environmentOf(*call);
  if (--environment.inFlight == 0) napi_unref_threadsafe_function(env, environment.settle);
  if (call->failed) {
    napi_reject_deferred(env, call->promise, newError(env, NO_MEMORY));
  } else {
    resolve(env, call->promise);
  }
  napi_delete_reference(env, call->arrays);
}

// Gives the call to the pool, or does a small one at once.
void begin(napi_env env, const Arguments &arguments, napi_deferred promise) {
  Environment &environment = *arguments.environment;
  auto call = std::make_unique<Call>();
  unpack(env, arguments.values, *call);
  if (isSmall(call->plan)) {
    run(*call, environment.scratch);
    return resolve(env, promise);
  }
  call->promise = promise;
  call->owner = &environment;
  call->cancel = static_cast<const std::atomic<int32_t> *>(memoryOf(env, arguments.values[CANCEL]));
  call->done = [](Job &job) {
    napi_call_threadsafe_function(environmentOf(job).settle, static_cast<Call *>(&job), napi_tsfn_nonblocking);
  };
  submit(*call);
  keepArrays(env, arguments.values + FIRST_ARRAY, *call);
  if (environment.inFlight++ == 0) napi_ref_threadsafe_function(env, environment.settle);
  call.release(); // settle() deletes it, on this thread
}

// attendAsync(kernel, block, query, ..., columns, memory, cancel): a promise of undefined.
napi_value attendAsync(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  try {
    begin(env, arguments, deferred);
  } catch (...) {
    napi_reject_deferred(env, deferred, caughtError(env));
  }
  return promise;
}

// describe(kernel, block, query, ..., columns, memory): how attend() would run.
napi_value describe(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Job job;
  try {
    unpack(env, arguments.values, job);
    Napi::Object description = Napi::Object::New(env);
    description["kernel"] = job.plan.kernel;
    description["threads"] = static_cast<double>(threadsFor(job));
    description["inline"] = isSmall(job.plan);
    return description;
  } catch (...) {
    napi_throw(env, caughtError(env));
  }
  return nullptr;
}

// sweep(): after the cell of a call was set, so that it need not wait for its turn to end.
napi_value sweepCancelled(napi_env, napi_callback_info) {
  sweep();
  return nullptr;
}

Environment *newEnvironment(Napi::Env env) {
  auto *environment = new Environment;
  env.SetInstanceData(environment); // deletes it at the very end
  Napi::String name = Napi::String::New(env, "xattn");
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                                       settle, &environment->settle);
  if (status != napi_ok) throw Napi::Error::New(env);
  napi_unref_threadsafe_function(env, environment->settle);
  // Hooks run in reverse order: the pool lets go of all calls before the function above is closed.
  auto leave = [](void *environment) { dismiss(*static_cast<Environment *>(environment)); };
  napi_add_env_cleanup_hook(env, leave, environment);
  return environment;
}

// Why the pool has that many threads.
Napi::Object newLimits(Napi::Env env) {
  const CpuLimits limits = cpuLimits();
  Napi::Object result = Napi::Object::New(env);
  result["wanted"] = limits.wanted;
  result["allowed"] = limits.allowed;
  result["quota"] = limits.quota;
  return result;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  Environment *environment = newEnvironment(env);
  Napi::Array kernels = Napi::Array::New(env), fields = Napi::Array::New(env);
  for (int i = 0; i < usableKernels().count; i++) kernels[i] = usableKernels().list[i]->name;
  for (const char *name : FIELDS) fields[fields.Length()] = name;
  exports["kernels"] = kernels;
  exports["fields"] = fields;
  exports["threads"] = static_cast<double>(poolThreads());
  exports["memories"] = memoryEntries(env);
  exports["blocks"] = blockEntries(env);
  exports["limits"] = newLimits(env);
  const napi_property_descriptor functions[] = {
      {"attend", nullptr, attend, nullptr, nullptr, nullptr, napi_enumerable, environment},
      {"attendAsync", nullptr, attendAsync, nullptr, nullptr, nullptr, napi_enumerable, environment},
      {"describe", nullptr, describe, nullptr, nullptr, nullptr, napi_enumerable, environment},
      {"sweep", nullptr, sweepCancelled, nullptr, nullptr, nullptr, napi_enumerable, nullptr}};
  napi_define_properties(env, exports, 4, functions);
  return exports;
}

} // namespace

NODE_API_MODULE(xattn, initialise)
