#include "Internal.h"

#include <stdio.h>
#include <unistd.h>

int renameat2(int from, const char *path, int to, const char *other, unsigned flags) {
  REAL(renameat2);
  char buffer[PATH_MAX], other_buffer[PATH_MAX];
  const char *inside = watched(from, path, buffer);
  const char *other_inside = watched(to, other, other_buffer);
  if (!inside && !other_inside) return real_renameat2(from, path, to, other, flags);
  lock_changes();
  int result = fails("rename", "changes") ? -1 : real_renameat2(from, path, to, other, flags);
  if (result == 0 && is_recording()) {
    if (!inside || !other_inside) stop("a rename into or out of the watched directory");
    enum faults_kind kind = flags & RENAME_EXCHANGE ? faults_exchange : faults_rename;
    record_names(kind, 0, inside, other_inside);
  }
  unlock_changes();
  return result;
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
  lock_changes();
  int result = fails("link", "changes") ? -1 : real_linkat(from, path, to, other, flags);
  if (result == 0 && is_recording()) {
    if (!inside || !other_inside) stop("a link into or out of the watched directory");
    record_names(faults_link, 0, inside, other_inside);
  }
  unlock_changes();
  return result;
}

int link(const char *path, const char *other) {
  return linkat(AT_FDCWD, path, AT_FDCWD, other, 0);
}

int unlinkat(int directory, const char *path, int flags) {
  REAL(unlinkat);
  char buffer[PATH_MAX];
  const char *inside = watched(directory, path, buffer);
  if (!inside) return real_unlinkat(directory, path, flags);
  lock_changes();
  int result = fails("unlink", "changes") ? -1 : real_unlinkat(directory, path, flags);
  if (result == 0)
    record_names(flags & AT_REMOVEDIR ? faults_rmdir : faults_unlink, 0, inside, NULL);
  unlock_changes();
  return result;
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
  lock_changes();
  int result = fails("mkdir", "changes") ? -1 : real_mkdirat(directory, path, mode);
  struct stat status;
  if (result == 0 && fstatat(directory, path, &status, 0) == 0)
    record_names(faults_mkdir, add_object(&status, inside), inside, NULL);
  unlock_changes();
  return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
