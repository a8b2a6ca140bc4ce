#include <pthread.h>
#include <stdio.h>
#include "threads.h"
#include "_cgo_export.h"

static int todo;

static void *work(void *unused) {
	for (int i = 1; i <= todo; i++) add(i);
	return unused;
}

int run_threads(int threads, int calls) {
	pthread_t t[16];
	int started = 0;
	todo = calls;
	for (int i = 0; i < threads && i < 16; i++)
		if (pthread_create(&t[started], NULL, work, NULL) == 0) started++;
	for (int i = 0; i < started; i++) pthread_join(t[i], NULL);
	return started;
}

void say(const char *where, int threads, long long sum) {
	printf("%s: C, %d threads, sum %d\n", where, threads, (int)sum);
	fflush(stdout);
}
