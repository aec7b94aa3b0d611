// Linux's own calls that glibc lacks or declares only for C programs.
#ifndef CLINUX_H
#define CLINUX_H

#include <spawn.h>
#include <sys/types.h>

// Makes the calling thread run as soon as it is woken. From 6.12 on Linux lets a woken thread wait
// until the running one has used its time slice, 3 ms by default, unless the woken thread's slice
// is shorter. An older kernel changes nothing.
void use_shortest_time_slices(void);

// Makes the calling thread one that does not delay others: its time slices are short, but longer
// than those of threads that run as soon as they are woken. It also gets a niceness of its own, as
// Linux counts it; 0 is the same share of the core as any other thread's. On kernels without time
// slices of threads, only the niceness has an effect. The name (at most 15 bytes) is shown by ps
// and top.
void use_short_time_slices(const char *name, int niceness);

// The number of cores that the calling thread may use.
int count_cores(void);

// Separates threads that run as soon as they are woken from all others: of the cores that the
// calling thread may use, the last `count` are for the others. All existing threads, and those that
// they create, are bound to these cores, until one of them uses the shortest time slices. (Threads
// that it creates begin on its cores.) Returns 0, or −1 with errno set: EINVAL if no core would be
// left for the threads that run at once.
int keep_cores_for_others(int count);

// Binds the calling thread, and those that it creates, to the cores from one to another.
void keep_thread_to_cores(int first, int last);

// Exchanges two files, or directories, atomically. Returns 0, or −1 with errno set: EINVAL if the
// file system does not support it.
int exchange_files(const char *path, const char *other);

// Asks the kernel to begin writing a part of a file to the disk. Only a hint: it does not wait.
void begin_writing_back(int descriptor, long offset, long count);

// Makes malloc always map blocks of a MiB and more separately: they take only touched memory, and
// are returned when they are freed. By default malloc raises this size with every large block that
// is freed, to 32 MiB. Then LMDB's tables for an environment come from used memory, must be filled
// with zeros, and are resident: 2 MB for an empty corpus.
void map_large_blocks(void);

// Returns to the system the freed memory that malloc keeps. Each arena is locked in the meantime:
// milliseconds for some hundred MiB that were freed since the last call.
void return_freed_memory(void);

// Creates a pipe, with room for `bytes` bytes if the system allows it. Returns 0, or −1 with errno
// set.
int make_pipe(int ends[2], int bytes);

// Has posix_spawn close all descriptors from the given one on in the program that it starts. Returns 0, or
// an error number.
int close_descriptors_at_spawn(posix_spawn_file_actions_t *actions, int first);


// The result of SO_PEERCRED. glibc's name is ucred, declared only for programs that define
// _GNU_SOURCE.
struct peer_credentials {
  pid_t process;
  uid_t user;
  gid_t group;
};

#endif
