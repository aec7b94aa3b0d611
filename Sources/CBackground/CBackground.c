#define _GNU_SOURCE
#include "CBackground.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// As in linux/sched/types.h, which glibc has no name for.
struct scheduling {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t turn_nanoseconds;
  uint64_t deadline;
  uint64_t period;
};

static const int niceness = 10;
// The shortest that the kernel takes.
static const uint64_t turn_nanoseconds = 100 * 1000;

void run_in_background(const char *name) {
  pthread_setname_np(pthread_self(), name);
  struct scheduling scheduling = {
      .size = sizeof scheduling, .nice = niceness, .turn_nanoseconds = turn_nanoseconds};
  if (syscall(SYS_sched_setattr, 0, &scheduling, 0) != 0) setpriority(PRIO_PROCESS, 0, niceness);
}
