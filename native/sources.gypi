{
  "variables": {
    "xattn_kernels": ["native/avx512.cc", "native/avx2.cc", "native/neon.cc", "native/scalar.cc"],
    "xattn_plumbing": ["native/async.cc", "native/binding.cc", "native/blocks-binding.cc", "native/cpus.cc", "native/dispatch.cc", "native/job.cc", "native/memory.cc", "native/memory-binding.cc", "native/parallel.cc", "native/queue.cc", "native/thread.cc"]
  }
}
