#include "queue.h"

bool Queue::admit(Job &job) {
  Owner &owner = *job.owner;
  if (owner.underWay >= most) {
    owner.waiting.push_back(&job);
    return false;
  }
  owner.underWay++;
  return true;
}

Job *Queue::end(Job &job) {
  Owner &owner = *job.owner;
  owner.underWay--;
  if (owner.waiting.empty() || owner.underWay >= most) return nullptr;
  owner.underWay++;
  Job *next = owner.waiting.front();
  owner.waiting.pop_front();
  return next;
}

void Queue::push(Job &job) {
  if (std::find(owners.begin(), owners.end(), job.owner) == owners.end()) owners.push_back(job.owner);
  job.owner->turns.push_back(&job);
  job.queued = true;
  turns++;
}

void Queue::remove(Job &job) {
  if (!job.queued) return;
  job.owner->turns.remove(&job);
  job.queued = false;
  turns--;
}

void Queue::moveOwnerBack(Job &job) {
  owners.splice(owners.end(), owners, std::find(owners.begin(), owners.end(), job.owner));
}

void Queue::moveBack(Job &job) {
  std::list<Job *> &turns = job.owner->turns;
  if (job.queued) turns.splice(turns.end(), turns, std::find(turns.begin(), turns.end(), &job));
}
