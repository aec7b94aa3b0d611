// Counts the allocations of the calling thread by replacing glibc's malloc in every program that
// links this: for tests and benchmarks, never for the product.
#ifndef CALLOCATIONCOUNTER_H
#define CALLOCATIONCOUNTER_H

#include <stdbool.h>
#include <stdint.h>

// Allocations of the calling thread since it began; enlarging a block counts as one too.
uint64_t allocation_count(void);

// False if a sanitizer has its own malloc, and nothing is counted.
bool allocations_are_counted(void);

#endif
