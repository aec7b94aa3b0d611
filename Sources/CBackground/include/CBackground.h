// Makes a thread one that others come before.
#ifndef CBACKGROUND_H
#define CBACKGROUND_H

// Gives the calling thread a niceness of its own, as Linux has it, and short turns: Linux from 6.12
// on lets a thread that was woken wait until the one that runs has had its turn, 3 ms otherwise.
// Where the kernel knows no turns of their own, the niceness is all. The name (at most 15 bytes) is
// what ps and top show.
void run_in_background(const char *name);

#endif
