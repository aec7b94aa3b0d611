#include "Internal.h"

#include <stdio.h>
#include <string.h>

enum { faults_max = 8 };

struct fault {
  int error;
  char call[16];
  uint64_t left;  // calls until it fails
  bool goes_on;
};

static struct fault faults[faults_max];
static int faults_count;

void read_faults(const char *text) {
  static const struct {
    const char *name;
    int error;
  } errors[] = {
      {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"EROFS", EROFS}};
  while (*text) {
    if (faults_count == faults_max) stop("too many faults");
    struct fault *fault = &faults[faults_count];
    char error[16], call[16], plus = 0;
    unsigned long long count;
    int length;
    if (sscanf(text, "%15[A-Z]@%15[a-z0-9]:%llu%n", error, call, &count, &length) != 3 || !count)
      stop("REPRISE_FAULT is not ERROR@CALL:N");
    text += length;
    if (*text == '+') plus = *text++;
    if (*text == ',') text++;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
      if (strcmp(errors[i].name, error) == 0) fault->error = errors[i].error;
    if (!fault->error) stop("REPRISE_FAULT names an error that is not known");
    strcpy(fault->call, call);
    fault->left = count;
    fault->goes_on = plus != 0;
    faults_count++;
  }
}

bool fails_where(const char *call, const char *group, bool needs_room) {
  bool failed = false;
  if (control->is_disarmed) return false;
  for (int i = 0; i < faults_count; i++) {
    struct fault *fault = &faults[i];
    if (fault->error == ENOSPC && !needs_room) continue;
    if (strcmp(fault->call, call) != 0 && (!group || strcmp(fault->call, group) != 0)) continue;
    if (fault->left > 1) {
      fault->left--;
    } else if (fault->left == 1) {
      if (!fault->goes_on) fault->left = 0;
      errno = fault->error;
      failed = true;
    }
  }
  if (failed) control->failed++;
  return failed;
}

bool fails(const char *call, const char *group) { return fails_where(call, group, true); }
