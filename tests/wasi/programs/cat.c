// Copies its input to its output, line by line, and counts the lines on standard error.
#include <stdio.h>

int main(void) {
  char line[4096];
  long n = 0;
  while (fgets(line, sizeof line, stdin)) {
    fputs(line, stdout);
    fflush(stdout);
    n++;
  }
  fprintf(stderr, "%ld lines\n", n);
  return 0;
}
