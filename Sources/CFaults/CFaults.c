#define _GNU_SOURCE
#include "CFaults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// The function that this one replaces.
#define REAL(name)                                                        \
  static __typeof__(&name) real_##name;                                   \
  if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { descriptors_max = 4096, objects_max = 1 << 16, faults_max = 8 };

// A file or directory that was seen, with the system's numbers for it. Inode numbers are reused
// after a removal; then the newest object with that number is meant.
struct object {
  dev_t device;
  ino_t inode;
  bool is_lock;
};

struct fault {
  int error;
  char call[16];
  uint64_t left;  // calls until it fails
  bool goes_on;
};

// One lock: changes happened in the order of the recording.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_bytes;
static int recording = -1;
static struct faults_control *control;
static struct faults_control no_control;
static struct object objects[objects_max];  // from 1 on
static uint32_t objects_count;
static uint32_t object_of[descriptors_max];
static int flags_of[descriptors_max];
static struct fault faults[faults_max];
static int faults_count;

static void stop(const char *why) {
  fprintf(stderr, "CFaults: %s\n", why);
  _exit(70);
}

static uint32_t add_object(const struct stat *status, const char *path) {
  if (objects_count + 1 >= objects_max) stop("too many objects");
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  objects[++objects_count] =
      (struct object){status->st_dev, status->st_ino, strcmp(name, "lock.mdb") == 0};
  return objects_count;
}

static uint32_t find_object(const struct stat *status) {
  for (uint32_t object = objects_count; object > 0; object--)
    if (objects[object].inode == status->st_ino && objects[object].device == status->st_dev)
      return object;
  return 0;
}

static void read_faults(const char *text) {
  static const struct {
    const char *name;
    int error;
  } errors[] = {
      {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"EROFS", EROFS}};
  while (*text) {
    if (faults_count == faults_max) stop("too many faults");
    struct fault *fault = &faults[faults_count];
    char error[16], call[16], plus = 0;
    unsigned long long count;
    int length;
    if (sscanf(text, "%15[A-Z]@%15[a-z0-9]:%llu%n", error, call, &count, &length) != 3 || !count)
      stop("REPRISE_FAULT is not ERROR@CALL:N");
    text += length;
    if (*text == '+') plus = *text++;
    if (*text == ',') text++;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
      if (strcmp(errors[i].name, error) == 0) fault->error = errors[i].error;
    if (!fault->error) stop("REPRISE_FAULT names an error that is not known");
    strcpy(fault->call, call);
    fault->left = count;
    fault->goes_on = plus != 0;
    faults_count++;
  }
}

__attribute__((constructor)) static void start(void) {
  control = &no_control;
  const char *watched = getenv("REPRISE_WATCH");
  if (!watched) return;
  struct stat status;
  if (!realpath(watched, root) || stat(root, &status) != 0) stop("REPRISE_WATCH is not there");
  REAL(open);
  const char *path = getenv("REPRISE_CONTROL");
  if (path) {
    int descriptor = real_open(path, O_RDWR | O_CLOEXEC);
    REAL(mmap);
    void *page = real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (descriptor < 0 || page == MAP_FAILED) stop("REPRISE_CONTROL cannot be mapped");
    REAL(close);
    real_close(descriptor);
    control = page;
  }
  path = getenv("REPRISE_RECORD");
  if (path) {
    recording = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (recording < 0) stop("REPRISE_RECORD cannot be written");
  }
  const char *text = getenv("REPRISE_FAULT");
  if (text) read_faults(text);
  add_object(&status, root);
  // From here on the functions below watch.
  root_bytes = strlen(root);
}

// MARK: Watching

// The path below the watched directory, or NULL if it is elsewhere. "" is the directory itself.
static const char *watched(int directory, const char *path, char buffer[PATH_MAX]) {
  if (!root_bytes || !path) return NULL;
  char joined[PATH_MAX];
  if (path[0] != '/') {
    char link[32];
    if (directory == AT_FDCWD) {
      if (!getcwd(joined, sizeof joined)) return NULL;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
      ssize_t count = readlink(link, joined, sizeof joined - 1);
      if (count < 0) return NULL;
      joined[count] = 0;
    }
    size_t length = strlen(joined);
    if (snprintf(joined + length, sizeof joined - length, "/%s", path) < 0) return NULL;
    path = joined;
  }
  // Without "//", "/." and a "/" at the end. The product's paths have no "..".
  size_t length = 0;
  while (*path && length < PATH_MAX - 1) {
    if (path[0] == '/' && (path[1] == '/' || path[1] == 0)) {
      path++;
    } else if (path[0] == '/' && path[1] == '.' && (path[2] == '/' || path[2] == 0)) {
      path += 2;
    } else {
      buffer[length++] = *path++;
    }
  }
  buffer[length] = 0;
  if (strncmp(buffer, root, root_bytes) != 0) return NULL;
  if (buffer[root_bytes] == 0) return buffer + root_bytes;
  return buffer[root_bytes] == '/' ? buffer + root_bytes + 1 : NULL;
}

// The object behind a descriptor, 0 if it is not watched. The system is asked, because libraries
// also close and open descriptors without calling the functions here.
static uint32_t object_behind(int descriptor) {
  if (!root_bytes || descriptor < 0 || descriptor >= descriptors_max) return 0;
  uint32_t object = object_of[descriptor];
  struct stat status;
  if (!object || fstat(descriptor, &status) != 0) return 0;
  if (status.st_ino == objects[object].inode && status.st_dev == objects[object].device)
    return object;
  return object_of[descriptor] = 0;
}

static void remember(int descriptor, uint32_t object, int flags) {
  if (descriptor >= descriptors_max) stop("too many descriptors");
  object_of[descriptor] = object;
  flags_of[descriptor] = flags;
}

// MARK: Faults

// True if this call must fail; errno is set then.
//
// `needs_room` is false if bytes are overwritten in place: a full disk allows that.
static bool fails_where(const char *call, const char *group, bool needs_room) {
  bool failed = false;
  if (control->is_disarmed) return false;
  for (int i = 0; i < faults_count; i++) {
    struct fault *fault = &faults[i];
    if (fault->error == ENOSPC && !needs_room) continue;
    if (strcmp(fault->call, call) != 0 && (!group || strcmp(fault->call, group) != 0)) continue;
    if (fault->left > 1) {
      fault->left--;
    } else if (fault->left == 1) {
      if (!fault->goes_on) fault->left = 0;
      errno = fault->error;
      failed = true;
    }
  }
  if (failed) control->failed++;
  return failed;
}

static bool fails(const char *call, const char *group) { return fails_where(call, group, true); }

// MARK: The recording

static void record(
    enum faults_kind kind, uint32_t object, uint64_t offset, uint64_t length, uint32_t flags,
    const char *path, const char *other, const void *data, size_t data_bytes) {
  if (recording < 0) return;
  int error = errno;
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  struct faults_record head = {
      .kind = kind,
      .object = object,
      .nanoseconds = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec,
      .offset = offset,
      .length = length,
      .flags = flags,
      .path_bytes = path ? (uint32_t)strlen(path) : 0,
      .other_bytes = other ? (uint32_t)strlen(other) : 0,
      .data_bytes = (uint32_t)data_bytes};
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

static bool is_synchronous(int descriptor) {
  return (flags_of[descriptor] & (O_DSYNC | O_SYNC)) != 0;
}

// The database writes its head, an existing place in the file, through such a descriptor.
static bool fails_to_write(const char *call, int descriptor) {
  return fails_where(call, "writes", !is_synchronous(descriptor));
}

static void record_write(
    int descriptor, uint32_t object, off_t offset, const struct iovec *parts, int count,
    ssize_t written) {
  if (recording < 0 || objects[object].is_lock) return;
  size_t left = (size_t)written;
  for (int i = 0; i < count && left > 0; i++) {
    size_t bytes = parts[i].iov_len < left ? parts[i].iov_len : left;
    if (bytes == 0) continue;
    record(
        faults_write, object, (uint64_t)offset, bytes,
        is_synchronous(descriptor) ? faults_is_synchronous : 0, NULL, NULL, parts[i].iov_base,
        bytes);
    offset += (off_t)bytes;
    left -= bytes;
  }
}

// The system copied these bytes into a file without showing them, so they are read back.
static void record_copied(int descriptor, uint32_t object, off_t offset, ssize_t count) {
  static char buffer[1 << 16];
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

static off_t place_of_write(int descriptor) {
  struct stat status;
  if (!(flags_of[descriptor] & O_APPEND)) return lseek(descriptor, 0, SEEK_CUR);
  return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

// MARK: Opening and closing

static int open_watched(int directory, const char *path, int flags, mode_t mode) {
  REAL(openat);
  char buffer[PATH_MAX];
  const char *inside = watched(directory, path, buffer);
  if (!inside) return real_openat(directory, path, flags, mode);
  pthread_mutex_lock(&lock);
  int descriptor = -1;
  bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
  struct stat before, after;
  bool existed = fstatat(directory, path, &before, 0) == 0;
  if (!fails("open", writes ? "changes" : NULL)) {
    descriptor = real_openat(directory, path, flags, mode);
  }
  if (descriptor >= 0 && fstat(descriptor, &after) == 0) {
    uint32_t object = existed ? find_object(&after) : 0;
    if (!object) {
      object = add_object(&after, inside);
      if (!existed) record(faults_create, object, 0, 0, 0, inside, NULL, NULL, 0);
      // Only a recording must know everything from the beginning.
      else if (recording >= 0) stop("the watched directory was not empty");
    } else if ((flags & O_TRUNC) && before.st_size > 0) {
      record(faults_truncate, object, 0, 0, 0, NULL, NULL, NULL, 0);
    }
    remember(descriptor, object, flags);
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return descriptor;
}

#define MODE_OF(flags)                                             \
  mode_t mode = 0;                                                 \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                           \
    va_list arguments;                                             \
    va_start(arguments, flags);                                    \
    mode = (mode_t)va_arg(arguments, int);                         \
    va_end(arguments);                                             \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_watched(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_watched(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_watched(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_watched(directory, path, flags | O_LARGEFILE, mode);
}

int __open_2(const char *path, int flags) {
  return open_watched(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags) {
  return open_watched(AT_FDCWD, path, flags, 0);
}

int creat(const char *path, mode_t mode) {
  return open_watched(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode) { return creat(path, mode); }

// mkstemp opens in a way of its own, and the name is known only afterwards.
static int made(char *pattern, int suffix, int flags) {
  static __typeof__(&mkostemps) real;
  if (!real) real = (__typeof__(&mkostemps))dlsym(RTLD_NEXT, "mkostemps");
  char buffer[PATH_MAX];
  if (!watched(AT_FDCWD, pattern, buffer)) return real(pattern, suffix, flags);
  pthread_mutex_lock(&lock);
  int descriptor = fails("open", "changes") ? -1 : real(pattern, suffix, flags);
  struct stat status;
  const char *inside = watched(AT_FDCWD, pattern, buffer);
  if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
    uint32_t object = add_object(&status, inside);
    record(faults_create, object, 0, 0, 0, inside, NULL, NULL, 0);
    remember(descriptor, object, flags | O_RDWR);
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return descriptor;
}

int mkstemp(char *pattern) { return made(pattern, 0, 0); }
int mkstemp64(char *pattern) { return made(pattern, 0, 0); }
int mkostemp(char *pattern, int flags) { return made(pattern, 0, flags); }
int mkstemps(char *pattern, int suffix) { return made(pattern, suffix, 0); }
int mkostemps(char *pattern, int suffix, int flags) { return made(pattern, suffix, flags); }

int close(int descriptor) {
  REAL(close);
  if (descriptor >= 0 && descriptor < descriptors_max) object_of[descriptor] = 0;
  return real_close(descriptor);
}

// MARK: Bytes

// Ends a call on a watched file, for which the lock was taken.
#define END                    \
  int error = errno;           \
  pthread_mutex_unlock(&lock); \
  errno = error;               \
  return result

ssize_t write(int descriptor, const void *bytes, size_t count) {
  REAL(write);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_write(descriptor, bytes, count);
  pthread_mutex_lock(&lock);
  off_t offset = place_of_write(descriptor);
  ssize_t result = fails_to_write("write", descriptor) ? -1 : real_write(descriptor, bytes, count);
  struct iovec part = {(void *)bytes, count};
  if (result > 0) record_write(descriptor, object, offset, &part, 1, result);
  END;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  REAL(writev);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_writev(descriptor, parts, count);
  pthread_mutex_lock(&lock);
  off_t offset = place_of_write(descriptor);
  ssize_t result = fails_to_write("writev", descriptor) ? -1 : real_writev(descriptor, parts, count);
  if (result > 0) record_write(descriptor, object, offset, parts, count, result);
  END;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
  REAL(pwrite);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_pwrite(descriptor, bytes, count, offset);
  pthread_mutex_lock(&lock);
  ssize_t result = fails_to_write("pwrite", descriptor) ? -1 : real_pwrite(descriptor, bytes, count, offset);
  struct iovec part = {(void *)bytes, count};
  if (result > 0) record_write(descriptor, object, offset, &part, 1, result);
  END;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t offset) {
  return pwrite(descriptor, bytes, count, offset);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_pwritev(descriptor, parts, count, offset);
  pthread_mutex_lock(&lock);
  ssize_t result = fails_to_write("pwritev", descriptor) ? -1 : real_pwritev(descriptor, parts, count, offset);
  if (result > 0) record_write(descriptor, object, offset, parts, count, result);
  END;
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset) {
  return pwritev(descriptor, parts, count, offset);
}

ssize_t copy_file_range(
    int source, off_t *source_offset, int descriptor, off_t *offset, size_t count, unsigned flags) {
  REAL(copy_file_range);
  uint32_t object = object_behind(descriptor);
  if (!object)
    return real_copy_file_range(source, source_offset, descriptor, offset, count, flags);
  pthread_mutex_lock(&lock);
  off_t place = offset ? *offset : place_of_write(descriptor);
  ssize_t result =
      fails("copy_file_range", "writes")
          ? -1
          : real_copy_file_range(source, source_offset, descriptor, offset, count, flags);
  if (result > 0 && recording >= 0) record_copied(descriptor, object, place, result);
  END;
}

ssize_t sendfile(int descriptor, int source, off_t *source_offset, size_t count) {
  REAL(sendfile);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_sendfile(descriptor, source, source_offset, count);
  pthread_mutex_lock(&lock);
  off_t place = place_of_write(descriptor);
  ssize_t result =
      fails("sendfile", "writes") ? -1 : real_sendfile(descriptor, source, source_offset, count);
  if (result > 0 && recording >= 0) record_copied(descriptor, object, place, result);
  END;
}

ssize_t sendfile64(int descriptor, int source, off_t *source_offset, size_t count) {
  return sendfile(descriptor, source, source_offset, count);
}

int ftruncate(int descriptor, off_t length) {
  REAL(ftruncate);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_ftruncate(descriptor, length);
  pthread_mutex_lock(&lock);
  int result = fails("ftruncate", "writes") ? -1 : real_ftruncate(descriptor, length);
  if (result == 0) record(faults_truncate, object, 0, (uint64_t)length, 0, NULL, NULL, NULL, 0);
  END;
}

int ftruncate64(int descriptor, off_t length) { return ftruncate(descriptor, length); }

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  REAL(fallocate);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_fallocate(descriptor, mode, offset, length);
  pthread_mutex_lock(&lock);
  bool punches = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  int result =
      fails("fallocate", punches ? NULL : "writes")
          ? -1
          : real_fallocate(descriptor, mode, offset, length);
  if (result == 0) {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
      stop("a mode of fallocate that is not known");
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
      record(
          faults_zero, object, (uint64_t)offset, (uint64_t)length, 0, NULL, NULL, NULL, 0);
    if (!(mode & FALLOC_FL_KEEP_SIZE))
      record(
          faults_allocate, object, (uint64_t)offset, (uint64_t)length, 0, NULL, NULL, NULL, 0);
  }
  END;
}

int fallocate64(int descriptor, int mode, off_t offset, off_t length) {
  return fallocate(descriptor, mode, offset, length);
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
  return fallocate(descriptor, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate64(int descriptor, off_t offset, off_t length) {
  return posix_fallocate(descriptor, offset, length);
}

// MARK: To the disk

int fsync(int descriptor) {
  REAL(fsync);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_fsync(descriptor);
  pthread_mutex_lock(&lock);
  int result = fails("fsync", "syncs") ? -1 : real_fsync(descriptor);
  if (result == 0) record(faults_sync, object, 0, 0, 0, NULL, NULL, NULL, 0);
  END;
}

int fdatasync(int descriptor) {
  REAL(fdatasync);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_fdatasync(descriptor);
  pthread_mutex_lock(&lock);
  int result = fails("fdatasync", "syncs") ? -1 : real_fdatasync(descriptor);
  if (result == 0) record(faults_sync, object, 0, 0, 0, NULL, NULL, NULL, 0);
  END;
}

// It guarantees nothing after a power failure, so it is not recorded.
int sync_file_range(int descriptor, off_t offset, off_t count, unsigned flags) {
  REAL(sync_file_range);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_sync_file_range(descriptor, offset, count, flags);
  pthread_mutex_lock(&lock);
  int result = fails("sync_file_range", "syncs")
                   ? -1
                   : real_sync_file_range(descriptor, offset, count, flags);
  END;
}

// MARK: Names

int renameat2(int from, const char *path, int to, const char *other, unsigned flags) {
  REAL(renameat2);
  char buffer[PATH_MAX], other_buffer[PATH_MAX];
  const char *inside = watched(from, path, buffer);
  const char *other_inside = watched(to, other, other_buffer);
  if (!inside && !other_inside) return real_renameat2(from, path, to, other, flags);
  pthread_mutex_lock(&lock);
  int result = fails("rename", "changes") ? -1 : real_renameat2(from, path, to, other, flags);
  if (result == 0 && recording >= 0) {
    if (!inside || !other_inside) stop("a rename into or out of the watched directory");
    record(
        flags & RENAME_EXCHANGE ? faults_exchange : faults_rename, 0, 0, 0, 0, inside,
        other_inside, NULL, 0);
  }
  END;
}

int renameat(int from, const char *path, int to, const char *other) {
  return renameat2(from, path, to, other, 0);
}

int rename(const char *path, const char *other) {
  return renameat2(AT_FDCWD, path, AT_FDCWD, other, 0);
}

int linkat(int from, const char *path, int to, const char *other, int flags) {
  REAL(linkat);
  char buffer[PATH_MAX], other_buffer[PATH_MAX];
  const char *inside = watched(from, path, buffer);
  const char *other_inside = watched(to, other, other_buffer);
  if (!inside && !other_inside) return real_linkat(from, path, to, other, flags);
  pthread_mutex_lock(&lock);
  int result = fails("link", "changes") ? -1 : real_linkat(from, path, to, other, flags);
  if (result == 0 && recording >= 0) {
    if (!inside || !other_inside) stop("a link into or out of the watched directory");
    record(faults_link, 0, 0, 0, 0, inside, other_inside, NULL, 0);
  }
  END;
}

int link(const char *path, const char *other) {
  return linkat(AT_FDCWD, path, AT_FDCWD, other, 0);
}

int unlinkat(int directory, const char *path, int flags) {
  REAL(unlinkat);
  char buffer[PATH_MAX];
  const char *inside = watched(directory, path, buffer);
  if (!inside) return real_unlinkat(directory, path, flags);
  pthread_mutex_lock(&lock);
  int result = fails("unlink", "changes") ? -1 : real_unlinkat(directory, path, flags);
  if (result == 0)
    record(
        flags & AT_REMOVEDIR ? faults_rmdir : faults_unlink, 0, 0, 0, 0, inside, NULL, NULL, 0);
  END;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int remove(const char *path) {
  struct stat status;
  if (lstat(path, &status) != 0) return -1;
  return unlinkat(AT_FDCWD, path, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
}

int mkdirat(int directory, const char *path, mode_t mode) {
  REAL(mkdirat);
  char buffer[PATH_MAX];
  const char *inside = watched(directory, path, buffer);
  if (!inside) return real_mkdirat(directory, path, mode);
  pthread_mutex_lock(&lock);
  int result = fails("mkdir", "changes") ? -1 : real_mkdirat(directory, path, mode);
  struct stat status;
  if (result == 0 && fstatat(directory, path, &status, 0) == 0)
    record(faults_mkdir, add_object(&status, inside), 0, 0, 0, inside, NULL, NULL, 0);
  END;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// MARK: Reading

// Changes through a memory map would not be recorded. LMDB maps its lock file; nothing in that
// outlives the process.
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  REAL(mmap);
  if (root_bytes && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
    uint32_t object = object_behind(descriptor);
    if (object && !objects[object].is_lock) stop("a file is mapped for writing");
  }
  return real_mmap(address, length, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  return mmap(address, length, protection, flags, descriptor, offset);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags) {
  REAL(accept4);
  if (faults_count && fails("accept4", NULL)) return -1;
  return real_accept4(descriptor, address, length, flags);
}

int accept(int descriptor, struct sockaddr *address, socklen_t *length) {
  return accept4(descriptor, address, length, 0);
}

// System calls that are made by number.
long syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  switch (number) {
    case SYS_openat: return openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
    case SYS_write: return write((int)a[0], (const void *)a[1], (size_t)a[2]);
    case SYS_pwrite64: return pwrite((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
    case SYS_fsync: return fsync((int)a[0]);
    case SYS_fdatasync: return fdatasync((int)a[0]);
    case SYS_ftruncate: return ftruncate((int)a[0], a[1]);
    case SYS_fallocate: return fallocate((int)a[0], (int)a[1], a[2], a[3]);
    case SYS_renameat2:
      return renameat2(
          (int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4]);
    case SYS_unlinkat: return unlinkat((int)a[0], (const char *)a[1], (int)a[2]);
    case SYS_close: return close((int)a[0]);
    default: break;
  }
  REAL(syscall);
  return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
