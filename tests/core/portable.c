// SPDX-License-Identifier: Apache-2.0
//
// An example that says `backends: all` keeps its word: no name of a backend or an architecture is in it.
#include <glob.h>
#include <stdlib.h>

#include "tests/tap.h"

static const char *const forbidden[] = { "AXVCPU_ARCH_", "AXVCPU_KVM", "__x86_64__", "__aarch64__", "__riscv",
                                         "kvm_",         "axvcpu_fake", "asm" };

static const char *read_all(const char *path)
{
    static char text[1 << 16];
    FILE *in = fopen(path, "r");
    size_t n = in != NULL ? fread(text, 1, sizeof text - 1, in) : 0;
    text[n] = '\0';
    if (in != NULL)
        fclose(in);
    return text;
}

int main(void)
{
    glob_t found;
    int portable = 0;
    tap_begin(20);
    if (glob("examples/*.c", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *text = read_all(found.gl_pathv[i]);
            if (strstr(text, "\n * backends: all") == NULL)
                continue;
            portable++;
            for (size_t k = 0; k < sizeof forbidden / sizeof forbidden[0]; k++)
                ok(strstr(text, forbidden[k]) == NULL, "%s does not say %s", found.gl_pathv[i], forbidden[k]);
        }
        globfree(&found);
    }
    ok(portable >= 1, "there are such examples");
    return tap_done();
}
