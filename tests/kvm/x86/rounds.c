// SPDX-License-Identifier: Apache-2.0
//
// Nothing is left open after 10,000 rounds of create, run and destroy: descriptors and mappings are counted by
// the library's own calls and by /proc. A vCPU of the same number again is one of a new VM, or reset (trap 39).
#include "tests/kvm/x86/machine.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/tap.h"

GUEST(out, 16, "1: out %al, $0x30\n jmp 1b\n");

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static int count_maps(void)
{
    FILE *in = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;
    while (in != NULL && fgets(line, sizeof line, in))
        n++;
    if (in != NULL)
        fclose(in);
    return n;
}

static int one_alone(void)
{
    struct axvcpu *alone = &vcpus[1];
    int err = axvcpu_init(alone, &(struct axvcpu_desc){.vcpu_id = 0});
    if (err == 0)
        err = axvcpu_setup(alone, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL);
    return err != 0 ? err : axvcpu_deinit(alone);
}

// The same vCPU a second time, without a new descriptor.
static int one_again(void)
{
    int fd = axvcpu_kvm_fd(v), err = axvcpu_reset(v);
    if (err == 0)
        err = axvcpu_setup(v, axvcpu_gpa(CODE), axvcpu_hpa(0), NULL);
    if (err == 0)
        err = axvcpu_bind(v);
    if (err == 0 && (axvcpu_kvm_fd(v) != fd || !machine_says(0)))
        err = AXVCPU_EIO;
    return err;
}

static int one_round(unsigned i)
{
    static struct machine m = {PROGRAM(out)};
    int err;
    os.calls = os.asked = 0;
    os.log[0] = 0;
    if (i % 4 == 3)
        return one_alone();
    m.vcpus = 1 + i % 2;
    m.arch.irqchip = i % 100 == 0 ? AXVM_X86_IRQCHIP_FULL : i % 100 == 50 ? AXVM_X86_IRQCHIP_SPLIT : AXVM_X86_IRQCHIP_NONE;
    err = machine_start(&m);
    if (err == 0 && !machine_says(0))
        err = AXVCPU_EIO;
    if (err == 0 && i % 8 == 0)
        err = one_again();
    return machine_stop() != 0 && err == 0 ? AXVCPU_EIO : err;
}

// What is wrong after this many rounds, for a process of their own; NULL: nothing.
static const char *play(unsigned rounds)
{
    int fds, maps, err;
    unsigned i;
    os_begin();
    err = one_round(0); // stdio and the like have what they keep
    fds = count_fds();
    maps = count_maps();
    for (i = 1; i < rounds && err == 0; i++)
        err = one_round(i);
    if (err != 0)
        printf("# round %u: %s\n", i - 1, os.log);
    return err != 0               ? "a round fails" :
           os.fds != 0            ? "a descriptor is left" :
           os.mappings != 0       ? "a mapping is left" :
           count_fds() != fds     ? "/proc sees a descriptor more" :
           count_maps() != maps   ? "/proc sees a mapping more" :
                                    NULL;
}

// rounds [N]. A kernel takes its time to end a VM, so that some processes at once take no longer than one.
int main(int argc, char **argv)
{
    enum { PROCESSES = 5 };
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    tap_begin(250);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "%u rounds of create and destroy", rounds);
        return tap_done();
    }
    fflush(stdout);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        const char *wrong = play(rounds / PROCESSES);
        printf("# process %d: %u rounds: %s\n", i, rounds / PROCESSES, wrong != NULL ? wrong : "nothing is left open");
        fflush(stdout);
        _exit(wrong != NULL);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        wait(&status);
        ok_int(status, 0, "trap_39: %u rounds of create, run and destroy leave nothing open", rounds / PROCESSES);
    }
    return tap_done();
}
