#include "observe/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum value { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START, VALUES };

static const struct {
	enum metric_type type;
	const char *name, *help;
} families[VALUES] = {
	[CPU] = { METRIC_COUNTER, "process_cpu_seconds_total", "CPU time of all threads, user and system." },
	[RESIDENT] = { METRIC_GAUGE, "process_resident_memory_bytes", "Memory that is resident." },
	[VIRTUAL] = { METRIC_GAUGE, "process_virtual_memory_bytes", "Address space." },
	[OPEN_FDS] = { METRIC_GAUGE, "process_open_fds", "Open file descriptors." },
	[MAX_FDS] = { METRIC_GAUGE, "process_max_fds", "Limit of open file descriptors." },
	[START] = { METRIC_GAUGE, "process_start_time_seconds", "Start of the process, seconds since 1970." },
};

struct process_metrics {
	struct metrics *metrics;
	struct series *series[VALUES];
	int statm; /* -1: there is no /proc */
};

static double cpu_seconds(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	double count = -1; /* the folder's own */

	if (!folder)
		return 0;
	for (const struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

/* /proc is the kernel's memory and never a disk, so the loop may read it (P1). */
static void collect(void *ctx)
{
	const struct process_metrics *p = ctx;
	char text[128];
	unsigned long virtual_pages, resident_pages;
	double page = (double)sysconf(_SC_PAGESIZE);
	struct rlimit limit;

	p->series[CPU]->value = cpu_seconds();
	p->series[OPEN_FDS]->value = count_fds();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		p->series[MAX_FDS]->value = (double)limit.rlim_cur;
	ssize_t n = p->statm == -1 ? -1 : pread(p->statm, text, sizeof text - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%lu %lu", &virtual_pages, &resident_pages) == 2) {
		p->series[VIRTUAL]->value = (double)virtual_pages * page;
		p->series[RESIDENT]->value = (double)resident_pages * page;
	}
}

struct process_metrics *process_metrics_create(struct metrics *metrics, double started)
{
	struct process_metrics *p = mem_zalloc(sizeof *p);
	struct err err;

	p->metrics = metrics;
	p->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < VALUES; i++) {
		struct metric *m = metrics_add(metrics, families[i].type, families[i].name, families[i].help, NULL, 0, NULL, 0, 0, &err);
		if (!m)
			abort(); /* somebody else has that name */
		p->series[i] = metric_series(m, NULL, 0);
	}
	p->series[START]->value = started;
	metrics_on_collect(metrics, collect, p);
	return p;
}

void process_metrics_destroy(struct process_metrics **process)
{
	struct process_metrics *p = *process;

	if (!p)
		return;
	*process = NULL;
	metrics_remove_collect(p->metrics, collect, p);
	if (p->statm != -1)
		close(p->statm);
	free(p);
}
