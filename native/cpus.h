// How many threads are worth having here.
#pragma once

constexpr int MOST_THREADS = 1024;

// What bounds the threads of this process.
struct CpuLimits {
  int wanted;   // XATTN_NUM_THREADS if it is an integer in 1..MOST_THREADS, else 0
  int allowed;  // CPUs that the process may run on
  double quota; // CPUs that its control groups pay for; INFINITY: no limit
};

CpuLimits cpuLimits();

// What is wanted; else what is allowed, or fewer if the quota pays for fewer. At least 1.
int defaultThreads();
