#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// As in linux/sched/types.h; glibc does not declare it.
struct scheduling {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t slice_nanoseconds;
  uint64_t deadline;
  uint64_t period;
};

// The shortest time slice that the kernel accepts.
static const uint64_t shortest_slice_nanoseconds = 100 * 1000;

static int set_time_slice(uint64_t nanoseconds, int niceness) {
  struct scheduling scheduling = {
      .size = sizeof scheduling, .nice = niceness, .slice_nanoseconds = nanoseconds};
  return (int)syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

// The cores of threads with the shortest time slices; none if cores are not kept apart. Written
// before such threads are created.
static cpu_set_t first_cores;

void use_shortest_time_slices(void) {
  set_time_slice(shortest_slice_nanoseconds, 0);
  if (CPU_COUNT(&first_cores) > 0) sched_setaffinity(0, sizeof first_cores, &first_cores);
}

int count_cores(void) {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

int keep_cores_for_others(int count) {
  cpu_set_t first, others;
  if (sched_getaffinity(0, sizeof first, &first) != 0) return -1;
  if (count < 1 || count >= CPU_COUNT(&first)) {
    errno = EINVAL;
    return -1;
  }
  CPU_ZERO(&others);
  for (int core = CPU_SETSIZE - 1; CPU_COUNT(&others) < count; core--) {
    if (!CPU_ISSET(core, &first)) continue;
    CPU_CLR(core, &first);
    CPU_SET(core, &others);
  }
  DIR *threads = opendir("/proc/self/task");
  if (threads == NULL) return -1;
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(threads)) != NULL;) {
    int thread = atoi(entry->d_name);
    // "." and ".." are not threads, and a thread that has ended in the meantime needs no core.
    if (thread > 0) result = sched_setaffinity(thread, sizeof others, &others);
    if (result != 0 && errno == ESRCH) result = 0;
  }
  closedir(threads);
  if (result == 0) first_cores = first;
  return result;
}

void use_short_time_slices(const char *name, int niceness) {
  pthread_setname_np(pthread_self(), name);
  if (set_time_slice(2 * shortest_slice_nanoseconds, niceness) != 0) {
    setpriority(PRIO_PROCESS, 0, niceness);
  }
}

void keep_thread_to_cores(int first, int last) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (int core = first; core <= last; core++) CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
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

int close_descriptors_at_spawn(posix_spawn_file_actions_t *actions, int first) {
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

void return_freed_memory(void) { malloc_trim(0); }

void map_large_blocks(void) {
  const int bytes = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, bytes);
  // Setting it also stops malloc from raising it. With its initial value malloc would return small
  // blocks to the system and take them again all the time.
  mallopt(M_TRIM_THRESHOLD, 4 * bytes);
}
