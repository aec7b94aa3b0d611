// Linux's own calls, for which glibc has no function or shows it to C programs only.
#ifndef CLINUX_H
#define CLINUX_H

#include <sys/types.h>

// Makes the calling thread one that runs as soon as it is woken. From 6.12 on Linux lets a thread that
// was woken wait until the one that runs has had its turn, 3 ms if it has none of its own, unless that
// of the woken one is shorter. An older kernel changes nothing.
void take_shortest_turns(void);

// Makes the calling thread one that does not keep others waiting: its turns are short, but not as short
// as those that begin at once. And it gets a niceness of its own, as Linux has it; 0 is as much of the
// core as any other. Where the kernel knows no turns of their own, the niceness is all. The name (at
// most 15 bytes) is what ps and top show.
void take_short_turns(const char *name, int niceness);

// The cores that the calling thread may use.
int count_cores(void);

// Keeps threads that run as soon as they are woken and all others apart: of the cores that the calling
// thread may use, the last so many are for the others. All threads that there are, and those that they
// make, are kept to these, until one of them takes the shortest turns. (What such a thread makes begins
// on its cores.) Returns 0, or −1 with errno set: EINVAL where no core would be left for those.
int keep_cores_for_others(int count);

// Keeps the calling thread, and those that it makes, to the cores from one to another.
void keep_thread_to_cores(int first, int last);

// Puts each of two files, or directories, in the place of the other, at once. Returns 0, or −1 with
// errno set: EINVAL where the file system cannot.
int exchange_files(const char *path, const char *other);

// Has the kernel begin to write a part of a file to the disk. Only a hint: nothing is waited for.
void begin_writing_back(int descriptor, long offset, long count);

// Has malloc map blocks of a MiB and more on their own, always: they cost what is touched of them, and
// are given back when they are freed. By itself malloc raises the size from which it does so with every
// large block that is freed, to 32 MiB. Then LMDB's tables for an environment come from memory that was
// used before, have to be filled with zeros, and are resident: 2 MB for a corpus that holds nothing.
void map_large_blocks(void);

// Gives the system back what malloc keeps of freed memory. Each arena is locked meanwhile: milliseconds
// for some hundred MiB that were freed since the last time.
void return_freed_memory(void);

// Makes a pipe, with room for so many bytes if the system allows it. Returns 0, or −1 with errno set.
int make_pipe(int ends[2], int bytes);


// What SO_PEERCRED gives. glibc calls it ucred, and shows it to programs that define _GNU_SOURCE only.
struct peer_credentials {
  pid_t process;
  uid_t user;
  gid_t group;
};

#endif
