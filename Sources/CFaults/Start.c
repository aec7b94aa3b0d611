#include "Internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct faults_control no_control;
struct faults_control *control = &no_control;

void stop(const char *why) {
  fprintf(stderr, "CFaults: %s\n", why);
  _exit(70);
}

static void map_control(const char *path) {
  REAL(open);
  REAL(mmap);
  REAL(close);
  int descriptor = real_open(path, O_RDWR | O_CLOEXEC);
  void *page = real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (descriptor < 0 || page == MAP_FAILED) stop("REPRISE_CONTROL cannot be mapped");
  real_close(descriptor);
  control = page;
}

__attribute__((constructor)) static void start(void) {
  const char *directory = getenv("REPRISE_WATCH");
  if (!directory) return;
  watch(directory);
  const char *path = getenv("REPRISE_CONTROL");
  if (path) map_control(path);
  path = getenv("REPRISE_RECORD");
  if (path) start_recording(path);
  const char *text = getenv("REPRISE_FAULT");
  if (text) read_faults(text);
}
