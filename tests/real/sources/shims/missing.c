/* Bodies for missing.h: a system with one user and no commands. */
#include "missing.h"

char *tmpnam(char *name) { return NULL; }
FILE *tmpfile(void) { return NULL; }
FILE *popen(const char *command, const char *mode) { return NULL; }
int pclose(FILE *pipe) { return -1; }
int system(const char *command) { return command == NULL ? 0 : -1; }
int fchown(int fd, uid_t user, gid_t group) { return 0; }
uid_t geteuid(void) { return 0; }
uid_t getuid(void) { return 0; }
mode_t umask(mode_t mode) { return 0; }
void *getpwuid(uid_t user) { return NULL; }
