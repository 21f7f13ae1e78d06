/* A name server by table: answers A and AAAA questions over UDP on ADDRESS, port 53, until it is killed; prints "listening".
 *
 * usage: nameserver ADDRESS TABLE
 *
 * Each line of TABLE, read anew for each question: NAME and its addresses, or `silent` (no answer), `silent6` (none for AAAA), `garbage` (bytes that are
 * none), `forged` (the answer of another question). A name that does not stand there does not exist.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define PACKET 512
#define HEADER 12
#define TYPE_A 1
#define TYPE_AAAA 28

struct reply {
	unsigned char bytes[2 * PACKET];
	size_t len;
	unsigned answers;
};

/* The question's name with dots; where it ends in the packet, or 0 when it is none. */
static size_t read_name(const unsigned char *packet, size_t size, char name[PACKET])
{
	size_t at = HEADER, len = 0;

	while (at < size && packet[at] > 0) {
		size_t part = packet[at];
		if (at + part + 1 >= size || len + part + 2 > PACKET)
			return 0;
		if (len > 0)
			name[len++] = '.';
		memcpy(name + len, packet + at + 1, part);
		len += part;
		at += part + 1;
	}
	name[len] = '\0';
	return at + 5 <= size ? at + 1 : 0;
}

static void put16(struct reply *reply, unsigned value)
{
	reply->bytes[reply->len++] = (unsigned char)(value >> 8);
	reply->bytes[reply->len++] = (unsigned char)value;
}

static void put_address(struct reply *reply, const char *text, unsigned type)
{
	unsigned char address[16];

	if (inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, address) != 1)
		return;
	size_t size = type == TYPE_A ? 4 : 16;
	put16(reply, 0xC000 | HEADER); /* the question's name */
	put16(reply, type);
	put16(reply, 1);
	put16(reply, 0);
	put16(reply, 0); /* keep it 0 s */
	put16(reply, (unsigned)size);
	memcpy(reply->bytes + reply->len, address, size);
	reply->len += size;
	reply->answers++;
}

/* What stands behind the name in the table, to `line`; NULL when nothing does. */
static char *look_up(const char *table, const char *name, char line[PACKET])
{
	FILE *file = fopen(table, "r");
	char *found = NULL;

	while (file && !found && fgets(line, PACKET, file)) {
		line[strcspn(line, "\n")] = '\0';
		size_t len = strcspn(line, " ");
		if (len == strlen(name) && strncasecmp(line, name, len) == 0)
			found = line + len;
	}
	if (file)
		fclose(file);
	return found;
}

static void answer(int fd, const unsigned char *packet, size_t size, const char *table, const struct sockaddr_in *from)
{
	char name[PACKET], line[PACKET], *rest, *word;
	size_t end = read_name(packet, size, name);
	struct reply reply = { .len = 0 };

	if (!end)
		return;
	unsigned type = (unsigned)packet[end] << 8 | packet[end + 1];
	char *words = look_up(table, name, line);
	/* Before they are cut into single ones. */
	const char *silent = words ? strstr(words, "silent") : NULL;
	int is_silent = silent && (silent[6] != '6' || type == TYPE_AAAA), is_garbage = words && strstr(words, "garbage");
	int is_forged = words && strstr(words, "forged");
	if (is_silent)
		return;
	if (is_garbage) {
		memcpy(reply.bytes, packet, 2);
		memset(reply.bytes + 2, 0xFF, 40);
		reply.len = 42;
	} else {
		memcpy(reply.bytes, packet, end + 4);
		reply.len = end + 4;
		memset(reply.bytes + 6, 0, 6);
		for (rest = words; rest && (word = strsep(&rest, " "));)
			put_address(&reply, strcmp(word, "forged") == 0 ? "192.0.2.99" : word, type);
		reply.bytes[2] = 0x85;
		reply.bytes[3] = words ? 0x80 : 0x83; /* 3: there is no such name */
		reply.bytes[7] = (unsigned char)reply.answers;
		if (is_forged)
			reply.bytes[0] ^= 0xFF;
	}
	sendto(fd, reply.bytes, reply.len, 0, (const struct sockaddr *)from, sizeof *from);
}

int main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(53) };

	if (argc != 3 || inet_pton(AF_INET, argv[1], &own.sin_addr) != 1) {
		fprintf(stderr, "usage: nameserver ADDRESS TABLE\n");
		return 2;
	}
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (const struct sockaddr *)&own, sizeof own) == -1) {
		perror(argv[1]);
		return 1;
	}
	puts("listening");
	fflush(stdout);
	for (;;) {
		unsigned char packet[PACKET];
		struct sockaddr_in from;
		socklen_t from_size = sizeof from;
		ssize_t n = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &from_size);
		if (n > HEADER)
			answer(fd, packet, (size_t)n, argv[2], &from);
	}
}
