#include "Internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static int open_watched(int directory, const char *path, int flags, mode_t mode) {
  REAL(openat);
  char buffer[PATH_MAX];
  const char *inside = watched(directory, path, buffer);
  if (!inside) return real_openat(directory, path, flags, mode);
  lock_changes();
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
      if (!existed) record_names(faults_create, object, inside, NULL);
      // Only a recording must know everything from the beginning.
      else if (is_recording()) stop("the watched directory was not empty");
    } else if ((flags & O_TRUNC) && before.st_size > 0) {
      record_change(faults_truncate, object, 0, 0);
    }
    remember(descriptor, object, flags);
  }
  unlock_changes();
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
  lock_changes();
  int descriptor = fails("open", "changes") ? -1 : real(pattern, suffix, flags);
  struct stat status;
  const char *inside = watched(AT_FDCWD, pattern, buffer);
  if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
    uint32_t object = add_object(&status, inside);
    record_names(faults_create, object, inside, NULL);
    remember(descriptor, object, flags | O_RDWR);
  }
  unlock_changes();
  return descriptor;
}

int mkstemp(char *pattern) { return made(pattern, 0, 0); }
int mkstemp64(char *pattern) { return made(pattern, 0, 0); }
int mkostemp(char *pattern, int flags) { return made(pattern, 0, flags); }
int mkstemps(char *pattern, int suffix) { return made(pattern, suffix, 0); }
int mkostemps(char *pattern, int suffix, int flags) { return made(pattern, suffix, flags); }

int close(int descriptor) {
  REAL(close);
  forget(descriptor);
  return real_close(descriptor);
}
