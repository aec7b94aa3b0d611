#include <lmdb.h>
#include <sys/types.h>

// Makes a hole in a file, which keeps its size. Declared here because glibc's fcntl.h shows
// fallocate to programs that define _GNU_SOURCE only, which an imported header cannot.
extern int fallocate(int descriptor, int mode, off_t offset, off_t count);
static inline int clmdb_punch_hole(int descriptor, off_t offset, off_t count) {
  return fallocate(descriptor, 0x01 | 0x02, offset, count);  // keep size, punch hole
}
