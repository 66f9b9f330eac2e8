#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# expectations.sh SOURCE...: the texts that an example must print, one a line.
sed -n 's,^[/ *]*test: expect ,,p' "$@"
