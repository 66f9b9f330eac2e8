# SPDX-License-Identifier: Apache-2.0
#
# One program, which has spin and cc at work on two verifications at a time.
PROGRAMS_model := build/tests/model/model
build/tests/model/model: tests/model/model.c | deps-model
	$(call compile,$(CC)) -O1
LIMIT_model := 1200
