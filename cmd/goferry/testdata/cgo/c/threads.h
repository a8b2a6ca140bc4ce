int run_threads(int threads, int calls);
void say(const char *where, int threads, long long sum);
