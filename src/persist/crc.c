#include "persist/crc.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0xEDB88320u
#define STRIDE 8

/* table[0] is for one byte; table[k] for a byte that k more follow. */
static uint32_t table[STRIDE][256];
static bool made;

void crc_init(void)
{
	if (made)
		return;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < STRIDE; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
	made = true;
}

uint32_t crc_add(uint32_t crc, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	crc = ~crc;
	for (; len >= STRIDE; len -= STRIDE, p += STRIDE) {
		uint64_t word;
		memcpy(&word, p, sizeof word);
		word = le64toh(word) ^ crc;
		crc = 0;
		for (int k = 0; k < STRIDE; k++)
			crc ^= table[STRIDE - 1 - k][word >> (8 * k) & 0xff];
	}
	for (; len > 0; len--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}
