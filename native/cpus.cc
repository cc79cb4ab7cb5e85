#include "cpus.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace {

// 0: not set, or nothing that can be meant.
int wantedThreads() {
  const char *text = std::getenv("XATTN_NUM_THREADS");
  if (text == nullptr || *text == 0) return 0;
  char *end;
  long wanted = std::strtol(text, &end, 10);
  return *end == 0 && wanted >= 1 && wanted <= MOST_THREADS ? (int)wanted : 0;
}

int onlineCpus() {
  return std::max(1, (int)std::thread::hardware_concurrency());
}

#ifdef __linux__
int allowedCpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : onlineCpus();
}

bool readNumber(const std::string &path, double *number) {
  std::FILE *file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  bool found = std::fscanf(file, "%lf", number) == 1;
  std::fclose(file);
  return found;
}

// Version 2 of cgroups: "max 100000" or "150000 100000", microseconds of CPU in a period of microseconds.
double quotaV2(const std::string &group) {
  std::FILE *file = std::fopen((group + "/cpu.max").c_str(), "re");
  if (file == nullptr) return INFINITY;
  double quota, period;
  bool limited = std::fscanf(file, "%lf %lf", &quota, &period) == 2 && period > 0;
  std::fclose(file);
  return limited ? quota / period : INFINITY;
}

// Version 1: a quota of -1 is none.
double quotaV1(const std::string &group) {
  double quota, period;
  bool limited = readNumber(group + "/cpu.cfs_quota_us", &quota) && readNumber(group + "/cpu.cfs_period_us", &period);
  return limited && quota > 0 && period > 0 ? quota / period : INFINITY;
}

// The least quota of a group and the groups it lies in. Where a container does not see its own path, the root is its
// group.
double quotaAbove(double (*quota)(const std::string &), const std::string &mount, std::string path) {
  double least = quota(mount);
  for (; path.size() > 1; path.resize(path.rfind('/'))) least = std::min(least, quota(mount + path));
  return least;
}

// CPUs that the process' control groups pay for. /proc/self/cgroup has a line "id:controllers:path" for every
// hierarchy.
double quotaCpus() {
  double least = INFINITY;
  std::FILE *file = std::fopen("/proc/self/cgroup", "re");
  if (file == nullptr) return least;
  char text[4096];
  while (std::fgets(text, sizeof text, file) != nullptr) {
    std::string line(text, std::string(text).find_last_not_of('\n') + 1);
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",", path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (controllers == ",,") least = std::min(least, quotaAbove(quotaV2, "/sys/fs/cgroup", path));
    if (controllers.find(",cpu,") != std::string::npos) {
      least = std::min(least, quotaAbove(quotaV1, "/sys/fs/cgroup/cpu", path));
    }
  }
  std::fclose(file);
  return least;
}
#else
int allowedCpus() {
  return onlineCpus();
}
double quotaCpus() {
  return INFINITY;
}
#endif

} // namespace

CpuLimits cpuLimits() {
  return {wantedThreads(), allowedCpus(), quotaCpus()};
}

int defaultThreads() {
  const CpuLimits limits = cpuLimits();
  if (limits.wanted) return limits.wanted;
  double cpus = std::min<double>(limits.allowed, std::ceil(limits.quota));
  return (int)std::min<double>(std::max(1.0, cpus), MOST_THREADS);
}
