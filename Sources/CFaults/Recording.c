#include "Internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int recording = -1;

void lock_changes(void) { pthread_mutex_lock(&lock); }

void unlock_changes(void) {
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
}

void start_recording(const char *path) {
  REAL(open);
  recording = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (recording < 0) stop("REPRISE_RECORD cannot be written");
}

bool is_recording(void) { return recording >= 0; }

// Appends a change. The head comes with all but its time and the lengths of what follows it.
static void record(
    struct faults_record head, const char *path, const char *other, const void *data,
    size_t data_bytes) {
  if (recording < 0) return;
  int error = errno;
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  head.nanoseconds = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
  head.path_bytes = path ? (uint32_t)strlen(path) : 0;
  head.other_bytes = other ? (uint32_t)strlen(other) : 0;
  head.data_bytes = (uint32_t)data_bytes;
  struct iovec parts[] = {
      {&head, sizeof head},
      {(void *)path, head.path_bytes},
      {(void *)other, head.other_bytes},
      {(void *)data, data_bytes}};
  REAL(writev);
  size_t bytes = sizeof head + head.path_bytes + head.other_bytes + data_bytes;
  if (real_writev(recording, parts, 4) != (ssize_t)bytes) stop("the recording cannot be written");
  __atomic_store_n(&control->recorded, control->recorded + 1, __ATOMIC_SEQ_CST);
  errno = error;
}

void record_change(enum faults_kind kind, uint32_t object, uint64_t offset, uint64_t length) {
  struct faults_record head = {.kind = kind, .object = object, .offset = offset, .length = length};
  record(head, NULL, NULL, NULL, 0);
}

void record_names(enum faults_kind kind, uint32_t object, const char *path, const char *other) {
  record((struct faults_record){.kind = kind, .object = object}, path, other, NULL, 0);
}

void record_write(
    int descriptor, uint32_t object, off_t offset, const struct iovec *parts, int count,
    ssize_t written) {
  if (recording < 0 || written <= 0 || is_lock_file(object)) return;
  size_t left = (size_t)written;
  for (int i = 0; i < count && left > 0; i++) {
    size_t bytes = parts[i].iov_len < left ? parts[i].iov_len : left;
    if (bytes == 0) continue;
    struct faults_record head = {
        .kind = faults_write,
        .object = object,
        .offset = (uint64_t)offset,
        .length = bytes,
        .flags = is_synchronous(descriptor) ? faults_is_synchronous : 0};
    record(head, NULL, NULL, parts[i].iov_base, bytes);
    offset += (off_t)bytes;
    left -= bytes;
  }
}

void record_copied(int descriptor, uint32_t object, off_t offset, ssize_t count) {
  // The bytes are read back.
  static char buffer[1 << 16];
  if (recording < 0) return;
  while (count > 0) {
    size_t wanted = (size_t)count < sizeof buffer ? (size_t)count : sizeof buffer;
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    REAL(open);
    int reader = real_open(link, O_RDONLY | O_CLOEXEC);
    ssize_t got = reader < 0 ? -1 : pread(reader, buffer, wanted, offset);
    REAL(close);
    if (reader >= 0) real_close(reader);
    if (got <= 0) stop("what was copied cannot be read back");
    struct iovec part = {buffer, (size_t)got};
    record_write(descriptor, object, offset, &part, 1, got);
    offset += got;
    count -= got;
  }
}
