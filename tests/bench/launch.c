/* Starts a program the way a benchmark wants it: pinned, bounded in time, its start told.
 *
 *   launch CORE SECONDS COMMAND [ARGUMENT...]
 *
 * Prints "PID MONOTONIC-NANOSECONDS" and becomes COMMAND, on core CORE (-1: any), which is killed by an alarm after SECONDS.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	cpu_set_t set;

	if (argc < 4) {
		fprintf(stderr, "usage: launch CORE SECONDS COMMAND [ARGUMENT...]\n");
		return 2;
	}
	if (atoi(argv[1]) >= 0) {
		CPU_ZERO(&set);
		CPU_SET((size_t)atoi(argv[1]), &set);
		if (sched_setaffinity(0, sizeof set, &set) == -1)
			perror("launch: not pinned");
	}
	/* A thousand sockets need more descriptors than a shell usually gives. */
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%d %lld\n", (int)getpid(), (long long)now.tv_sec * 1000000000 + now.tv_nsec);
	fflush(stdout);
	alarm((unsigned)atoi(argv[2]));
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
