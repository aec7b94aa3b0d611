// The functions that the files of this library share. It is included before any other header:
// `_GNU_SOURCE` decides what those declare.
//
//     Start.c        reads the environment; the memory page that is shared with the tests
//     Watching.c     paths and descriptors of watched files
//     Faults.c       the calls that must fail
//     Recording.c    the changes
//     OpenCalls.c    replaced functions that open and close files
//     WriteCalls.c   replaced functions that change bytes, or bring them to the disk
//     NameCalls.c    replaced functions that change names
//     OtherCalls.c   replaced functions without a change: mmap, accept; syscall
//
// For a watched file, a replaced function takes the lock, asks `fails`, calls the function of the
// system, records the change, and releases the lock.
#ifndef CFAULTS_INTERNAL_H
#define CFAULTS_INTERNAL_H

#define _GNU_SOURCE
#include "CFaults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

// The function that this one replaces.
#define REAL(name)                                                        \
  static __typeof__(&name) real_##name;                                   \
  if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// The program must find the replaced functions in this library, but none of these: it may have
// functions with the same names.
#pragma GCC visibility push(hidden)

// MARK: Start.c

// Ends the program: it did something that this library does not support.
_Noreturn void stop(const char *why);

// The control page of the tests; a page that nobody reads if there is none.
extern struct faults_control *control;

// MARK: Watching.c

// Watches a directory from now on.
void watch(const char *directory);

// The path below the watched directory, or NULL if it is elsewhere. "" is the directory itself.
const char *watched(int directory, const char *path, char buffer[PATH_MAX]);

// Gives a new file or directory its number.
uint32_t add_object(const struct stat *status, const char *path);

// The newest object with the system's numbers, 0 if there is none.
uint32_t find_object(const struct stat *status);

// True for LMDB's lock files. Their bytes are not recorded: none of them outlives the process.
bool is_lock_file(uint32_t object);

// The object behind a descriptor, 0 if it is not watched.
uint32_t object_behind(int descriptor);

// Notes the object and the flags with which a descriptor was opened.
void remember(int descriptor, uint32_t object, int flags);
void forget(int descriptor);

// Of a watched descriptor: true if a write is on disk when it returns (O_DSYNC, O_SYNC).
bool is_synchronous(int descriptor);

// Of a watched descriptor: the offset at which write(2) would write.
off_t place_of_write(int descriptor);

// MARK: Faults.c

// Reads the text of REPRISE_FAULT.
void read_faults(const char *text);

// True if this call must fail; errno is set then. `group` is a group of calls to which it belongs,
// or NULL.
bool fails(const char *call, const char *group);

// As `fails`. `needs_room` is false if bytes are overwritten in place: a full disk allows that.
bool fails_where(const char *call, const char *group, bool needs_room);

// MARK: Recording.c

// One lock: changes happened in the order of the recording. It guards the objects, too.
void lock_changes(void);
// Keeps errno.
void unlock_changes(void);

// Begins a recording, which is appended to a file.
void start_recording(const char *path);
bool is_recording(void);

// Records a change of an object. Each of these functions keeps errno, and does nothing without a
// recording.
void record_change(enum faults_kind kind, uint32_t object, uint64_t offset, uint64_t length);

// Records a change of names. `object` is a new one or 0; `other` is NULL if only one name changes.
void record_names(enum faults_kind kind, uint32_t object, const char *path, const char *other);

// Records the bytes that a call has written, none if it failed.
void record_write(
    int descriptor, uint32_t object, off_t offset, const struct iovec *parts, int count,
    ssize_t written);

// Records bytes that the system copied into a file without showing them, none if it failed.
void record_copied(int descriptor, uint32_t object, off_t offset, ssize_t count);

#pragma GCC visibility pop

#endif
