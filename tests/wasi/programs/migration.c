// Holds three files open (a reader in the middle, an appender, one renumbered), a directory half
// read; sleeps for as many milliseconds as it is told, and then waits for a line of input.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static void show_rest(int fd, const char *what) {
  char text[64];
  int n = read(fd, text, sizeof text - 1);
  text[n < 0 ? 0 : n] = 0;
  printf("%s %d '%s'\n", what, n, text);
}

int main(int argc, char **argv) {
  long milliseconds = argc > 1 ? atol(argv[1]) : 0;
  char text[64];
  int reader = open("/data/input", O_RDONLY);
  int appender = open("/data/log", O_WRONLY | O_APPEND | O_CREAT, 0644);
  int both = open("/data/both", O_RDWR | O_CREAT | O_TRUNC, 0644);
  int number = open("/data/input", O_RDONLY);
  __wasi_fd_renumber(both, number);
  both = number;
  read(reader, text, 6);
  write(appender, "one\n", 4);
  write(both, "middle", 6);
  DIR *dir = opendir("/data/names");
  for (int i = 0; i < 4; i++) printf("%s\n", readdir(dir)->d_name);
  struct timespec begun, now;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  printf("sleeping\n");
  fflush(stdout);
  struct timespec nap = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&nap, 0);
  clock_gettime(CLOCK_MONOTONIC, &now);
  long spent = (now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000;
  printf("slept %s\n", spent < milliseconds - 1 ? "too little" : "well");
  show_rest(reader, "reader");
  write(appender, "two\n", 4);
  write(both, " END", 4);
  lseek(both, 0, SEEK_SET);
  show_rest(both, "both");
  struct dirent *entry;
  while ((entry = readdir(dir))) printf("%s\n", entry->d_name);
  printf("waiting\n");
  fflush(stdout);
  if (fgets(text, sizeof text, stdin)) printf("line %s", text);
  return 7;
}
