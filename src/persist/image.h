/* The pages of a SQLite file as they stand in it and in its WAL, read without SQLite: for a file that SQLite cannot read any
 * more, and to see damage in a WAL, where SQLite stops without a word. */
#ifndef PERSIST_IMAGE_H
#define PERSIST_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define IMAGE_PAGE 4096

struct image;

/* Only reads. NULL with ERR_SYSTEM. */
struct image *image_open(const char *path, struct err *err);
void image_close(struct image **image);
/* Pages are numbered from 1. */
uint32_t image_pages(const struct image *image);
/* Reads a page, the newest committed version of it, as far as the WAL is good; false when it cannot be read. */
bool image_read(struct image *image, uint32_t page, unsigned char *to);
/* True when the WAL has lost what was committed: whole transactions stand behind a bad frame. A last transaction that is cut
 * short is none: to nobody was it reported as on disk. */
bool image_wal_damaged(const struct image *image);
/* True when the header says that the file is ours. */
bool image_is_ours(struct image *image);
/* One bool for each page, [0] unused; true: on the list of free pages. Malloc'd; all false when the list cannot be trusted. */
bool *image_free_pages(struct image *image);

#endif
