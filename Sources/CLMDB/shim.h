#include <lmdb.h>
#include <sys/types.h>
#include <unistd.h>

// Declared here because glibc's fcntl.h shows it to programs that define _GNU_SOURCE only, which an
// imported header cannot.
extern int fallocate(int descriptor, int mode, off_t offset, off_t count);

// Takes room on the disk for the first bytes of a file, which keeps its size.
static inline int clmdb_allocate(int descriptor, off_t count) {
  return fallocate(descriptor, 0x01, 0, count);  // keep size
}

// Makes a hole in a file, which keeps its size.
static inline int clmdb_punch_hole(int descriptor, off_t offset, off_t count) {
  return fallocate(descriptor, 0x01 | 0x02, offset, count);  // keep size, punch hole
}

// The next byte at or after `offset` that is no hole; -1 with ENXIO where only a hole follows. It
// moves the descriptor's offset, as lseek does.
static inline off_t clmdb_seek_data(int descriptor, off_t offset) {
  return lseek(descriptor, offset, 3);  // SEEK_DATA
}
