# SPDX-License-Identifier: Apache-2.0
#
# Threads that wait for each other take their time when others have the CPUs; on idle ones it is seconds, and most of
# that they sleep.
LIMIT_vm := 300
JOBS_vm := 3
