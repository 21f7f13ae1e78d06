/* Stands in for systemd: takes the datagrams that a service sends to NOTIFY_SOCKET and prints them, each line its own.
 * usage: notify PATH   ("listening on PATH" when it does) */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[4096];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd == -1 || argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
		return 2;
	strcpy(address.sun_path, argv[1]);
	if (bind(fd, (const struct sockaddr *)&address, sizeof address) == -1) {
		perror(argv[1]);
		return 1;
	}
	printf("listening on %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		ssize_t n = recv(fd, text, sizeof text - 1, 0);
		if (n == -1)
			return 1;
		text[n] = '\0';
		puts(text);
		fflush(stdout);
	}
}
