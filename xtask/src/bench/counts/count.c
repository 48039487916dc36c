/*
 * What qemu's user mode loads to count the instructions of a program (`mips.rs` beside this file builds it and hands
 * it over). The program marks the beginning and the end of a piece of work by a system call that nothing else makes
 * (`counts/src/mark.rs`); at each end the number of instructions since the beginning goes to a file, one line a piece.
 *
 * Debian packs no header for qemu's plugins. What is used of its documented interface is declared here, in the form
 * that it has had since qemu 4.2; VERSION is the interface's number, 1 up to qemu 8 and 2 from qemu 9 on, which
 * refuses what is older.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SHOWN __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb; /* a run of instructions without a jump into it, translated as a whole */

typedef void translated(plugin_id, struct qemu_plugin_tb *);
typedef void executed(unsigned int cpu, void *data);
typedef void called(plugin_id, unsigned int cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		    uint64_t, uint64_t, uint64_t);

enum { NO_REGISTERS };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed *, int registers, void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

SHOWN int qemu_plugin_version = VERSION;

/* As in counts/src/mark.rs: getpid, by its number in MIPS' O32, called with arguments that it does not have. */
enum { GETPID = 4020 };
#define MARK 0x6d61726bu
enum { BEGINS = 1, ENDS = 2 };

static uint64_t instructions;
static uint64_t before;
static FILE *out;

/* A run is counted as it begins. All of it is executed: a mark, as every system call, is the last of its run. */
static void count(unsigned int cpu, void *length)
{
	(void)cpu;
	instructions += (uintptr_t)length;
}

static void translate(plugin_id id, struct qemu_plugin_tb *block)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(block, count, NO_REGISTERS, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void mark(plugin_id id, unsigned int cpu, int64_t number, uint64_t sign, uint64_t what, uint64_t a3,
		 uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
	(void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
	if (number != GETPID || (uint32_t)sign != MARK)
		return;
	if (what == BEGINS) {
		before = instructions;
	} else if (what == ENDS) {
		fprintf(out, "%llu\n", (unsigned long long)(instructions - before));
		fflush(out);
	}
}

SHOWN int qemu_plugin_install(plugin_id id, const void *qemu, int argc, char **argv)
{
	(void)qemu;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || !(out = fopen(argv[0] + 4, "w"))) {
		fputs("count: give it out=FILE, a file that can be written\n", stderr);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_vcpu_syscall_cb(id, mark);
	return 0;
}
