# What prebuildify and installs from source drive. CMakeLists.txt sets the same flags.
{
  "includes": ["native/sources.gypi"],
  "target_defaults": {
    "configurations": { "Release": { "defines": ["NDEBUG"] } },
    "cflags!": ["-fno-omit-frame-pointer"],
    "cflags_cc": [
      "-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=off",
      # gcc 12 sees uninitialized registers in its own intrinsics headers; clang does not know the second warning.
      "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-warning-option"
    ],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++17"], "Optimization": 2 } },
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "OTHER_CPLUSPLUSFLAGS": ["-fno-math-errno", "-ffp-contract=off"]
    }
  },
  "targets": [
    {
      "target_name": "kernels",
      "type": "static_library",
      "sources": ["<@(xattn_kernels)"],
      "cflags_cc": [
        "-fno-exceptions", "-fno-rtti", "-fno-unroll-loops", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"
      ],
      "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-fno-unroll-loops"] }
    },
    {
      "target_name": "xattn",
      "dependencies": ["kernels"],
      "sources": ["<@(xattn_plumbing)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "conditions": [
        ["OS=='linux'", { "ldflags": ["-Wl,-z,nodelete,-z,relro,-z,now"] }]
      ],
      "msvs_settings": { "VCCLCompilerTool": { "ExceptionHandling": 1, "RuntimeTypeInfo": "true" } },
      "xcode_settings": { "GCC_ENABLE_CPP_EXCEPTIONS": "YES", "GCC_ENABLE_CPP_RTTI": "YES" }
    }
  ]
}
