/* A wall clock that can be set without setting the machine's: loaded into the daemon by LD_PRELOAD, it adds to
 * CLOCK_REALTIME the seconds in the file that SOAK_CLOCK names (eight bytes, the machine's order). The other clocks
 * stay. A part of tests, never of a router. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SOAK_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file >= 0) {
		void *place = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
		if (place != MAP_FAILED)
			offset = place;
		close(file);
	}
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	long status = syscall(SYS_clock_gettime, clock, now);
	if (status == 0 && clock == CLOCK_REALTIME && offset)
		now->tv_sec += *offset;
	return (int)status;
}
