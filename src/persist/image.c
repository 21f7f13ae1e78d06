#include "persist/image.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "persist/schema.h"

/* https://www.sqlite.org/fileformat2.html */
#define WAL_HEADER 32
#define WAL_FRAME_HEADER 24
#define WAL_MAGIC 0x377f0682u /* checksums over little-endian words; one more: big-endian */
#define FREE_LIST 32          /* in the header of page 1: first trunk, count */
#define APPLICATION_ID 68
#define PAGES_MAX UINT32_C(0x1000000) /* 64 GiB */

struct image {
	int file, wal;
	uint32_t pages, file_pages;
	uint32_t *frames; /* for each page: its frame in the WAL, from 1; 0: none */
	bool wal_damaged;
};

static uint32_t be32(const unsigned char *p)
{
	uint32_t n;
	memcpy(&n, p, sizeof n);
	return be32toh(n);
}

struct sum {
	uint32_t a, b;
};

static struct sum sum_add(struct sum s, const unsigned char *p, size_t len, bool big)
{
	for (size_t i = 0; i < len; i += 8) {
		uint32_t x[2];
		memcpy(x, p + i, sizeof x);
		s.a += (big ? be32toh(x[0]) : le32toh(x[0])) + s.b;
		s.b += (big ? be32toh(x[1]) : le32toh(x[1])) + s.a;
	}
	return s;
}

static void set_frame(struct image *image, uint32_t page, uint32_t frame)
{
	if (page == 0 || page > PAGES_MAX)
		return;
	if (page > image->pages) {
		image->frames = mem_realloc(image->frames, (size_t)page + 1, sizeof *image->frames);
		memset(image->frames + image->pages + 1, 0, (page - image->pages) * sizeof *image->frames);
		image->pages = page;
	}
	image->frames[page] = frame;
}

static off_t frame_at(uint32_t frame)
{
	return WAL_HEADER + (off_t)(frame - 1) * (WAL_FRAME_HEADER + IMAGE_PAGE);
}

/* Pages of a transaction count once its last frame, the one that says how large the file is, has been seen. Each frame is checked
 * with the sum that stands in the one before: so good frames are known behind a bad one too. */
static void read_wal(struct image *image)
{
	unsigned char header[WAL_HEADER], frame[WAL_FRAME_HEADER + IMAGE_PAGE];
	struct sum sum;
	unsigned char salts[8];
	bool bad = false, big = false;
	unsigned commits_behind = 0;
	uint32_t *pending = NULL, count = 0, cap = 0;

	if (pread(image->wal, header, sizeof header, 0) != (ssize_t)sizeof header)
		return;
	big = be32(header) == WAL_MAGIC + 1;
	sum = sum_add((struct sum){ 0, 0 }, header, 24, big);
	memcpy(salts, header + 16, sizeof salts);
	if ((be32(header) & ~1u) != WAL_MAGIC || be32(header + 24) != sum.a || be32(header + 28) != sum.b) {
		bad = true;
		big = false;
		if (pread(image->wal, salts, sizeof salts, WAL_HEADER + 8) != (ssize_t)sizeof salts)
			return;
	}
	for (uint32_t n = 1; pread(image->wal, frame, sizeof frame, frame_at(n)) == (ssize_t)sizeof frame; n++) {
		sum = sum_add(sum_add(sum, frame, 8, big), frame + WAL_FRAME_HEADER, IMAGE_PAGE, big);
		bool same = memcmp(frame + 8, salts, sizeof salts) == 0;
		bool good = same && be32(frame + 16) == sum.a && be32(frame + 20) == sum.b;
		if (good) {
			if (count == cap)
				pending = mem_realloc(pending, 2 * (cap = cap ? cap * 2 : 64), sizeof *pending);
			pending[2 * count] = be32(frame);
			pending[2 * count++ + 1] = n;
		}
		bad |= !good;
		if (same && be32(frame + 4) != 0) {
			commits_behind += bad;
			for (uint32_t i = 0; i < count; i++)
				set_frame(image, pending[2 * i], pending[2 * i + 1]);
			count = 0;
		}
		sum = (struct sum){ be32(frame + 16), be32(frame + 20) };
	}
	free(pending);
	image->wal_damaged = commits_behind >= 2;
}

struct image *image_open(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat there;
	if (fd == -1 || fstat(fd, &there)) {
		err_system(err, "cannot read %s", path);
		if (fd != -1)
			close(fd);
		return NULL;
	}
	struct image *image = mem_zalloc(sizeof *image);
	char *wal = mem_printf("%s-wal", path);
	image->file = fd;
	image->file_pages = (uint32_t)(there.st_size / IMAGE_PAGE > PAGES_MAX ? PAGES_MAX : there.st_size / IMAGE_PAGE);
	image->pages = image->file_pages;
	image->frames = mem_zalloc(((size_t)image->pages + 1) * sizeof *image->frames);
	image->wal = open(wal, O_RDONLY | O_CLOEXEC);
	free(wal);
	if (image->wal != -1)
		read_wal(image);
	return image;
}

void image_close(struct image **image)
{
	if (!*image)
		return;
	close((*image)->file);
	if ((*image)->wal != -1)
		close((*image)->wal);
	free((*image)->frames);
	free(*image);
	*image = NULL;
}

uint32_t image_pages(const struct image *image)
{
	return image->pages;
}

bool image_read(struct image *image, uint32_t page, unsigned char *to)
{
	if (page == 0 || page > image->pages)
		return false;
	uint32_t frame = image->frames[page];
	if (frame > 0)
		return pread(image->wal, to, IMAGE_PAGE, frame_at(frame) + WAL_FRAME_HEADER) == IMAGE_PAGE;
	return pread(image->file, to, IMAGE_PAGE, (off_t)(page - 1) * IMAGE_PAGE) == IMAGE_PAGE;
}

bool image_wal_damaged(const struct image *image)
{
	return image->wal_damaged;
}

bool image_is_ours(struct image *image)
{
	unsigned char page[IMAGE_PAGE];
	return image_read(image, 1, page) && memcmp(page, "SQLite format 3", 16) == 0 &&
	       be32(page + APPLICATION_ID) == SCHEMA_APPLICATION_ID;
}

bool *image_free_pages(struct image *image)
{
	unsigned char page[IMAGE_PAGE];
	bool *free_pages = mem_zalloc(((size_t)image->pages + 1) * sizeof *free_pages);
	uint32_t trunk, total, seen = 0;

	if (!image_is_ours(image) || !image_read(image, 1, page))
		return free_pages;
	trunk = be32(page + FREE_LIST);
	total = be32(page + FREE_LIST + 4);
	while (trunk != 0 && seen < total && image_read(image, trunk, page)) {
		uint32_t leaves = be32(page + 4);
		free_pages[trunk] = true;
		seen++;
		for (uint32_t i = 0; i < leaves && i < IMAGE_PAGE / 4 - 2; i++) {
			uint32_t leaf = be32(page + 8 + 4 * (size_t)i);
			if (leaf > 0 && leaf <= image->pages)
				free_pages[leaf] = true;
			seen++;
		}
		trunk = be32(page);
	}
	/* A list that does not add up might name pages that are in use. */
	if (trunk != 0 || seen != total)
		memset(free_pages, 0, ((size_t)image->pages + 1) * sizeof *free_pages);
	return free_pages;
}
