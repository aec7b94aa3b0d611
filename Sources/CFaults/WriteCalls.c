#include "Internal.h"

#include <sys/sendfile.h>
#include <unistd.h>

// MARK: Bytes

// The database writes its head, an existing place in the file, through a synchronous descriptor.
static bool fails_to_write(const char *call, int descriptor) {
  return fails_where(call, "writes", !is_synchronous(descriptor));
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  REAL(write);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_write(descriptor, bytes, count);
  lock_changes();
  off_t offset = place_of_write(descriptor);
  ssize_t result = fails_to_write("write", descriptor) ? -1 : real_write(descriptor, bytes, count);
  struct iovec part = {(void *)bytes, count};
  record_write(descriptor, object, offset, &part, 1, result);
  unlock_changes();
  return result;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  REAL(writev);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_writev(descriptor, parts, count);
  lock_changes();
  off_t offset = place_of_write(descriptor);
  ssize_t result =
      fails_to_write("writev", descriptor) ? -1 : real_writev(descriptor, parts, count);
  record_write(descriptor, object, offset, parts, count, result);
  unlock_changes();
  return result;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
  REAL(pwrite);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_pwrite(descriptor, bytes, count, offset);
  lock_changes();
  ssize_t result =
      fails_to_write("pwrite", descriptor) ? -1 : real_pwrite(descriptor, bytes, count, offset);
  struct iovec part = {(void *)bytes, count};
  record_write(descriptor, object, offset, &part, 1, result);
  unlock_changes();
  return result;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t offset) {
  return pwrite(descriptor, bytes, count, offset);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_pwritev(descriptor, parts, count, offset);
  lock_changes();
  ssize_t result =
      fails_to_write("pwritev", descriptor) ? -1 : real_pwritev(descriptor, parts, count, offset);
  record_write(descriptor, object, offset, parts, count, result);
  unlock_changes();
  return result;
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
  lock_changes();
  off_t place = offset ? *offset : place_of_write(descriptor);
  ssize_t result =
      fails("copy_file_range", "writes")
          ? -1
          : real_copy_file_range(source, source_offset, descriptor, offset, count, flags);
  record_copied(descriptor, object, place, result);
  unlock_changes();
  return result;
}

ssize_t sendfile(int descriptor, int source, off_t *source_offset, size_t count) {
  REAL(sendfile);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_sendfile(descriptor, source, source_offset, count);
  lock_changes();
  off_t place = place_of_write(descriptor);
  ssize_t result =
      fails("sendfile", "writes") ? -1 : real_sendfile(descriptor, source, source_offset, count);
  record_copied(descriptor, object, place, result);
  unlock_changes();
  return result;
}

ssize_t sendfile64(int descriptor, int source, off_t *source_offset, size_t count) {
  return sendfile(descriptor, source, source_offset, count);
}

// MARK: Lengths

int ftruncate(int descriptor, off_t length) {
  REAL(ftruncate);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_ftruncate(descriptor, length);
  lock_changes();
  int result = fails("ftruncate", "writes") ? -1 : real_ftruncate(descriptor, length);
  if (result == 0) record_change(faults_truncate, object, 0, (uint64_t)length);
  unlock_changes();
  return result;
}

int ftruncate64(int descriptor, off_t length) { return ftruncate(descriptor, length); }

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  REAL(fallocate);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_fallocate(descriptor, mode, offset, length);
  lock_changes();
  bool punches = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  int result =
      fails("fallocate", punches ? NULL : "writes")
          ? -1
          : real_fallocate(descriptor, mode, offset, length);
  if (result == 0) {
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
      stop("a mode of fallocate that is not known");
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
      record_change(faults_zero, object, (uint64_t)offset, (uint64_t)length);
    if (!(mode & FALLOC_FL_KEEP_SIZE))
      record_change(faults_allocate, object, (uint64_t)offset, (uint64_t)length);
  }
  unlock_changes();
  return result;
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
  lock_changes();
  int result = fails("fsync", "syncs") ? -1 : real_fsync(descriptor);
  if (result == 0) record_change(faults_sync, object, 0, 0);
  unlock_changes();
  return result;
}

int fdatasync(int descriptor) {
  REAL(fdatasync);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_fdatasync(descriptor);
  lock_changes();
  int result = fails("fdatasync", "syncs") ? -1 : real_fdatasync(descriptor);
  if (result == 0) record_change(faults_sync, object, 0, 0);
  unlock_changes();
  return result;
}

// It guarantees nothing after a power failure, so it is not recorded.
int sync_file_range(int descriptor, off_t offset, off_t count, unsigned flags) {
  REAL(sync_file_range);
  uint32_t object = object_behind(descriptor);
  if (!object) return real_sync_file_range(descriptor, offset, count, flags);
  lock_changes();
  int result = fails("sync_file_range", "syncs")
                   ? -1
                   : real_sync_file_range(descriptor, offset, count, flags);
  unlock_changes();
  return result;
}
