/* CRC-32 (ISO-HDLC: reflected polynomial 0xEDB88320, as zlib's). */
#ifndef PERSIST_CRC_H
#define PERSIST_CRC_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 at first, then what the call before returned. Any thread; crc_init() has run. */
uint32_t crc_add(uint32_t crc, const void *bytes, size_t len);
/* Makes the tables; before the first crc_add(), any number of times, from one thread. */
void crc_init(void);

#endif
