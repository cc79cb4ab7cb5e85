#include "memory-binding.h"
#include "dispatch.h"
#include "memory.h"

namespace {

// One holder of a block, until JavaScript releases it or drops the value.
struct Handle {
  Block *block;
};

Handle &handleOf(const Napi::Value &value) {
  return *value.As<Napi::External<Handle>>().Data();
}

Block &blockOf(const Napi::Value &value) {
  return *handleOf(value).block;
}

void count(Napi::Env env, const Block &block, int64_t sign) {
  int64_t total;
  napi_adjust_external_memory(env, sign * static_cast<int64_t>(block.size), &total);
}

void letGo(Napi::Env env, Handle &handle) {
  if (handle.block == nullptr) return;
  count(env, *handle.block, -1);
  release(handle.block);
  handle.block = nullptr;
}

// Takes the holder over.
Napi::Value newHandle(Napi::Env env, Block *block) {
  auto end = [](Napi::Env env, Handle *handle) {
    letGo(env, *handle);
    delete handle;
  };
  auto value = Napi::External<Handle>::New(env, new Handle{block}, end);
  count(env, *block, 1);
  return value;
}

// By the C interface: an append takes as long as getting here.
void *dataOf(const Napi::Value &array) {
  void *data = nullptr;
  napi_get_typedarray_info(array.Env(), array, nullptr, nullptr, &data, nullptr, nullptr);
  return data;
}

int64_t integerOf(const Napi::Value &value) {
  int64_t integer = 0;
  napi_get_value_int64(value.Env(), value, &integer);
  return integer;
}

// The next numbers of a Float64Array.
class Fields {
public:
  explicit Fields(const Napi::Value &array) : next(static_cast<const double *>(dataOf(array))) {}
  int64_t integer() { return static_cast<int64_t>(*next++); }
  Operand operand() {
    const Type type = static_cast<Type>(integer());
    const int64_t batch = integer(), head = integer(), row = integer();
    return {nullptr, type, batch, head, row, nullptr};
  }

private:
  const double *next;
};

// allocate(bytes): a handle. Throws where there is no memory.
Napi::Value allocate(const Napi::CallbackInfo &info) {
  try {
    return newHandle(info.Env(), newBlock(static_cast<size_t>(integerOf(info[0]))));
  } catch (const std::bad_alloc &) {
    throw Napi::Error::New(info.Env(), "out of memory");
  }
}

// release(handle)
void releaseHandle(const Napi::CallbackInfo &info) {
  letGo(info.Env(), handleOf(info[0]));
}

// claim(handle, from, to): boolean
Napi::Value claimRows(const Napi::CallbackInfo &info) {
  const int64_t from = integerOf(info[1]), to = integerOf(info[2]);
  return Napi::Boolean::New(info.Env(), claim(blockOf(info[0]), from, to));
}

// reclaim(handle, from): boolean
Napi::Value reclaimRows(const Napi::CallbackInfo &info) {
  return Napi::Boolean::New(info.Env(), reclaim(blockOf(info[0]), integerOf(info[1])));
}

// write(kernel, handle, fields, array): fields are the operands from and to, where in the block elements and scales of
// `to` begin, then batch, heads, count, width.
void write(const Napi::CallbackInfo &info) {
  const Kernel &kernel = *usableKernels().list[integerOf(info[0])];
  char *bytes = blockOf(info[1]).bytes;
  Fields fields(info[2]);
  Rows rows;
  rows.from = fields.operand(), rows.to = fields.operand();
  rows.to.data = bytes + fields.integer();
  rows.scales = reinterpret_cast<float *>(bytes + fields.integer());
  rows.batch = fields.integer(), rows.heads = fields.integer();
  rows.count = fields.integer(), rows.width = fields.integer();
  rows.from.data = dataOf(info[3]);
  convertRows(kernel, rows);
}

// copy(to, from, fields): fields are offset and stride in `to`, offset and stride in `from`, bytes of a run, how many.
void copy(const Napi::CallbackInfo &info) {
  char *to = blockOf(info[0]).bytes;
  const char *from = blockOf(info[1]).bytes;
  Fields fields(info[2]);
  Runs runs;
  runs.to = to + fields.integer(), runs.toStride = fields.integer();
  runs.from = from + fields.integer(), runs.fromStride = fields.integer();
  runs.bytes = fields.integer(), runs.count = fields.integer();
  copyRuns(runs);
}

// read(handle, array): all bytes, for a backend that cannot read the block.
void read(const Napi::CallbackInfo &info) {
  const Block &block = blockOf(info[0]);
  const int64_t size = static_cast<int64_t>(block.size);
  copyRuns({static_cast<char *>(dataOf(info[1])), block.bytes, 0, 0, size, 1});
}

// share(handle, token, description): the block waits under the token.
void share(const Napi::CallbackInfo &info) {
  park(info[1].As<Napi::String>(), blockOf(info[0]), info[2].As<Napi::String>());
}

// claimShared(token): { handle, description }, undefined where nothing waits under it.
Napi::Value claimShared(const Napi::CallbackInfo &info) {
  std::string description;
  Block *block = unpark(info[0].As<Napi::String>(), description);
  if (block == nullptr) return info.Env().Undefined();
  Napi::Object found = Napi::Object::New(info.Env());
  found["handle"] = newHandle(info.Env(), block);
  found["description"] = description;
  return found;
}

} // namespace

char *bytesOf(napi_env env, napi_value handle) {
  void *data = nullptr;
  napi_get_value_external(env, handle, &data);
  return data == nullptr ? nullptr : static_cast<Handle *>(data)->block->bytes;
}

Napi::Object memoryEntries(Napi::Env env) {
  Napi::Object entries = Napi::Object::New(env);
  entries["allocate"] = Napi::Function::New(env, allocate);
  entries["release"] = Napi::Function::New(env, releaseHandle);
  entries["claim"] = Napi::Function::New(env, claimRows);
  entries["reclaim"] = Napi::Function::New(env, reclaimRows);
  entries["write"] = Napi::Function::New(env, write);
  entries["copy"] = Napi::Function::New(env, copy);
  entries["read"] = Napi::Function::New(env, read);
  entries["share"] = Napi::Function::New(env, share);
  entries["claimShared"] = Napi::Function::New(env, claimShared);
  return entries;
}
