// SPDX-License-Identifier: Apache-2.0
//
// Groups of mutants, and how many there must be of each.
GROUP("ownership", 5)
GROUP("run", 5)
GROUP("answers", 5)
GROUP("interrupts and kicks", 5)
GROUP("sleep", 5)
