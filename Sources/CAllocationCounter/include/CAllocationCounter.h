// Counts what the calling thread allocates, by standing in for glibc's malloc in whatever program
// this is linked into: for tests and benchmarks, never for the product.
#ifndef CALLOCATIONCOUNTER_H
#define CALLOCATIONCOUNTER_H

#include <stdbool.h>
#include <stdint.h>

// Allocations that the calling thread has made since it began; growing a block is one too.
uint64_t allocation_count(void);

// False where a sanitizer has its own malloc, and nothing is counted.
bool allocations_are_counted(void);

#endif
