// Each of WASI's functions, called as a C program can, and what it answers. The name of one is the
// argument; after a "+" come the cases that go beyond what wasmtime offers.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

#define READ __WASI_RIGHTS_FD_READ
#define WRITE __WASI_RIGHTS_FD_WRITE
#define FILE_RIGHTS 0x8e001ffull
#define DIR_RIGHTS 0x7b7fe00ull
#define SHOW(label, call) printf("%s: %d\n", label, (int)(call))

static char buffer[4096];
static __wasi_size_t size;
static __wasi_filesize_t offset;
static __wasi_timestamp_t stamp;

static int open_at(int dir, const char *path, int oflags, uint64_t rights, int fdflags, int *fd) {
  __wasi_fd_t opened = 0;
  int e = __wasi_path_open(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path, oflags, rights, rights,
                           fdflags, &opened);
  if (fd) *fd = opened;
  else if (!e) __wasi_fd_close(opened);
  return e;
}
static int file(const char *path, uint64_t rights) {
  int fd = -1;
  int e = open_at(3, path, 0, rights, 0, &fd);
  if (e) printf("cannot open %s: %d\n", path, e);
  return fd;
}
static int reader(void) { return file("file", FILE_RIGHTS & ~WRITE); }
static int writer(void) { return file("file", FILE_RIGHTS & ~READ); }
static int both(void) { return file("file", FILE_RIGHTS); }
static int rd(int fd, int n) {
  __wasi_iovec_t iov = {(uint8_t *)buffer, n};
  memset(buffer, 0, sizeof buffer);
  int e = __wasi_fd_read(fd, &iov, 1, &size);
  if (!e) printf("read %d '%.*s'\n", (int)size, (int)size, buffer);
  return e;
}
static int wr(int fd, const char *s) {
  __wasi_ciovec_t iov = {(const uint8_t *)s, strlen(s)};
  int e = __wasi_fd_write(fd, &iov, 1, &size);
  if (!e) printf("wrote %d\n", (int)size);
  return e;
}
static void whole(int dir, const char *path) {
  int fd;
  if (open_at(dir, path, 0, FILE_RIGHTS & ~WRITE, 0, &fd)) { printf("no %s\n", path); return; }
  rd(fd, 100);
  __wasi_fd_close(fd);
}
static int exists(const char *path) {
  __wasi_filestat_t st;
  return __wasi_path_filestat_get(3, 0, path, &st);
}

static void args_get(void) {
  __wasi_size_t n, len;
  uint8_t *argv[8];
  __wasi_args_sizes_get(&n, &len);
  SHOW("ok", __wasi_args_get(argv, (uint8_t *)buffer));
  for (unsigned i = 0; i < n; i++) printf("%s\n", argv[i]);
}
static void args_sizes_get(void) {
  __wasi_size_t n, len;
  SHOW("ok", __wasi_args_sizes_get(&n, &len));
  printf("%d %d\n", (int)n, (int)len);
}
static void environ_get(void) {
  __wasi_size_t n, len;
  uint8_t *env[8];
  __wasi_environ_sizes_get(&n, &len);
  SHOW("ok", __wasi_environ_get(env, (uint8_t *)buffer));
  for (unsigned i = 0; i < n; i++) printf("%s\n", env[i]);
}
static void environ_sizes_get(void) {
  __wasi_size_t n, len;
  SHOW("ok", __wasi_environ_sizes_get(&n, &len));
  printf("%d %d\n", (int)n, (int)len);
}
static void clock_res_get(void) {
  for (int c = 0; c < 2; c++) {
    SHOW("ok", __wasi_clock_res_get(c, &stamp));
    printf("%d\n", stamp > 0);
  }
}
static void more_clock_res_get(void) {
  for (int c = 2; c < 4; c++) {
    SHOW("ok", __wasi_clock_res_get(c, &stamp));
    printf("%d\n", stamp > 0);
  }
  SHOW("inval", __wasi_clock_res_get(4, &stamp));
}
static void clock_time_get(void) {
  __wasi_timestamp_t again;
  for (int c = 0; c < 2; c++) {
    SHOW("ok", __wasi_clock_time_get(c, 1, &stamp));
    __wasi_clock_time_get(c, 1, &again);
    printf("%d %d\n", again >= stamp, c ? 1 : stamp > 1700000000000000000ull);
  }
}
static void more_clock_time_get(void) {
  for (int c = 2; c < 4; c++) SHOW("ok", __wasi_clock_time_get(c, 1, &stamp));
  SHOW("inval", __wasi_clock_time_get(4, 1, &stamp));
}
static void fd_advise(void) {
  int fd = both();
  for (int a = 0; a < 6; a++) SHOW("ok", __wasi_fd_advise(fd, 0, 5, a));
  SHOW("badf", __wasi_fd_advise(99, 0, 0, 0));
  SHOW("directory", __wasi_fd_advise(3, 0, 0, 0));
}
static void more_fd_advise(void) { SHOW("inval", __wasi_fd_advise(both(), 0, 0, 6)); }
static void fd_allocate(void) { SHOW("badf", __wasi_fd_allocate(99, 0, 1)); }
static void more_fd_allocate(void) {
  int fd = both();
  SHOW("ok", __wasi_fd_allocate(fd, 0, 20));
  SHOW("inval", __wasi_fd_allocate(fd, 0, 0));
  SHOW("reader", __wasi_fd_allocate(reader(), 0, 1));
  whole(3, "file");
}
static void fd_close(void) {
  int fd = reader();
  SHOW("ok", __wasi_fd_close(fd));
  SHOW("badf", __wasi_fd_close(fd));
  SHOW("gone", rd(fd, 1));
  printf("%d\n", reader() == fd);
}
static void fd_datasync(void) {
  SHOW("ok", __wasi_fd_datasync(both()));
  SHOW("badf", __wasi_fd_datasync(99));
  SHOW("stream", __wasi_fd_datasync(1));
}
static void fd_fdstat_get(void) {
  __wasi_fdstat_t st;
  int fd;
  open_at(3, "file", 0, FILE_RIGHTS, __WASI_FDFLAGS_APPEND, &fd);
  SHOW("ok", __wasi_fd_fdstat_get(fd, &st));
  printf("%d %d %d\n", st.fs_filetype, st.fs_flags, !!(st.fs_rights_base & WRITE));
  SHOW("ok", __wasi_fd_fdstat_get(3, &st));
  printf("%d %d\n", st.fs_filetype, !!(st.fs_rights_base & __WASI_RIGHTS_PATH_OPEN));
  SHOW("ok", __wasi_fd_fdstat_get(1, &st));
  SHOW("badf", __wasi_fd_fdstat_get(99, &st));
}
static void fd_fdstat_set_flags(void) {
  __wasi_fdstat_t st;
  int fd = both();
  SHOW("ok", __wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_APPEND));
  __wasi_fd_fdstat_get(fd, &st);
  printf("%d\n", st.fs_flags);
  wr(fd, "!");
  SHOW("ok", __wasi_fd_fdstat_set_flags(fd, 0));
  wr(fd, "?");
  whole(3, "file");
  SHOW("badf", __wasi_fd_fdstat_set_flags(99, 0));
  SHOW("directory", __wasi_fd_fdstat_set_flags(3, 0));
}
static void more_fd_fdstat_set_flags(void) {
  __wasi_fdstat_t st;
  int fd = both();
  SHOW("ok", __wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_SYNC | __WASI_FDFLAGS_DSYNC));
  __wasi_fd_fdstat_get(fd, &st);
  printf("%d\n", st.fs_flags);
  SHOW("inval", __wasi_fd_fdstat_set_flags(fd, 64));
}
static void fd_fdstat_set_rights(void) { SHOW("badf", __wasi_fd_fdstat_set_rights(99, 0, 0)); }
static void more_fd_fdstat_set_rights(void) {
  int fd = both();
  SHOW("ok", __wasi_fd_fdstat_set_rights(fd, READ, 0));
  SHOW("notcapable", wr(fd, "x"));
  SHOW("ok", rd(fd, 5));
  SHOW("notcapable", __wasi_fd_seek(fd, 0, 0, &offset));
  SHOW("notcapable", __wasi_fd_fdstat_set_rights(fd, READ | WRITE, 0));
}
static void fd_filestat_get(void) {
  __wasi_filestat_t st;
  SHOW("ok", __wasi_fd_filestat_get(both(), &st));
  printf("%d %d %d\n", st.filetype, (int)st.nlink, (int)st.size);
  SHOW("ok", __wasi_fd_filestat_get(3, &st));
  printf("%d\n", st.filetype);
  SHOW("ok", __wasi_fd_filestat_get(1, &st));
  printf("%d\n", (int)st.size);
  SHOW("badf", __wasi_fd_filestat_get(99, &st));
}
static void fd_filestat_set_size(void) {
  int fd = both();
  SHOW("ok", __wasi_fd_filestat_set_size(fd, 5));
  whole(3, "file");
  SHOW("ok", __wasi_fd_filestat_set_size(fd, 7));
  SHOW("reader", __wasi_fd_filestat_set_size(reader(), 5));
  SHOW("directory", __wasi_fd_filestat_set_size(3, 5));
  SHOW("badf", __wasi_fd_filestat_set_size(99, 5));
  __wasi_filestat_t st;
  __wasi_fd_filestat_get(fd, &st);
  printf("%d\n", (int)st.size);
}
static void show_times(__wasi_filestat_t *st) {
  printf("%d %d\n", (int)(st->atim % 1000000007), (int)(st->mtim % 1000000007));
}
static void fd_filestat_set_times(void) {
  __wasi_filestat_t st;
  int fd = both();
  SHOW("ok", __wasi_fd_filestat_set_times(fd, 5000, 7000, 5));
  __wasi_fd_filestat_get(fd, &st);
  show_times(&st);
  SHOW("ok", __wasi_fd_filestat_set_times(fd, 9000, 1, 1));
  __wasi_fd_filestat_get(fd, &st);
  show_times(&st);
  SHOW("now", __wasi_fd_filestat_set_times(fd, 0, 0, 10));
  SHOW("inval", __wasi_fd_filestat_set_times(fd, 0, 0, 3));
  SHOW("inval", __wasi_fd_filestat_set_times(fd, 0, 0, 12));
  SHOW("badf", __wasi_fd_filestat_set_times(99, 0, 0, 0));
}
static void fd_pread(void) {
  int fd = reader();
  __wasi_iovec_t iov = {(uint8_t *)buffer, 5};
  SHOW("ok", __wasi_fd_pread(fd, &iov, 1, 6, &size));
  printf("%.*s\n", (int)size, buffer);
  SHOW("end", __wasi_fd_pread(fd, &iov, 1, 100, &size));
  printf("%d\n", (int)size);
  SHOW("writer", __wasi_fd_pread(writer(), &iov, 1, 0, &size));
  SHOW("stream", __wasi_fd_pread(0, &iov, 1, 0, &size));
  SHOW("directory", __wasi_fd_pread(3, &iov, 1, 0, &size));
  SHOW("badf", __wasi_fd_pread(99, &iov, 1, 0, &size));
  SHOW("rest", rd(fd, 5));
}
static void fd_prestat_get(void) {
  __wasi_prestat_t st;
  SHOW("ok", __wasi_fd_prestat_get(3, &st));
  printf("%d %d\n", st.tag, (int)st.u.dir.pr_name_len);
  SHOW("ok", __wasi_fd_prestat_get(4, &st));
  SHOW("stream", __wasi_fd_prestat_get(1, &st));
  SHOW("badf", __wasi_fd_prestat_get(99, &st));
}
static void fd_prestat_dir_name(void) {
  SHOW("ok", __wasi_fd_prestat_dir_name(3, (uint8_t *)buffer, 5));
  printf("%.5s\n", buffer);
  SHOW("short", __wasi_fd_prestat_dir_name(3, (uint8_t *)buffer, 2));
  SHOW("stream", __wasi_fd_prestat_dir_name(1, (uint8_t *)buffer, 5));
  SHOW("badf", __wasi_fd_prestat_dir_name(99, (uint8_t *)buffer, 5));
}
static void fd_pwrite(void) {
  int fd = both();
  __wasi_ciovec_t iov = {(const uint8_t *)"WORLD", 5};
  SHOW("ok", __wasi_fd_pwrite(fd, &iov, 1, 6, &size));
  SHOW("rest", rd(fd, 100));
  SHOW("beyond", __wasi_fd_pwrite(fd, &iov, 1, 20, &size));
  SHOW("reader", __wasi_fd_pwrite(reader(), &iov, 1, 0, &size));
  SHOW("stream", __wasi_fd_pwrite(1, &iov, 1, 0, &size));
  SHOW("badf", __wasi_fd_pwrite(99, &iov, 1, 0, &size));
  __wasi_filestat_t st;
  __wasi_fd_filestat_get(fd, &st);
  printf("%d\n", (int)st.size);
}
static void more_fd_pwrite(void) {
  int fd;
  open_at(3, "file", 0, FILE_RIGHTS, __WASI_FDFLAGS_APPEND, &fd);
  __wasi_ciovec_t iov = {(const uint8_t *)"HELLO", 5};
  SHOW("ok", __wasi_fd_pwrite(fd, &iov, 1, 0, &size));
  wr(fd, "!");
  whole(3, "file");
}
static void fd_read(void) {
  int fd = reader();
  SHOW("ok", rd(fd, 5));
  SHOW("ok", rd(fd, 100));
  SHOW("end", rd(fd, 100));
  SHOW("nothing", rd(fd, 0));
  SHOW("writer", rd(writer(), 1));
  SHOW("directory", rd(3, 1));
  SHOW("output", rd(1, 1));
  SHOW("badf", rd(99, 1));
  SHOW("input", rd(0, 100));
}
static void fd_readdir(void) {
  char names[16][32];
  int types[16], n = 0;
  __wasi_dircookie_t cookie = 0;
  for (;;) {
    __wasi_size_t used;
    int e = __wasi_fd_readdir(3, (uint8_t *)buffer, 64, cookie, &used);
    if (e || used < sizeof(__wasi_dirent_t)) { SHOW("end", e); break; }
    __wasi_dirent_t d;
    memcpy(&d, buffer, sizeof d);
    if (sizeof d + d.d_namlen > used) { printf("cut\n"); break; }
    memcpy(names[n], buffer + sizeof d, d.d_namlen);
    names[n][d.d_namlen] = 0;
    types[n++] = d.d_type;
    cookie = d.d_next;
  }
  printf("%d entries\n", n);
  for (int i = 0; i < n; i++)
    for (int j = i + 1; j < n; j++)
      if (strcmp(names[i], names[j]) > 0) {
        char t[32];
        strcpy(t, names[i]), strcpy(names[i], names[j]), strcpy(names[j], t);
        int k = types[i];
        types[i] = types[j], types[j] = k;
      }
  for (int i = 0; i < n; i++) printf("%s %d\n", names[i], types[i]);
  SHOW("file", __wasi_fd_readdir(reader(), (uint8_t *)buffer, 64, 0, &size));
  SHOW("badf", __wasi_fd_readdir(99, (uint8_t *)buffer, 64, 0, &size));
}
static void fd_renumber(void) {
  int a = reader(), b = file("other", FILE_RIGHTS & ~WRITE);
  SHOW("ok", __wasi_fd_renumber(a, b));
  SHOW("moved", rd(b, 100));
  SHOW("gone", rd(a, 1));
  SHOW("same", __wasi_fd_renumber(b, b));
  SHOW("badf", __wasi_fd_renumber(99, b));
  SHOW("closed", __wasi_fd_renumber(b, 99));
}
static void fd_seek(void) {
  int fd = reader();
  SHOW("start", __wasi_fd_seek(fd, 6, __WASI_WHENCE_SET, &offset));
  SHOW("read", rd(fd, 3));
  SHOW("current", __wasi_fd_seek(fd, -2, __WASI_WHENCE_CUR, &offset));
  printf("%d\n", (int)offset);
  SHOW("end", __wasi_fd_seek(fd, -1, __WASI_WHENCE_END, &offset));
  printf("%d\n", (int)offset);
  SHOW("beyond", __wasi_fd_seek(fd, 100, __WASI_WHENCE_SET, &offset));
  SHOW("inval", __wasi_fd_seek(fd, -1, __WASI_WHENCE_SET, &offset));
  SHOW("stream", __wasi_fd_seek(0, 0, __WASI_WHENCE_SET, &offset));
  SHOW("directory", __wasi_fd_seek(3, 0, __WASI_WHENCE_SET, &offset));
  SHOW("badf", __wasi_fd_seek(99, 0, __WASI_WHENCE_SET, &offset));
}
static void more_fd_seek(void) { SHOW("inval", __wasi_fd_seek(reader(), 0, 3, &offset)); }
static void fd_sync(void) {
  SHOW("ok", __wasi_fd_sync(both()));
  SHOW("badf", __wasi_fd_sync(99));
  SHOW("stream", __wasi_fd_sync(1));
}
static void fd_tell(void) {
  int fd = reader();
  rd(fd, 4);
  SHOW("ok", __wasi_fd_tell(fd, &offset));
  printf("%d\n", (int)offset);
  SHOW("stream", __wasi_fd_tell(1, &offset));
  SHOW("badf", __wasi_fd_tell(99, &offset));
}
static void fd_write(void) {
  int fd = both();
  SHOW("ok", wr(fd, "HE"));
  SHOW("rest", rd(fd, 100));
  __wasi_ciovec_t iov[3] = {{(const uint8_t *)"!", 1}, {(const uint8_t *)"", 0}, {0, 0}};
  SHOW("vectors", __wasi_fd_write(fd, iov, 3, &size));
  SHOW("none", __wasi_fd_write(fd, iov, 0, &size));
  whole(3, "file");
  SHOW("reader", wr(reader(), "x"));
  SHOW("input", wr(0, "x"));
  SHOW("directory", wr(3, "x"));
  SHOW("badf", wr(99, "x"));
  SHOW("error", wr(2, ""));
}
static void path_create_directory(void) {
  SHOW("ok", __wasi_path_create_directory(3, "new"));
  SHOW("ok", __wasi_path_create_directory(3, "new/below/"));
  SHOW("exist", __wasi_path_create_directory(3, "new"));
  SHOW("exist", __wasi_path_create_directory(3, "file"));
  SHOW("exist", __wasi_path_create_directory(3, "dangling"));
  SHOW("noent", __wasi_path_create_directory(3, "missing/new"));
  SHOW("notdir", __wasi_path_create_directory(3, "file/new"));
  SHOW("empty", __wasi_path_create_directory(3, ""));
  SHOW("perm", __wasi_path_create_directory(3, "../new"));
  SHOW("perm", __wasi_path_create_directory(3, "/new"));
  SHOW("read-only", __wasi_path_create_directory(4, "new"));
  SHOW("badf", __wasi_path_create_directory(99, "new"));
}
static void path_filestat_get(void) {
  __wasi_filestat_t st;
  SHOW("ok", __wasi_path_filestat_get(3, 0, "file", &st));
  printf("%d %d\n", st.filetype, (int)st.size);
  SHOW("link", __wasi_path_filestat_get(3, 0, "link", &st));
  printf("%d\n", st.filetype);
  SHOW("followed", __wasi_path_filestat_get(3, 1, "link", &st));
  printf("%d\n", st.filetype);
  SHOW("directory", __wasi_path_filestat_get(3, 0, "sub/", &st));
  printf("%d\n", st.filetype);
  SHOW("noent", __wasi_path_filestat_get(3, 0, "missing", &st));
  SHOW("noent", __wasi_path_filestat_get(3, 1, "dangling", &st));
  SHOW("loop", __wasi_path_filestat_get(3, 1, "loop", &st));
  SHOW("notdir", __wasi_path_filestat_get(3, 0, "file/", &st));
  SHOW("perm", __wasi_path_filestat_get(3, 0, "..", &st));
  SHOW("badf", __wasi_path_filestat_get(99, 0, "file", &st));
}
static void path_filestat_set_times(void) {
  __wasi_filestat_t st;
  SHOW("ok", __wasi_path_filestat_set_times(3, 0, "file", 5000, 7000, 5));
  __wasi_path_filestat_get(3, 0, "file", &st);
  show_times(&st);
  SHOW("followed", __wasi_path_filestat_set_times(3, 1, "link", 6000, 8000, 5));
  __wasi_path_filestat_get(3, 0, "file", &st);
  show_times(&st);
  SHOW("inval", __wasi_path_filestat_set_times(3, 0, "file", 0, 0, 15));
  SHOW("noent", __wasi_path_filestat_set_times(3, 1, "dangling", 0, 0, 5));
  SHOW("read-only", __wasi_path_filestat_set_times(4, 0, "file", 0, 0, 5));
  SHOW("perm", __wasi_path_filestat_set_times(3, 0, "../outside", 0, 0, 5));
}
static void path_link(void) {
  SHOW("ok", __wasi_path_link(3, 0, "file", 3, "again"));
  whole(3, "again");
  SHOW("link itself", __wasi_path_link(3, 0, "dangling", 3, "sub/again"));
  SHOW("exist", __wasi_path_link(3, 0, "file", 3, "other"));
  SHOW("noent", __wasi_path_link(3, 0, "missing", 3, "x"));
  SHOW("noent", __wasi_path_link(3, 0, "file", 3, "missing/x"));
  SHOW("directory", __wasi_path_link(3, 0, "sub", 3, "x"));
  SHOW("slash", __wasi_path_link(3, 0, "file", 3, "x/"));
  SHOW("perm", __wasi_path_link(3, 0, "../outside/secret", 3, "x"));
  SHOW("read-only", __wasi_path_link(4, 0, "file", 3, "x"));
  SHOW("badf", __wasi_path_link(99, 0, "file", 3, "x"));
}
static void more_path_link(void) {
  SHOW("followed", __wasi_path_link(3, 1, "link", 3, "again"));
  whole(3, "again");
}
static void path_open(void) {
  SHOW("ok", open_at(3, "file", 0, READ, 0, 0));
  SHOW("create", open_at(3, "new", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, 0));
  SHOW("exist", open_at(3, "new", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, FILE_RIGHTS, 0, 0));
  SHOW("truncate", open_at(3, "other", __WASI_OFLAGS_TRUNC, FILE_RIGHTS, 0, 0));
  whole(3, "other");
  SHOW("directory", open_at(3, "sub", __WASI_OFLAGS_DIRECTORY, DIR_RIGHTS, 0, 0));
  SHOW("notdir", open_at(3, "file", __WASI_OFLAGS_DIRECTORY, READ, 0, 0));
  SHOW("notdir", open_at(3, "file/x", 0, READ, 0, 0));
  SHOW("isdir", open_at(3, "sub", 0, FILE_RIGHTS, 0, 0));
  SHOW("noent", open_at(3, "missing", 0, READ, 0, 0));
  SHOW("empty", open_at(3, "", 0, READ, 0, 0));
  SHOW("loop", open_at(3, "loop", 0, READ, 0, 0));
  SHOW("inval", open_at(3, "x", __WASI_OFLAGS_DIRECTORY | __WASI_OFLAGS_CREAT, READ, 0, 0));
  SHOW("ilseq", open_at(3, "\xff", 0, READ, 0, 0));
  memset(buffer, 'x', 300);
  buffer[300] = 0;
  SHOW("long", open_at(3, buffer, 0, READ, 0, 0));
  SHOW("perm", open_at(3, "..", 0, READ, 0, 0));
  SHOW("perm", open_at(3, "/etc/passwd", 0, READ, 0, 0));
  SHOW("read-only", open_at(4, "file", 0, FILE_RIGHTS, 0, 0));
  SHOW("read-only", open_at(4, "new", __WASI_OFLAGS_CREAT, READ, 0, 0));
  SHOW("file", open_at(reader(), "x", 0, READ, 0, 0));
  SHOW("badf", open_at(99, "x", 0, READ, 0, 0));
}
static void more_path_open(void) {
  int fd;
  open_at(3, "sub", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_PATH_OPEN | READ, 0, &fd);
  SHOW("inherited", open_at(fd, "inner", 0, READ, 0, 0));
  SHOW("notcapable", open_at(fd, "inner", 0, READ | WRITE, 0, 0));
  SHOW("notcapable", open_at(fd, "new", __WASI_OFLAGS_CREAT, READ, 0, 0));
  SHOW("sync", open_at(3, "file", 0, FILE_RIGHTS, __WASI_FDFLAGS_SYNC, 0));
}
static int link_of(const char *path, int n) {
  memset(buffer, 0, sizeof buffer);
  int e = __wasi_path_readlink(3, path, (uint8_t *)buffer, n, &size);
  if (!e) printf("%d %s\n", (int)size, buffer);
  return e;
}
static void path_readlink(void) {
  SHOW("ok", link_of("link", 100));
  SHOW("short", link_of("link", 2));
  SHOW("dangling", link_of("dangling", 100));
  SHOW("inval", link_of("file", 100));
  SHOW("inval", link_of("sub", 100));
  SHOW("noent", link_of("missing", 100));
  SHOW("perm", link_of("../outside", 100));
  SHOW("badf", __wasi_path_readlink(99, "link", (uint8_t *)buffer, 9, &size));
}
static void path_remove_directory(void) {
  SHOW("ok", __wasi_path_remove_directory(3, "empty"));
  SHOW("gone", exists("empty"));
  SHOW("notempty", __wasi_path_remove_directory(3, "sub"));
  SHOW("notdir", __wasi_path_remove_directory(3, "file"));
  SHOW("notdir", __wasi_path_remove_directory(3, "dirlink"));
  SHOW("noent", __wasi_path_remove_directory(3, "missing"));
  SHOW("inval", __wasi_path_remove_directory(3, "."));
  SHOW("perm", __wasi_path_remove_directory(3, "../outside"));
  SHOW("read-only", __wasi_path_remove_directory(4, "sub"));
}
static void more_path_remove_directory(void) {
  SHOW("slash", __wasi_path_remove_directory(3, "empty/"));
}
static void path_rename(void) {
  SHOW("ok", __wasi_path_rename(3, "file", 3, "sub/moved"));
  whole(3, "sub/moved");
  SHOW("gone", exists("file"));
  SHOW("replace", __wasi_path_rename(3, "sub/moved", 3, "other"));
  whole(3, "other");
  SHOW("directory", __wasi_path_rename(3, "sub/", 3, "empty"));
  SHOW("isdir", __wasi_path_rename(3, "other", 3, "empty"));
  SHOW("notdir", __wasi_path_rename(3, "empty", 3, "other"));
  SHOW("below", __wasi_path_rename(3, "empty", 3, "empty/deep/x"));
  SHOW("slash", __wasi_path_rename(3, "other", 3, "x/"));
  SHOW("noent", __wasi_path_rename(3, "missing", 3, "x"));
  SHOW("perm", __wasi_path_rename(3, "other", 3, "../x"));
  SHOW("read-only", __wasi_path_rename(4, "file", 3, "x"));
  SHOW("badf", __wasi_path_rename(99, "file", 3, "x"));
}
static void path_symlink(void) {
  SHOW("ok", __wasi_path_symlink("file", 3, "new"));
  whole(3, "new");
  SHOW("dangling", __wasi_path_symlink("nowhere", 3, "sub/new"));
  SHOW("exist", __wasi_path_symlink("x", 3, "file"));
  SHOW("noent", __wasi_path_symlink("x", 3, "missing/new"));
  SHOW("noent", __wasi_path_symlink("", 3, "y"));
  SHOW("slash", __wasi_path_symlink("x", 3, "y/"));
  SHOW("absolute", __wasi_path_symlink("/etc", 3, "y"));
  SHOW("perm", __wasi_path_symlink("x", 3, "../y"));
  SHOW("read-only", __wasi_path_symlink("x", 4, "y"));
  SHOW("outside", __wasi_path_symlink("../outside/secret", 3, "z"));
  SHOW("perm", open_at(3, "z", 0, READ, 0, 0));
}
static void path_unlink_file(void) {
  SHOW("ok", __wasi_path_unlink_file(3, "file"));
  SHOW("gone", exists("file"));
  SHOW("link", __wasi_path_unlink_file(3, "dangling"));
  SHOW("isdir", __wasi_path_unlink_file(3, "sub"));
  SHOW("notdir", __wasi_path_unlink_file(3, "other/"));
  SHOW("noent", __wasi_path_unlink_file(3, "missing"));
  SHOW("perm", __wasi_path_unlink_file(3, "../outside/secret"));
  SHOW("read-only", __wasi_path_unlink_file(4, "file"));
  SHOW("badf", __wasi_path_unlink_file(99, "file"));
}
static void poll_oneoff(void) {
  __wasi_subscription_t s[2];
  __wasi_event_t ev[2];
  __wasi_timestamp_t before, after;
  memset(s, 0, sizeof s);
  s[0].userdata = 42;
  s[0].u.tag = __WASI_EVENTTYPE_CLOCK;
  s[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
  s[0].u.u.clock.timeout = 20000000;
  __wasi_clock_time_get(1, 1, &before);
  SHOW("ok", __wasi_poll_oneoff(s, ev, 1, &size));
  __wasi_clock_time_get(1, 1, &after);
  printf("%d %d %d %d %d\n", (int)size, (int)ev[0].userdata, ev[0].error, ev[0].type,
         after - before >= 19000000);
  s[1] = s[0];
  s[1].userdata = 43;
  s[1].u.u.clock.timeout = 1000;
  s[0].u.u.clock.timeout = 60000000000ull;
  SHOW("first", __wasi_poll_oneoff(s, ev, 2, &size));
  printf("%d %d\n", (int)size, (int)ev[0].userdata);
  s[1].u.u.clock.flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
  s[1].u.u.clock.timeout = before;
  SHOW("past", __wasi_poll_oneoff(s, ev, 2, &size));
  s[1].u.tag = __WASI_EVENTTYPE_FD_WRITE;
  s[1].u.u.fd_write.file_descriptor = 1;
  SHOW("output", __wasi_poll_oneoff(s, ev, 2, &size));
  printf("%d %d %d\n", (int)size, (int)ev[0].userdata, ev[0].type);
  SHOW("inval", __wasi_poll_oneoff(s, ev, 0, &size));
  s[0].u.u.clock.id = __WASI_CLOCKID_PROCESS_CPUTIME_ID;
  SHOW("inval", __wasi_poll_oneoff(s, ev, 1, &size));
}
static void more_poll_oneoff(void) {
  __wasi_subscription_t s = {.userdata = 1};
  __wasi_event_t ev;
  s.u.tag = __WASI_EVENTTYPE_FD_READ;
  s.u.u.fd_read.file_descriptor = 99;
  SHOW("ok", __wasi_poll_oneoff(&s, &ev, 1, &size));
  printf("%d %d\n", (int)size, ev.error);
}
static void proc_exit(void) {
  fflush(stdout);
  __wasi_proc_exit(7);
}
static void proc_raise(void) {}
// The C library has no name for it.
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_raise")))
int32_t raise_signal(int32_t number);
static void more_proc_raise(void) {
  SHOW("ignored", raise_signal(16));
  SHOW("stops", raise_signal(18));
  SHOW("inval", raise_signal(31));
  fflush(stdout);
  raise_signal(15);
}
static void sched_yield(void) { SHOW("ok", __wasi_sched_yield()); }
static void random_get(void) {
  uint8_t some[64] = {0};
  int zeros = 0;
  SHOW("ok", __wasi_random_get(some, 64));
  for (int i = 0; i < 64; i++) zeros += !some[i];
  printf("%d\n", zeros < 20);
  SHOW("none", __wasi_random_get(some, 0));
}
static void sock_accept(void) {
  __wasi_fd_t fd;
  SHOW("notsock", __wasi_sock_accept(reader(), 0, &fd));
  SHOW("badf", __wasi_sock_accept(99, 0, &fd));
}
static void sock_recv(void) {
  __wasi_iovec_t iov = {(uint8_t *)buffer, 5};
  __wasi_roflags_t flags;
  SHOW("notsock", __wasi_sock_recv(reader(), &iov, 1, 0, &size, &flags));
  SHOW("badf", __wasi_sock_recv(99, &iov, 1, 0, &size, &flags));
}
static void sock_send(void) {
  __wasi_ciovec_t iov = {(const uint8_t *)"x", 1};
  SHOW("notsock", __wasi_sock_send(reader(), &iov, 1, 0, &size));
  SHOW("badf", __wasi_sock_send(99, &iov, 1, 0, &size));
}
static void sock_shutdown(void) {
  SHOW("notsock", __wasi_sock_shutdown(reader(), 3));
  SHOW("badf", __wasi_sock_shutdown(99, 3));
}
static void more_sock_accept(void) {
  __wasi_fd_t fd;
  __wasi_iovec_t in = {(uint8_t *)buffer, 8};
  __wasi_ciovec_t out = {(const uint8_t *)"answer", 6};
  __wasi_roflags_t flags;
  SHOW("ok", __wasi_sock_accept(5, 0, &fd));
  SHOW("peek", __wasi_sock_recv(fd, &in, 1, __WASI_RIFLAGS_RECV_PEEK, &size, &flags));
  SHOW("recv", __wasi_sock_recv(fd, &in, 1, __WASI_RIFLAGS_RECV_WAITALL, &size, &flags));
  printf("%d %.*s\n", (int)size, (int)size, buffer);
  SHOW("send", __wasi_sock_send(fd, &out, 1, 0, &size));
  SHOW("shutdown", __wasi_sock_shutdown(fd, __WASI_SDFLAGS_WR));
  SHOW("inval", __wasi_sock_shutdown(fd, 0));
}

#define CASE(name) {#name, name}
#define MORE(name) {"+" #name, more_##name}
static const struct { const char *name; void (*run)(void); } cases[] = {
    CASE(args_get), CASE(args_sizes_get), CASE(environ_get), CASE(environ_sizes_get),
    CASE(clock_res_get), MORE(clock_res_get), CASE(clock_time_get), MORE(clock_time_get),
    CASE(fd_advise), MORE(fd_advise), CASE(fd_allocate), MORE(fd_allocate), CASE(fd_close),
    CASE(fd_datasync), CASE(fd_fdstat_get), CASE(fd_fdstat_set_flags), MORE(fd_fdstat_set_flags),
    CASE(fd_fdstat_set_rights), MORE(fd_fdstat_set_rights), CASE(fd_filestat_get),
    CASE(fd_filestat_set_size), CASE(fd_filestat_set_times), CASE(fd_pread), CASE(fd_prestat_get),
    CASE(fd_prestat_dir_name), CASE(fd_pwrite), MORE(fd_pwrite), CASE(fd_read), CASE(fd_readdir),
    CASE(fd_renumber), CASE(fd_seek), MORE(fd_seek), CASE(fd_sync), CASE(fd_tell), CASE(fd_write),
    CASE(path_create_directory), CASE(path_filestat_get), CASE(path_filestat_set_times),
    CASE(path_link), MORE(path_link), CASE(path_open), MORE(path_open), CASE(path_readlink),
    CASE(path_remove_directory), MORE(path_remove_directory), CASE(path_rename),
    CASE(path_symlink), CASE(path_unlink_file), CASE(poll_oneoff), MORE(poll_oneoff),
    CASE(proc_exit), CASE(proc_raise), MORE(proc_raise), CASE(sched_yield), CASE(random_get),
    CASE(sock_accept), MORE(sock_accept), CASE(sock_recv), CASE(sock_send), CASE(sock_shutdown),
};

int main(int argc, char **argv) {
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
    if (argc > 1 && !strcmp(cases[i].name, argv[1])) {
      cases[i].run();
      return 0;
    }
  printf("no such function\n");
  return 2;
}
