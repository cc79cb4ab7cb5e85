// Whose turn it is: JavaScript threads take turns, and the calls of each. The pool's mutex guards it.
#pragma once
#include "job.h"
#include <algorithm>
#include <list>

class Queue {
public:
  // A JavaScript thread has at most so many asynchronous jobs under way. The others wait in order, without memory.
  explicit Queue(int64_t most) : most(most) {}

  // Takes in an asynchronous job. False: it waits for its like to end.
  bool admit(Job &);
  // The job is over. One that has waited for that and is under way now; nullptr: there is none.
  Job *end(Job &);

  // A job under way that may have items to claim gets turns, or gets none any more.
  void push(Job &);
  void remove(Job &);

  // The first in turn that a thread may help.
  template <class Condition> Job *first(Condition mayHelp) const {
    for (Owner *owner : owners) {
      for (Job *job : owner->turns) {
        if (mayHelp(*job)) return job;
      }
    }
    return nullptr;
  }
  void moveOwnerBack(Job &);
  void moveBack(Job &);

  // Takes out jobs that a condition holds for, those that wait as well: all are under way then.
  template <class Condition> std::list<Job *> take(Condition isMeant) {
    std::list<Job *> taken;
    const auto takeIfMeant = [&](Job *job) {
      if (!isMeant(*job)) return false;
      taken.push_back(job);
      if (job->queued)
        turns--;
      else
        job->owner->underWay++;
      job->queued = false;
      return true;
    };
    for (Owner *owner : owners) {
      owner->turns.remove_if(takeIfMeant);
      owner->waiting.remove_if(takeIfMeant);
    }
    return taken;
  }

  // The owner has no jobs and will have none.
  void forget(Owner &owner) { owners.remove(&owner); }

  // How many have turns. Any thread may ask.
  size_t size() const { return turns; }

private:
  const int64_t most;
  std::list<Owner *> owners; // that ever had a job, next turn first
  std::atomic<size_t> turns{0};
};
