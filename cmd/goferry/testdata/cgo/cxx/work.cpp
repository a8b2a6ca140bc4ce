#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include "work.h"

static void refuse(int n) { throw std::runtime_error("thrown " + std::to_string(n)); }

int work(const char *where) {
	std::atomic<int> sum{0};
	std::vector<std::thread> all;
	for (int i = 0; i < 4; i++) all.emplace_back([&sum] { for (int k = 1; k <= 100; k++) sum += k; });
	for (auto &t : all) t.join();
	std::string caught;
	try { refuse(sum); } catch (const std::exception &e) { caught = e.what(); }
	std::printf("%s: C++, sum %d, %s\n", where, int(sum), caught.c_str());
	std::fflush(stdout);
	return caught == "thrown 20200" ? 0 : 1;
}
