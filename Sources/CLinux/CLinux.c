#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
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

// The shortest that the kernel takes.
static const uint64_t shortest_turn_nanoseconds = 100 * 1000;

static int take_turns(uint64_t nanoseconds, int niceness) {
  struct scheduling scheduling = {
      .size = sizeof scheduling, .nice = niceness, .turn_nanoseconds = nanoseconds};
  return (int)syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

void take_shortest_turns(void) { take_turns(shortest_turn_nanoseconds, 0); }

void take_short_turns(const char *name, int niceness) {
  pthread_setname_np(pthread_self(), name);
  if (take_turns(2 * shortest_turn_nanoseconds, niceness) != 0) {
    setpriority(PRIO_PROCESS, 0, niceness);
  }
}

int exchange_files(const char *path, const char *other) {
  return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
}

void begin_writing_back(int descriptor, long offset, long count) {
  sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}

int make_pipe(int ends[2], int bytes) {
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  fcntl(ends[1], F_SETPIPE_SZ, bytes);
  return 0;
}

void map_large_blocks(void) {
  const int bytes = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, bytes);
  // Malloc no longer raises this one either, and with its first value would give small blocks back and
  // take them again all the time.
  mallopt(M_TRIM_THRESHOLD, 4 * bytes);
}
