// Stands between a program and its files when it is loaded with LD_PRELOAD, records what the program
// does to them, and makes chosen calls fail. What it is told by the environment:
//
//     REPRISE_WATCH=DIRECTORY   what it looks at: everything below, which is empty at the start
//     REPRISE_RECORD=FILE       every change is appended here, see below
//     REPRISE_CONTROL=FILE      at least 4096 bytes, mapped: a `faults_control`
//     REPRISE_FAULT=ERROR@CALL:N[+][,…]
//                               the N-th call of a kind fails, with + every one from then on. ERROR is
//                               ENOSPC, EIO, EMFILE, ENFILE or EROFS; CALL is a function's name or
//                               "writes" (all that write bytes or make room for them), "syncs" (fsync,
//                               fdatasync), "changes" (opening for writing, mkdir, rename, unlink)
//
// accept and accept4 are counted whatever they accept; all others only where they touch what is
// watched. While the control's `is_disarmed` is not zero no call fails or is counted.
#ifndef CFAULTS_H
#define CFAULTS_H

#include <stdint.h>

enum faults_kind {
  faults_create = 1,    // path; object
  faults_write = 2,     // object, offset, data; flags
  faults_truncate = 3,  // object, length
  faults_zero = 4,      // object, offset, length: a hole; the file's length stays
  faults_allocate = 5,  // object, offset, length: the file is as long as that at least
  faults_sync = 6,      // object, a file or a directory
  faults_rename = 7,    // path, other
  faults_unlink = 8,    // path
  faults_mkdir = 9,     // path; object
  faults_rmdir = 10,    // path
  faults_link = 11,     // path, other
  faults_exchange = 12  // path, other
};

// The write was through a descriptor with O_DSYNC or O_SYNC: on disk when it returned.
enum { faults_is_synchronous = 1 };

// What stands before each change's path, other path and data in the recording. Paths are relative to
// the watched directory, which is object 1. Numbers of objects are never used again.
struct faults_record {
  uint32_t kind;
  uint32_t object;
  uint64_t nanoseconds;  // CLOCK_MONOTONIC, after the change
  uint64_t offset;
  uint64_t length;
  uint32_t flags;
  uint32_t path_bytes;
  uint32_t other_bytes;
  uint32_t data_bytes;
};

struct faults_control {
  // Changes that are in the recording. Whoever has seen an answer of the program and then reads this
  // knows that all changes the answer stands on are among so many first ones.
  uint64_t recorded;
  uint64_t is_disarmed;
  // Calls that were made to fail.
  uint64_t failed;
};

#endif
