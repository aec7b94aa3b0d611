#include "Internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { descriptors_max = 4096, objects_max = 1 << 16 };

// A file or directory that was seen, with the system's numbers for it. Inode numbers are reused
// after a removal; then the newest object with that number is meant.
struct object {
  dev_t device;
  ino_t inode;
  bool is_lock;
};

// The watched directory.
static char root[PATH_MAX];
static size_t root_bytes;  // 0 as long as nothing is watched
static struct object objects[objects_max];  // from 1 on
static uint32_t objects_count;
static uint32_t object_of[descriptors_max];
static int flags_of[descriptors_max];

void watch(const char *directory) {
  struct stat status;
  if (!realpath(directory, root) || stat(root, &status) != 0) stop("REPRISE_WATCH is not there");
  add_object(&status, root);
  root_bytes = strlen(root);
}

// MARK: Paths

const char *watched(int directory, const char *path, char buffer[PATH_MAX]) {
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

// MARK: Objects

uint32_t add_object(const struct stat *status, const char *path) {
  if (objects_count + 1 >= objects_max) stop("too many objects");
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  objects[++objects_count] =
      (struct object){status->st_dev, status->st_ino, strcmp(name, "lock.mdb") == 0};
  return objects_count;
}

uint32_t find_object(const struct stat *status) {
  for (uint32_t object = objects_count; object > 0; object--)
    if (objects[object].inode == status->st_ino && objects[object].device == status->st_dev)
      return object;
  return 0;
}

bool is_lock_file(uint32_t object) { return objects[object].is_lock; }

// MARK: Descriptors

// The system is asked, because libraries also close and open descriptors without calling the
// functions of this library.
uint32_t object_behind(int descriptor) {
  if (!root_bytes || descriptor < 0 || descriptor >= descriptors_max) return 0;
  uint32_t object = object_of[descriptor];
  struct stat status;
  if (!object || fstat(descriptor, &status) != 0) return 0;
  if (status.st_ino == objects[object].inode && status.st_dev == objects[object].device)
    return object;
  return object_of[descriptor] = 0;
}

void remember(int descriptor, uint32_t object, int flags) {
  if (descriptor >= descriptors_max) stop("too many descriptors");
  object_of[descriptor] = object;
  flags_of[descriptor] = flags;
}

void forget(int descriptor) {
  if (descriptor >= 0 && descriptor < descriptors_max) object_of[descriptor] = 0;
}

bool is_synchronous(int descriptor) {
  return (flags_of[descriptor] & (O_DSYNC | O_SYNC)) != 0;
}

off_t place_of_write(int descriptor) {
  struct stat status;
  if (!(flags_of[descriptor] & O_APPEND)) return lseek(descriptor, 0, SEEK_CUR);
  return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}
