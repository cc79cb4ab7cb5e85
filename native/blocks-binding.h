#pragma once
#include "async.h"

// The addon's functions for the building blocks, and the order of their parameters: see src/blocks/native.ts.
napi_value blockEntries(napi_env, Environment *);
