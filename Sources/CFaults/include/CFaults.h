// Is loaded between a program and its files with LD_PRELOAD, records the program's changes of them,
// and makes chosen calls fail. The environment configures it:
//
//     REPRISE_WATCH=DIRECTORY   the watched directory with all below it; empty at the start
//     REPRISE_RECORD=FILE       every change is appended here, see below
//     REPRISE_CONTROL=FILE      at least 4096 bytes, mapped: a `faults_control`
//     REPRISE_FAULT=ERROR@CALL:N[+][,…]
//                               the N-th call of a kind fails, with + every one from then on. ERROR is
//                               ENOSPC, EIO, EMFILE, ENFILE or EROFS; CALL is a function's name or
//                               "writes" (all that write bytes or make room for them), "syncs" (fsync,
//                               fdatasync), "changes" (opening for writing, mkdir, rename, unlink)
//
// accept and accept4 are counted for every socket; all others only if they involve watched files.
// While the control's `is_disarmed` is not zero no call fails or is counted.
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

// The write used a descriptor with O_DSYNC or O_SYNC: it was on disk when the call returned.
enum { faults_is_synchronous = 1 };

// The head of each change, which precedes its path, other path and data in the recording. Paths are
// relative to the watched directory, which is object 1. Numbers of objects are never reused.
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
  // The number of changes in the recording. After an answer of the program, all changes on which
  // the answer depends are among the first ones of this number.
  uint64_t recorded;
  uint64_t is_disarmed;
  // The number of calls that were made to fail.
  uint64_t failed;
};

#endif
