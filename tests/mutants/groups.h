// SPDX-License-Identifier: Apache-2.0
//
// Groups of mutants, and how many there must be of each: five of a decoder, five of a protocol, three of a path
// in assembly.
GROUP("x86 instructions", 5)
GROUP("VMX exits", 5)
GROUP("SVM exits", 5)
GROUP("arm64 syndromes", 5)
GROUP("riscv instructions", 5)
GROUP("riscv exits", 5)

GROUP("ownership", 5)
GROUP("run", 5)
GROUP("answers", 5)
GROUP("inject", 5)
GROUP("kick", 5)
GROUP("sleep", 5)
GROUP("VM wait", 5)
GROUP("VM boot", 5)
GROUP("VM table", 5)
GROUP("PSCI", 5)
GROUP("SBI", 5)
GROUP("KVM run page", 5)

GROUP("SVM switch", 3)
GROUP("VMX switch", 3)
GROUP("EL2 switch", 3)
GROUP("HS switch", 3)

GROUP("SVM barriers", 3)
GROUP("VMX barriers", 2)
GROUP("EL2 barriers", 3)
GROUP("HS barriers", 3)
