#include <lmdb.h>
#include <sys/types.h>
#include <unistd.h>

// Declared here because glibc's fcntl.h declares it only for programs that define _GNU_SOURCE,
// which an imported header cannot.
extern int fallocate(int descriptor, int mode, off_t offset, off_t count);

// Allocates the first bytes of a file on the disk; the file keeps its size.
static inline int clmdb_allocate(int descriptor, off_t count) {
  return fallocate(descriptor, 0x01, 0, count);  // keep size
}

// Makes a hole in a file; the file keeps its size.
static inline int clmdb_punch_hole(int descriptor, off_t offset, off_t count) {
  return fallocate(descriptor, 0x01 | 0x02, offset, count);  // keep size, punch hole
}

// The next byte at or after `offset` that is not in a hole; -1 with ENXIO if only a hole follows.
// It moves the descriptor's offset, as lseek does.
static inline off_t clmdb_seek_data(int descriptor, off_t offset) {
  return lseek(descriptor, offset, 3);  // SEEK_DATA
}
