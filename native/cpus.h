// How many threads are worth having here.
#pragma once

constexpr int MOST_THREADS = 1024;

// The environment variable XATTN_NUM_THREADS if it is an integer in 1..MOST_THREADS; else the CPUs that the process may
// run on, or fewer if a container's quota pays for fewer. At least 1.
int defaultThreads();
