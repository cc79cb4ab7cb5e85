// The Node-API side of memory.h.
#pragma once
#include <napi.h>

// What the addon exports as `memories`; src/native-store.ts has its types.
Napi::Object memoryEntries(Napi::Env);

// The bytes of the block behind a handle; nullptr where the value is none. Not to be called after release().
char *bytesOf(napi_env, napi_value handle);
