/* Asks a DHCP server for boot offers as fast as it answers, or at a fixed rate, and times each answer.
 *
 * dhcp_load ask INTERFACE QUESTIONS SECONDS WINDOW RATE
 *     QUESTIONS is a file of packets, each behind its length (native 16 bit). Every question sent gets its own xid.
 *     RATE 0 keeps WINDOW questions unanswered; another RATE sends so many a second, whatever is answered.
 *     Prints one line of JSON. A question without an answer for 200 ms is lost.
 * dhcp_load echo INTERFACE
 *     The fastest server there could be: sends each question back as its own answer. It tells what `ask` can do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, LARGEST = 1500, MACHINES = 1 << 16, XIDS = 1 << 20, ANSWERS = 1 << 22, HEADER = 240 };
#define LOST_NS 200000000ull

static uint8_t question[MACHINES][LARGEST];
static uint16_t length[MACHINES];
static uint64_t sent_at[XIDS];
static uint32_t waited_tenth_us[ANSWERS];

static struct batch {
	struct mmsghdr message[BATCH];
	struct iovec part[BATCH];
	uint8_t data[BATCH][LARGEST];
} in, out;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int open_socket(const char *interface, int port)
{
	int opened = socket(AF_INET, SOCK_DGRAM, 0), yes = 1, large = 8 << 20;
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
	setsockopt(opened, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
	setsockopt(opened, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
	setsockopt(opened, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large);
	if (setsockopt(opened, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface) + 1)
	    || bind(opened, (struct sockaddr *)&own, sizeof own)) {
		perror(interface);
		exit(1);
	}
	return opened;
}

static void prepare(struct batch *batch, struct sockaddr_in *to)
{
	for (int i = 0; i < BATCH; i++) {
		batch->part[i] = (struct iovec){batch->data[i], LARGEST};
		batch->message[i].msg_hdr = (struct msghdr){.msg_iov = &batch->part[i], .msg_iovlen = 1};
		if (to) {
			batch->message[i].msg_hdr.msg_name = to;
			batch->message[i].msg_hdr.msg_namelen = sizeof *to;
		}
	}
}

static int load_questions(const char *path)
{
	FILE *file = fopen(path, "rb");
	int count = 0;
	while (file && count < MACHINES && fread(&length[count], 2, 1, file) == 1
	       && length[count] <= LARGEST && fread(question[count], 1, length[count], file) == length[count])
		count++;
	return count;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int ask(const char *interface, const char *path, double seconds, long window, double rate)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST};
	int opened = open_socket(interface, 68), machines = load_questions(path);
	uint64_t start = now_ns(), end = start + seconds * 1e9, last = start;
	uint32_t xid = 0, oldest = 0;
	long sent = 0, answered = 0, lost = 0;
	if (!machines)
		return fprintf(stderr, "no questions in %s\n", path), 1;
	prepare(&in, NULL);
	prepare(&out, &server);
	for (uint64_t now = start; now < end; now = now_ns()) {
		int heard = recvmmsg(opened, in.message, BATCH, MSG_DONTWAIT, NULL);
		now = now_ns();
		for (int i = 0; i < heard; i++) {
			uint32_t which;
			memcpy(&which, in.data[i] + 4, 4);
			which = ntohl(which) % XIDS;
			if (in.message[i].msg_len < HEADER || in.data[i][0] != 2 || !sent_at[which])
				continue;
			if (answered < ANSWERS)
				waited_tenth_us[answered] = (now - sent_at[which]) / 100;
			answered++;
			sent_at[which] = 0;
			last = now;
		}
		for (; oldest != xid; oldest++) {
			uint64_t *at = &sent_at[oldest % XIDS];
			if (*at && now - *at < LOST_NS)
				break;
			lost += *at != 0;
			*at = 0;
		}
		long due = rate > 0 ? (long)((now - start) / 1e9 * rate) - sent : window - (sent - answered - lost);
		if (due > BATCH)
			due = BATCH;
		for (long i = 0; i < due; i++) {
			int machine = (sent + i) % machines;
			uint32_t fresh = htonl(xid + i);
			memcpy(out.data[i], question[machine], length[machine]);
			memcpy(out.data[i] + 4, &fresh, 4);
			out.part[i].iov_len = length[machine];
		}
		int gone = due > 0 ? sendmmsg(opened, out.message, due, 0) : 0;
		now = now_ns();
		for (int i = 0; i < gone; i++)
			sent_at[xid++ % XIDS] = now;
		sent += gone > 0 ? gone : 0;
	}
	long timed = answered < ANSWERS ? answered : ANSWERS;
	qsort(waited_tenth_us, timed, sizeof *waited_tenth_us, by_size);
	printf("{\"answers\": %ld, \"sent\": %ld, \"lost\": %ld, \"per_second\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
	       answered, sent, lost, last > start ? answered / ((last - start) / 1e9) : 0,
	       timed ? waited_tenth_us[timed / 2] / 1e4 : 0, timed ? waited_tenth_us[timed * 99 / 100] / 1e4 : 0);
	return 0;
}

static void echo(const char *interface)
{
	struct sockaddr_in everybody = {.sin_family = AF_INET, .sin_port = htons(68), .sin_addr.s_addr = INADDR_BROADCAST};
	int opened = open_socket(interface, 67);
	prepare(&in, NULL);
	for (;;) {
		int heard = recvmmsg(opened, in.message, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < heard; i++) {
			in.data[i][0] = 2;
			in.part[i].iov_len = in.message[i].msg_len;
			in.message[i].msg_hdr.msg_name = &everybody;
			in.message[i].msg_hdr.msg_namelen = sizeof everybody;
		}
		if (heard > 0)
			sendmmsg(opened, in.message, heard, 0);
		prepare(&in, NULL);
	}
}

int main(int count, char **word)
{
	if (count == 7 && !strcmp(word[1], "ask"))
		return ask(word[2], word[3], atof(word[4]), atol(word[5]), atof(word[6]));
	if (count == 3 && !strcmp(word[1], "echo"))
		echo(word[2]);
	fprintf(stderr, "usage: %s ask INTERFACE QUESTIONS SECONDS WINDOW RATE | echo INTERFACE\n", word[0]);
	return 2;
}
