#include "Internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Changes through a memory map would not be recorded. LMDB maps only its lock file for writing.
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  REAL(mmap);
  if ((flags & MAP_SHARED) && (protection & PROT_WRITE)) {
    uint32_t object = object_behind(descriptor);
    if (object && !is_lock_file(object)) stop("a file is mapped for writing");
  }
  return real_mmap(address, length, protection, flags, descriptor, offset);
}

void *mmap64(
    void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  return mmap(address, length, protection, flags, descriptor, offset);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags) {
  REAL(accept4);
  if (fails("accept4", NULL)) return -1;
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
