// Node-API of the building blocks: takes calls apart and has them run. The facade has checked the arguments.
#include "blocks-binding.h"
#include "blocks.h"
#include "dispatch.h"
#include "parallel.h"

#include <algorithm>

namespace {

// clang-format off

// Parameters in the order of the block, and arrays in the order of the arguments.
#define XATTN_LINEAR(field, array)                                                                         \
  field(rows) field(inputs) field(outputs) field(stride) field(type) field(activation) field(gated)        \
  field(wanted) array(x) array(weights) array(scales) array(bias) array(residual) array(y)
#define XATTN_NORM(field, array)                                                                           \
  field(rows) field(width) field(centred) field(eps) array(x) array(weight) array(bias) array(y)
#define XATTN_EMBEDDING(field, array)                                                                      \
  field(rows) field(width) field(type) field(stride) field(scale) array(table) array(ids) array(y)
#define XATTN_ROTARY(field, array)                                                                         \
  field(rows) field(heads) field(size) field(dims) field(interleaved)                                      \
  array(x) array(positions) array(table) array(y)

#define XATTN_NOTHING(name)
#define XATTN_NAME(name) #name,
const char *const FIELDS[] = {
  XATTN_LINEAR(XATTN_NAME, XATTN_NOTHING) XATTN_NORM(XATTN_NAME, XATTN_NOTHING)
  XATTN_EMBEDDING(XATTN_NAME, XATTN_NOTHING) XATTN_ROTARY(XATTN_NAME, XATTN_NOTHING)
};

// clang-format on

// Arguments of a call: index of the kernel, parameter block, arrays, and for asynchronous calls the cell that cancels.
enum { KERNEL, BLOCK, FIRST_ARRAY, LINEAR_ARRAYS = 6, CANCEL = FIRST_ARRAY + LINEAR_ARRAYS, ARGUMENTS };

struct Values {
  napi_env env;
  napi_value list[ARGUMENTS];
  Environment *environment;

  Values(napi_env env, napi_callback_info info) : env(env) {
    size_t count = ARGUMENTS;
    void *data;
    napi_get_cb_info(env, info, &count, list, nullptr, &data);
    environment = static_cast<Environment *>(data);
  }

  const Blocks *blocks() const {
    int32_t kernel = 0;
    napi_get_value_int32(env, list[KERNEL], &kernel);
    return usableKernels().list[kernel]->blocks;
  }
};

#define XATTN_READ(name) assign(call.name, *field++);
#define XATTN_POINT(name) assign(call.name, memoryOf(values.env, *array++));
#define XATTN_READER(Type, MEMBERS)                                                                                    \
  void read(const Values &values, Type &call) {                                                                        \
    const double *field = static_cast<const double *>(memoryOf(values.env, values.list[BLOCK]));                       \
    const napi_value *array = values.list + FIRST_ARRAY;                                                               \
    MEMBERS(XATTN_READ, XATTN_POINT)                                                                                   \
  }
XATTN_READER(Linear, XATTN_LINEAR)
XATTN_READER(Norm, XATTN_NORM)
XATTN_READER(Embedding, XATTN_EMBEDDING)
XATTN_READER(Rotary, XATTN_ROTARY)

// Runs a function, and throws into JavaScript what it throws.
template <class Function> napi_value guarded(napi_env env, Function function) {
  try {
    return function();
  } catch (...) {
    napi_throw(env, caughtError(env));
    return nullptr;
  }
}

// packedBytes(kernel, block): of the memory that pack() wants.
napi_value packedBytes(napi_env env, napi_callback_info info) {
  Values values(env, info);
  Linear call;
  napi_value bytes;
  read(values, call);
  napi_create_double(env, static_cast<double>(values.blocks()->packedBytes(&call)), &bytes);
  return bytes;
}

// pack(kernel, block, rows, packed)
napi_value pack(napi_env env, napi_callback_info info) {
  Values values(env, info);
  Linear call;
  read(values, call);
  const napi_value *array = values.list + FIRST_ARRAY;
  values.blocks()->pack(&call, memoryOf(env, array[0]), memoryOf(env, array[1]));
  return nullptr;
}

struct LinearJob : AsyncJob {
  Linear call;
  const Blocks *blocks;

  explicit LinearJob(const Values &values) : blocks(values.blocks()) {
    read(values, call);
    wanted = call.wanted;
    blocks->planLinear(&call, &plan);
    item = [](Job &job, int64_t item, void *scratch) {
      const LinearJob &self = static_cast<const LinearJob &>(job);
      self.blocks->linear(&self.call, item, scratch);
    };
  }
};

// linear(kernel, block, x, weights, scales, bias, residual, y)
napi_value linear(napi_env env, napi_callback_info info) {
  Values values(env, info);
  return guarded(env, [&]() -> napi_value {
    LinearJob job(values);
    run(job, *values.environment);
    return nullptr;
  });
}

// linearAsync(kernel, block, x, weights, scales, bias, residual, y, cancel): a promise of undefined.
napi_value linearAsync(napi_env env, napi_callback_info info) {
  Values values(env, info);
  const auto make = [&] { return std::make_unique<LinearJob>(values); };
  return promised(env, *values.environment, make, values.list + FIRST_ARRAY, LINEAR_ARRAYS, values.list[CANCEL]);
}

int64_t widthOf(const Norm &call) {
  return call.width;
}
int64_t widthOf(const Embedding &call) {
  return call.width;
}
int64_t widthOf(const Rotary &call) {
  return call.heads * call.size;
}

// Elements of an item, some tens of microseconds, and what one is worth in multiply-adds.
constexpr int64_t ITEM_ELEMENTS = 65536;
constexpr double ELEMENT_WORK = 4;

// Work on rows, cut into ranges of them.
template <class Call> struct RowsJob : Job {
  Call call;
  void (*body)(const Call *, int64_t from, int64_t to);
  int64_t each;

  RowsJob(const Values &values, void (*Blocks::*block)(const Call *, int64_t, int64_t))
      : body(values.blocks()->*block) {
    read(values, call);
    each = std::max<int64_t>(1, ITEM_ELEMENTS / widthOf(call));
    wanted = 0;
    const int64_t items = (call.rows + each - 1) / each;
    plan.kernel = "rows";
    plan.items = plan.tiles = items;
    plan.together = plan.splits = 1;
    plan.work = ELEMENT_WORK * double(call.rows) * double(widthOf(call));
    item = [](Job &job, int64_t item, void *) {
      const RowsJob &self = static_cast<const RowsJob &>(job);
      const int64_t from = item * self.each;
      self.body(&self.call, from, std::min(from + self.each, self.call.rows));
    };
  }
};

template <class Call>
napi_value overRows(napi_env env, napi_callback_info info, void (*Blocks::*block)(const Call *, int64_t, int64_t)) {
  Values values(env, info);
  return guarded(env, [&]() -> napi_value {
    RowsJob<Call> job(values, block);
    run(job, *values.environment);
    return nullptr;
  });
}

// norm(kernel, block, x, weight, bias, y)
napi_value norm(napi_env env, napi_callback_info info) {
  return overRows<Norm>(env, info, &Blocks::norm);
}

// embedding(kernel, block, table, ids, y)
napi_value embedding(napi_env env, napi_callback_info info) {
  return overRows<Embedding>(env, info, &Blocks::embedding);
}

// rotary(kernel, block, x, positions, table, y)
napi_value rotary(napi_env env, napi_callback_info info) {
  return overRows<Rotary>(env, info, &Blocks::rotary);
}

napi_value fieldNames(napi_env env) {
  napi_value names;
  napi_create_array(env, &names);
  uint32_t at = 0;
  for (const char *field : FIELDS) {
    napi_value name;
    napi_create_string_utf8(env, field, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, names, at++, name);
  }
  return names;
}

} // namespace

napi_value blockEntries(napi_env env, Environment *environment) {
  napi_value entries;
  napi_create_object(env, &entries);
  auto method = [&](const char *name, napi_callback callback) -> napi_property_descriptor {
    return {name, nullptr, callback, nullptr, nullptr, nullptr, napi_enumerable, environment};
  };
  const napi_property_descriptor properties[] = {
      method("packedBytes", packedBytes),
      method("pack", pack),
      method("linear", linear),
      method("linearAsync", linearAsync),
      method("norm", norm),
      method("embedding", embedding),
      method("rotary", rotary),
      {"fields", nullptr, nullptr, nullptr, nullptr, fieldNames(env), napi_enumerable, nullptr}};
  napi_define_properties(env, entries, sizeof properties / sizeof *properties, properties);
  return entries;
}
