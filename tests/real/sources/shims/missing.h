/* What programs take for granted and WASI's library does not declare. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef F_RDLCK
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#endif

#ifndef L_tmpnam
#define L_tmpnam 20
#endif

char *tmpnam(char *name);
FILE *tmpfile(void);
FILE *popen(const char *command, const char *mode);
int pclose(FILE *pipe);
int system(const char *command);
int fchmod(int fd, mode_t mode);
int fchown(int fd, uid_t user, gid_t group);
uid_t geteuid(void);
uid_t getuid(void);
mode_t umask(mode_t mode);
