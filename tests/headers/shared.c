// SPDX-License-Identifier: Apache-2.0
//
// A second file that works on the first one's vCPU.
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

int smoke_shared(struct axvcpu *v);

int smoke_shared(struct axvcpu *v)
{
    uint64_t value;

    return axvcpu_get_gpr(v, 1, &value); // EBUSY for anybody but the owner
}
