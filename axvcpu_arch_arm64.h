/* SPDX-License-Identifier: Apache-2.0
 *
 * axvcpu_arch_arm64.h: AArch64 backends of axvcpu.h: EL2 on bare metal, KVM on Linux
 *
 * The rooms, in the same order as in the other arch headers:
 *   >>names      register and bit names, with the manual's sections
 *   >>decode     pure C, on any host: raw syndrome and registers in, exit and effects out
 *   and, only in the backend that axvcpu.h selected:
 *   >>leaves     struct axvcpu_arch and the configurations
 *   >>registers  accessors
 *   >>switch     the world switch
 *   >>percpu     probe, enable, disable
 *   >>tables     second-stage tables
 *   >>kvm        the hosted backend
 */
#ifndef AXVCPU_H
#include "axvcpu.h"
#endif

#ifndef AXVCPU_ARCH_ARM64_H
#define AXVCPU_ARCH_ARM64_H

AXVCPU_I_C_BEGIN

/* ---------------------------------------------------------------------------------------------------- */
/* >>names                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

/* ---------------------------------------------------------------------------------------------------- */
/* >>decode                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64

#if defined(AXVCPU_KVM)
#error "axvcpu_arch_arm64.h: the KVM backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#else
#error "axvcpu_arch_arm64.h: the bare-metal backend is not there yet; define AXVCPU_ARCH_FAKE, or bring a backend by AXVCPU_ARCH_HEADER"
#endif

#endif /* the selected backend */

AXVCPU_I_C_END

#endif /* AXVCPU_ARCH_ARM64_H */

#if defined(AXVCPU_IMPLEMENTATION) && defined(AXVCPU_LEAF_CODE) && !defined(AXVCPU_I_ARM64_IMPLEMENTED)
#define AXVCPU_I_ARM64_IMPLEMENTED

AXVCPU_I_C_BEGIN

AXVCPU_I_C_END

#endif /* AXVCPU_IMPLEMENTATION */
