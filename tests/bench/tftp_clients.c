/* Many TFTP clients in one process, for tests/bench/tftp.py.
 *
 * usage: tftp_clients ADDRESS PORT NAMES NETWORK CLIENTS BLKSIZE WINDOWSIZE SECONDS
 * Each client fetches one file after the other, taking the lines of the file NAMES in turn. Prints
 * "bytes warm-up-bytes seconds files stalls": payload received after and during a short warm-up, files asked for, and
 * how often a client had to repeat itself after 200 ms of silence. Windows are read with recvmmsg, so that the client is never
 * what limits a server. Each has an address of its own, the first ones of NETWORK.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6, BATCH = 64, MAX_CLIENTS = 254, PACKET = 2048 };

struct client {
	int fd;
	int in_window;
	int is_connected;
	uint16_t block; /* the last one received in order */
	double heard;
	const char *name;
};

static struct sockaddr_in server;
static char *names; /* each ends with a NUL */
static char *next_name, *names_end;
static int blksize, windowsize;
static uint32_t network;
static uint64_t payload, files, stalls;
static struct client clients[MAX_CLIENTS];
static int epoll_fd;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "tftp_clients: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int option(char *at, const char *name, int value)
{
	int n = sprintf(at, "%s", name) + 1;
	return n + sprintf(at + n, "%d", value) + 1;
}

static void read_names(const char *file)
{
	FILE *f = fopen(file, "r");
	if (!f || fseek(f, 0, SEEK_END))
		die(file);
	long size = ftell(f);
	rewind(f);
	names = malloc(size + 1);
	if (fread(names, 1, size, f) != (size_t)size)
		die(file);
	names[size] = 0;
	names_end = names + size;
	for (char *at = names; at < names_end; at++)
		if (*at == '\n')
			*at = 0;
	next_name = names;
}

static void send_request(struct client *c)
{
	char request[600], *at = request;
	*at++ = 0;
	*at++ = RRQ;
	at += sprintf(at, "%.400s", c->name) + 1;
	at += sprintf(at, "octet") + 1;
	at += option(at, "tsize", 0);
	at += option(at, "blksize", blksize);
	if (windowsize > 1)
		at += option(at, "windowsize", windowsize);
	if (sendto(c->fd, request, at - request, 0, (void *)&server, sizeof server) < 0)
		die("sendto");
}

static void ask(struct client *c)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	if (c->fd >= 0)
		close(c->fd);
	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	own.sin_addr.s_addr = htonl(network + (c - clients) + 1);
	if (bind(c->fd, (void *)&own, sizeof own))
		die("bind");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event))
		die("epoll_ctl");
	c->block = c->in_window = c->is_connected = 0;
	c->heard = now();
	files++;
	c->name = next_name;
	next_name += strlen(next_name) + 1;
	if (next_name >= names_end)
		next_name = names;
	send_request(c);
}

static void acknowledge(struct client *c)
{
	unsigned char ack[4] = { 0, ACK, c->block >> 8, c->block & 255 };
	c->in_window = 0;
	if (send(c->fd, ack, 4, 0) < 0 && errno != ECONNREFUSED && errno != EAGAIN)
		die("send");
}

/* 1 when the transfer is over */
static int take(struct client *c, unsigned char *p, int n)
{
	if (p[1] == ERROR) {
		fprintf(stderr, "tftp_clients: ERROR %d %.*s\n", p[3], n - 5, p + 4);
		exit(1);
	}
	if (p[1] == OACK) {
		acknowledge(c);
		return 0;
	}
	if (p[1] != DATA)
		return 0;
	if ((uint16_t)(p[2] << 8 | p[3]) != (uint16_t)(c->block + 1)) {
		if (c->in_window)
			acknowledge(c);
		return 0;
	}
	c->block++;
	c->in_window++;
	payload += n - 4;
	if (n - 4 < blksize) {
		acknowledge(c);
		return 1;
	}
	if (c->in_window == windowsize)
		acknowledge(c);
	return 0;
}

static void receive(struct client *c)
{
	static unsigned char buffers[BATCH][PACKET];
	static struct iovec vectors[BATCH];
	static struct mmsghdr messages[BATCH];
	int count;
	if (!c->is_connected) {
		struct sockaddr_in from;
		socklen_t length = sizeof from;
		int n = recvfrom(c->fd, buffers[0], PACKET, 0, (void *)&from, &length);
		if (n < 4)
			return;
		if (connect(c->fd, (void *)&from, sizeof from))
			die("connect");
		c->is_connected = 1;
		c->heard = now();
		if (take(c, buffers[0], n))
			ask(c);
		return;
	}
	if (windowsize == 1) {
		int n = recv(c->fd, buffers[0], PACKET, 0);
		if (n >= 4 && take(c, buffers[0], n))
			ask(c);
		c->heard = -1;
		return;
	}
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ buffers[i], PACKET };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	count = recvmmsg(c->fd, messages, windowsize < BATCH ? windowsize : BATCH, MSG_DONTWAIT, NULL);
	c->heard = -1;
	for (int i = 0; i < count; i++)
		if (messages[i].msg_len >= 4 && take(c, buffers[i], messages[i].msg_len)) {
			ask(c);
			return;
		}
}

static void wake_the_stalled(int count, double at)
{
	for (int i = 0; i < count; i++) {
		struct client *c = &clients[i];
		if (c->heard < 0)
			c->heard = at;
		if (at - c->heard < 0.2)
			continue;
		stalls++;
		c->heard = at;
		if (c->is_connected)
			acknowledge(c);
		else
			send_request(c);
	}
}

/* A server that still waits for these clients would be slower in its next round. */
static void say_goodbye(int count)
{
	static const unsigned char error[] = { 0, ERROR, 0, 0, 'e', 'n', 'o', 'u', 'g', 'h', 0 };
	for (int i = 0; i < count; i++)
		if (clients[i].is_connected && send(clients[i].fd, error, sizeof error, 0) < 0 && errno != ECONNREFUSED)
			die("send");
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	if (argc != 9) {
		fprintf(stderr, "usage: %s ADDRESS PORT NAMES NETWORK CLIENTS BLKSIZE WINDOWSIZE SECONDS\n", argv[0]);
		return 2;
	}
	server.sin_family = AF_INET;
	server.sin_port = htons(atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &server.sin_addr);
	network = ntohl(inet_addr(argv[4]));
	int count = atoi(argv[5]);
	blksize = atoi(argv[6]);
	windowsize = atoi(argv[7]);
	double seconds = atof(argv[8]);
	if (count < 1 || count > MAX_CLIENTS || blksize + 4 > PACKET)
		return 2;
	read_names(argv[3]);
	epoll_fd = epoll_create1(0);
	for (int i = 0; i < count; i++) {
		clients[i].fd = -1;
		ask(&clients[i]);
	}
	double warm = now() + 0.25, begun = 0, looked = 0, at;
	uint64_t base = 0;
	while ((at = now()) < (begun ? begun + seconds : warm + 1)) {
		if (!begun && at >= warm) {
			begun = at;
			base = payload;
		}
		if (at - looked > 0.05) {
			wake_the_stalled(count, at);
			looked = at;
		}
		int n = epoll_wait(epoll_fd, events, 256, 50);
		for (int i = 0; i < n; i++)
			receive(events[i].data.ptr);
	}
	say_goodbye(count);
	printf("%llu %llu %.6f %llu %llu\n", (unsigned long long)(payload - base), (unsigned long long)base, at - begun,
	       (unsigned long long)files, (unsigned long long)stalls);
	return 0;
}
