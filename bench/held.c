// SPDX-License-Identifier: Apache-2.0
//
// held GUEST COMPILER: what round trips cost in a guest, against bench/ceilings. GUEST is a file with a line
// "name: ELF: command" (rules.mk); ceilings hold for gcc 12, with another compiler the design's numbers do.
#define _GNU_SOURCE
#include <stdlib.h>

#include "bench/held.h"

static bool is_gcc_12(const char *compiler)
{
    char command[128], version[64] = "";
    FILE *in;
    snprintf(command, sizeof command, "%s -dumpversion", compiler);
    in = popen(command, "r");
    if (in != NULL && fgets(version, sizeof version, in) == NULL)
        version[0] = 0;
    if (in != NULL)
        pclose(in);
    return strtol(version, NULL, 10) == 12;
}

// False: there is no such line.
static bool read_guest(const char *path, char arch[32], char command[1024])
{
    FILE *in = fopen(path, "r");
    bool good = in != NULL && fscanf(in, " %31[^:]: %*[^:]: %1023[^\n]", arch, command) == 2;
    if (in != NULL)
        fclose(in);
    return good;
}

int main(int argc, char **argv)
{
    static struct ceiling ceilings[CEILING_MAX];
    static struct results found;
    char arch[32], command[1024];
    int n = ceilings_read("bench/ceilings", ceilings, CEILING_MAX), held = 0;
    bool exact = argc == 3 && is_gcc_12(argv[2]);
    tap_begin(100);
    if (!ok(argc == 3 && read_guest(argv[1], arch, command), "there is a command that counts"))
        return tap_done();
    ok(count_guest(command, &found) > 0, "%s counts round trips", arch);
    for (int i = 0; i < n; i++)
        if (strcmp(ceilings[i].arch, arch) == 0) {
            held_check(&ceilings[i], &found, exact);
            held++;
        }
    ok(held > 0, "%s has ceilings", arch);
    return tap_done();
}
