// Every kernel of this CPU on arrays that end, then begin, at a page that nobody may touch. Inputs are read-only, what
// lies beside an array must stay as it was, and the results must be right.
#include "../../native/dispatch.h"
#include "blocks.h"
#include "guarded.h"
#include "problems.h"
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

// Neighbours of 4, 8, 16, 32, 48, 64, 96 and 128: lanes, tiles and blocks of all kernels.
const int64_t LENGTHS[] = {1,  2,  3,  4,  5,  7,  8,  9,  15, 16, 17,  31,  32,
                           33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129};
// Neighbours of what few queries take at once, and of where keys are split over threads.
const int64_t MANY_KEYS[] = {1023, 1024, 1025, 2048, 4095, 4096, 4097, 6143, 6145};
const int64_t FEW_QUERIES[] = {1, 2, 3, 4, 6, 7, 8, 9, 17};

std::vector<Sizes> allSizes(int64_t randomOnes) {
  std::vector<Sizes> all;
  const size_t count = std::size(LENGTHS);
  auto turned = [&](size_t n) { return LENGTHS[n % count]; };
  for (size_t a = 0; a < count; a++) {
    for (size_t b = 0; b < count; b++) {
      const int64_t batch = 1 + (a + b) % 2, kvHeads = 1 + b % 2, heads = kvHeads * (1 + a % 2);
      all.push_back({batch, heads, kvHeads, LENGTHS[a], LENGTHS[b], turned(3 * a + b), turned(5 * a + 7 * b)});
      all.push_back({batch, heads, kvHeads, turned(a + b), turned(7 * a + 3 * b), LENGTHS[a], LENGTHS[b]});
    }
  }
  for (int64_t tk : MANY_KEYS) {
    for (int64_t tq : FEW_QUERIES) all.push_back({1, 2, 1 + tq % 2, tq, tk, turned(tq + tk), turned(tk)});
  }
  for (int64_t seed = 0; seed < randomOnes; seed++) {
    Choices choices(seed);
    all.push_back(chooseSizes(choices));
    if (choices.chance(2)) all.back().dv = 0;
  }
  return all;
}

// Of the building blocks, which have fewer: each with every other one as width and as outputs.
std::vector<BlockSizes> allBlockSizes(int64_t randomOnes) {
  std::vector<BlockSizes> all;
  const size_t count = std::size(LENGTHS);
  for (size_t a = 0; a < count; a++) {
    for (size_t b = 0; b < count; b++) all.push_back({LENGTHS[(3 * a + b) % count], LENGTHS[a], LENGTHS[b]});
  }
  for (int64_t width : {511, 512, 513, 1024, 1025}) { // inputs that a linear layer takes at a time
    for (int64_t rows : {1, 5, 6, 7, 97}) all.push_back({rows, width, 33});
  }
  for (int64_t seed = 0; seed < randomOnes; seed++) {
    Choices choices(seed);
    all.push_back(chooseBlockSizes(choices));
  }
  return all;
}

// For the handler of faults.
const GuardedMemory *watched[2];
std::string running;

void reportFault(int, siginfo_t *info, void *) {
  const char *name = nullptr;
  for (const GuardedMemory *memory : watched) {
    if (memory != nullptr && name == nullptr) name = memory->nameAt(info->si_addr);
  }
  std::fprintf(stderr, "%s: touched what is beside, or wrote to, \"%s\"\n", running.c_str(), name ? name : "?");
  _exit(1);
}

void watchFaults() {
  struct sigaction action = {};
  action.sa_sigaction = reportFault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

[[noreturn]] void fail(const std::string &why) {
  std::fprintf(stderr, "%s: %s\n", running.c_str(), why.c_str());
  std::exit(1);
}

const char *sideName(Side side) {
  return side == Side::BEHIND ? "guards behind" : "guards before";
}

void runKernel(const Kernel &kernel, const Call &call, GuardedMemory &arrays, uint64_t seed) {
  GuardedMemory working(arrays.side);
  watched[1] = &working;
  arrays.spoilOutputs();
  Choices choices(seed);
  const std::string wrong = call.run(kernel, choices, working);
  for (const GuardedMemory *memory : {&arrays, &working}) {
    if (const char *name = memory->writtenBeside()) fail(std::string("wrote beside \"") + name + '"');
  }
  if (!wrong.empty()) fail(wrong);
  watched[1] = nullptr;
}

using Make = std::function<AnyCall(Choices &, Memory &)>;

void runCall(const Make &make, uint64_t seed, Side side) {
  GuardedMemory arrays(side);
  watched[0] = &arrays;
  Choices choices(seed);
  const AnyCall call = make(choices, arrays);
  arrays.protectInputs();
  for (int i = 0; i < usableKernels().count; i++) {
    const Kernel &kernel = *usableKernels().list[i];
    running = std::string(kernel.name) + ", " + sideName(side) + ", seed " + std::to_string(seed) + ", " +
              call->description();
    runKernel(kernel, *call, arrays, seed);
  }
  watched[0] = nullptr;
}

// Whether what a child process does ends as faults do.
template <class Body> bool isNoticed(const Body &body) {
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

// Else all that follows would prove nothing: who reads beside an array is noticed, and so is every array that calls
// use.
void expectFaults(const Make &make, Side side, const Kernel &kernel) {
  const auto readBeside = [side] {
    GuardedMemory memory(side);
    const auto *array = static_cast<const volatile uint8_t *>(memory.take("array", 12, 4));
    static_cast<void>(array[side == Side::BEHIND ? 12 : -1]);
  };
  running = std::string(kernel.name) + ", " + sideName(side);
  if (!isNoticed(readBeside)) fail("nobody noticed a read beside an array");
  std::map<std::string, bool> noticed;
  for (uint64_t seed = 0; seed < 30; seed++) {
    GuardedMemory arrays(side), working(side);
    Choices choices(seed);
    const AnyCall call = make(choices, arrays);
    for (const char *name : arrays.names()) {
      const auto runHidden = [&] {
        arrays.hide(name);
        call->run(kernel, choices, working);
      };
      noticed[name] = noticed[name] || isNoticed(runHidden);
    }
  }
  for (const auto &[name, was] : noticed) {
    if (!was) fail("nobody noticed when \"" + name + "\" was hidden");
  }
}

std::vector<Make> allCalls(int64_t randomOnes) {
  std::vector<Make> all;
  for (const Sizes &sizes : allSizes(randomOnes)) {
    all.push_back([sizes](Choices &choices, Memory &memory) { return makeAttention(sizes, choices, memory); });
  }
  for (const BlockSizes &sizes : allBlockSizes(randomOnes)) {
    for (MakeBlock *make : BLOCKS) {
      all.push_back([=](Choices &choices, Memory &memory) { return make(sizes, choices, memory); });
    }
  }
  return all;
}

} // namespace

// guard [NUMBER OF RANDOM CALLS]
int main(int count, char **arguments) {
  watchFaults();
  const std::vector<Make> all = allCalls(count > 1 ? std::atoll(arguments[1]) : 2000);
  for (Side side : {Side::BEHIND, Side::BEFORE}) {
    for (int i = 0; i < usableKernels().count; i++) {
      const Kernel &kernel = *usableKernels().list[i];
      const auto attention = [](auto &c, auto &memory) { return makeAttention({1, 1, 1, 20, 33, 17, 19}, c, memory); };
      expectFaults(attention, side, kernel);
      for (MakeBlock *make : BLOCKS) {
        expectFaults([=](auto &choices, auto &memory) { return make({7, 33, 19}, choices, memory); }, side, kernel);
      }
    }
    for (size_t n = 0; n < all.size(); n++) runCall(all[n], n, side);
  }
  std::printf("Guard pages: %zu calls on both sides, right and within their arrays on", all.size());
  for (int i = 0; i < usableKernels().count; i++) std::printf(" %s", usableKernels().list[i]->name);
  std::printf("\n");
}
