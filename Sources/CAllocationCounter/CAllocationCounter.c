#include "CAllocationCounter.h"

#include <errno.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

static _Thread_local uint64_t count;

uint64_t allocation_count(void) { return count; }

#ifdef HAS_SANITIZER
bool allocations_are_counted(void) { return false; }
#else
bool allocations_are_counted(void) { return true; }

// glibc's internal names of the functions that it exports as malloc and so on.
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t elements, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes) {
  count++;
  return __libc_malloc(bytes);
}

void *calloc(size_t elements, size_t bytes) {
  count++;
  return __libc_calloc(elements, bytes);
}

void *realloc(void *block, size_t bytes) {
  count++;
  return __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  count++;
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block ? 0 : ENOMEM;
}
#endif
