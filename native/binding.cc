// Node-API: takes calls apart, has them run, and hands back what came of them. The facade has checked the arguments.
#include "async.h"
#include "blocks-binding.h"
#include "cpus.h"
#include "dispatch.h"
#include "memory-binding.h"
#include "parallel.h"
#include <memory>
#include <napi.h>

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

// The arrays, in the order of the arguments, and where a Problem has them. Those that most calls leave out come last.
#define XATTN_ARRAYS(array)                                                                       \
  array(query, query.data) array(key, key.data) array(value, value.data)                          \
  array(output, output.data) array(keyScales, key.scales) array(valueScales, value.scales)        \
  array(mask, mask.data) array(keyLengths, keyLengths) array(offsets, offsets)                    \
  array(alibi, alibi) array(sinks, sinks) array(lse, lse)                                         \
  array(values, map.values) array(indices, map.indices) array(heads, map.heads)                   \
  array(keys, map.keys) array(columns, map.columns)

// clang-format on

#define XATTN_NAME(name, ...) #name,
const char *const FIELDS[] = {XATTN_FIELDS(XATTN_NAME) "threads", "memory.key", "memory.value", "memory.keyScales",
                              "memory.valueScales"};
#define XATTN_ONE(...) +1
constexpr int ARRAY_COUNT = XATTN_ARRAYS(XATTN_ONE);

// Arguments of a call: index of the kernel, parameter block, the memory that has keys and values or undefined, arrays,
// and for asynchronous calls the cell that cancels. A call may leave out the last ones.
enum { KERNEL, BLOCK, MEMORY, FIRST_ARRAY, CANCEL = FIRST_ARRAY + ARRAY_COUNT, ARGUMENTS };

struct Arguments {
  napi_value values[ARGUMENTS]; // undefined where the call has fewer
  size_t count = ARGUMENTS;     // that the call has
  Environment *environment;

  Arguments(napi_env env, napi_callback_info info) {
    void *data;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
    environment = static_cast<Environment *>(data);
  }
};

// Keys and values of a memory, at byte offsets into its block.
void place(Problem &problem, const char *block, const double *offset) {
  problem.mayRound = 1;
  problem.key.data = block + static_cast<int64_t>(offset[0]);
  problem.value.data = block + static_cast<int64_t>(offset[1]);
  problem.key.scales = reinterpret_cast<const float *>(block + static_cast<int64_t>(offset[2]));
  problem.value.scales = reinterpret_cast<const float *>(block + static_cast<int64_t>(offset[3]));
}

void unpack(napi_env env, const Arguments &arguments, Job &job) {
  const double *field = static_cast<const double *>(memoryOf(env, arguments.values[BLOCK]));
#define XATTN_READ(name) assign(job.problem.name, *field++);
  XATTN_FIELDS(XATTN_READ)
  assign(job.wanted, *field++);
  size_t array = FIRST_ARRAY;
#define XATTN_POINT(name, member)                                                                                      \
  if (array < arguments.count) assign(job.problem.member, memoryOf(env, arguments.values[array++]));
  XATTN_ARRAYS(XATTN_POINT)
  if (const char *bytes = bytesOf(env, arguments.values[MEMORY])) place(job.problem, bytes, field);
  int32_t kernel = 0;
  napi_get_value_int32(env, arguments.values[KERNEL], &kernel);
  job.kernel = usableKernels().list[kernel];
  job.kernel->plan(&job.problem, &job.plan);
}

// attend(kernel, block, memory, query, ..., columns). By the C interface: getting here takes as long as a small call's
// work.
napi_value attend(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Job job;
  try {
    unpack(env, arguments, job);
    run(job, *arguments.environment);
  } catch (...) {
    napi_throw(env, caughtError(env));
  }
  return nullptr;
}

// attendAsync(kernel, block, memory, query, ..., columns, cancel): a promise of undefined.
napi_value attendAsync(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  return promised(
      env, *arguments.environment,
      [&] {
        auto job = std::make_unique<AsyncJob>();
        unpack(env, arguments, *job);
        return job;
      },
      arguments.values + MEMORY, CANCEL - MEMORY, arguments.values[CANCEL]);
}

// describe(kernel, block, memory, query, ..., columns): how attend() would run.
napi_value describe(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Job job;
  try {
    unpack(env, arguments, job);
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
  if (environment == nullptr) throw Napi::Error::New(env);
  Napi::Array kernels = Napi::Array::New(env), fields = Napi::Array::New(env);
  for (int i = 0; i < usableKernels().count; i++) kernels[i] = usableKernels().list[i]->name;
  for (const char *name : FIELDS) fields[fields.Length()] = name;
  exports["kernels"] = kernels;
  exports["fields"] = fields;
  exports["threads"] = static_cast<double>(poolThreads());
  exports["memories"] = memoryEntries(env);
  exports["blocks"] = blockEntries(env, environment);
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
