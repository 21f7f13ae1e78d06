/* A list of complaints for people: everything that is wrong with a configuration or a set of rules. */
#ifndef BASE_FAULTS_H
#define BASE_FAULTS_H

#include <stddef.h>

#define FAULTS_WARNING "warning: "

struct faults {
	char **lines; /* owned, without line ends */
	size_t count, cap;
	size_t warnings; /* how many of the lines are warnings; they stand in the list too, beginning with FAULTS_WARNING */
};

void faults_init(struct faults *faults);
void faults_close(struct faults *faults);
void faults_add(struct faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds "warning: …": shown, but nothing fails because of it. */
void faults_warn(struct faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline size_t faults_errors(const struct faults *faults)
{
	return faults->count - faults->warnings;
}
/* All lines in one malloc'd text, each with its line end. */
char *faults_text(const struct faults *faults);

#endif
