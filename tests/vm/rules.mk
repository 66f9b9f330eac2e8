# SPDX-License-Identifier: Apache-2.0
#
# Threads that wait for each other take their time when others have the CPUs; on idle ones it is seconds.
LIMIT_vm := 300
JOBS_vm := 3
