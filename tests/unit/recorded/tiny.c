/* The whole content of the image that the transaction's tests deploy: a service, and the few tools to look into it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void leave(int number) { (void)number; _exit(0); }

static int is(const char *given, const char *name) { return strcmp(given, name) == 0; }

int main(int count, char **words) {
  const char *command = count > 1 ? words[1] : "serve";
  const char *argument = count > 2 ? words[2] : "";
  struct stat found;
  signal(SIGTERM, leave);
  if (is(command, "serve"))
    for (puts("serving"), fflush(stdout);;) pause();
  if (is(command, "exists")) {
    if (stat(argument, &found) == 0) return 0;
    printf("%s is not there\n", argument);
    return 1;
  }
  if (is(command, "lacks")) return stat(argument, &found) == 0;
  if (is(command, "migrate")) { /* migrate VERSION: take /data/version there for good, refuse newer data, serve */
    char found_version[16] = "0";
    FILE *file = fopen("/data/version", "r");
    if (file) fgets(found_version, sizeof found_version, file), fclose(file);
    if (atoi(found_version) > atoi(argument)) return printf("the data are of version %s\n", found_version), 1;
    if (!(file = fopen("/data/version", "w")) || fputs(argument, file) < 0 || fclose(file)) return 1;
    for (puts("serving"), fflush(stdout);;) pause();
  }
  if (is(command, "write")) { /* write FILE: standard input into it */
    int size, file = open(argument, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    char part[4096];
    while ((size = read(0, part, sizeof part)) > 0)
      if (write(file, part, size) != size) return 1;
    return size < 0;
  }
  if (is(command, "touch")) return open(argument, O_CREAT | O_WRONLY, 0644) < 0;
  if (is(command, "cat")) {
    char part[65536];
    ssize_t size;
    int file = open(argument, O_RDONLY);
    while ((size = read(file, part, sizeof part)) > 0)
      if (write(1, part, size) != size) return 1;
    return size < 0;
  }
  if (is(command, "env")) return fputs(getenv(argument) ? getenv(argument) : "(none)", stdout) < 0;
  if (is(command, "complain")) { /* complain NAME STATUS: log the variable, then end */
    for (int line = 1; line <= 30; line++) printf("line %d\n", line);
    printf("cannot use %s\n", getenv(argument) ? getenv(argument) : "(none)");
    return count > 3 ? atoi(words[3]) : 1;
  }
  return 64;
}
