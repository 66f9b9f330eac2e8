# SPDX-License-Identifier: Apache-2.0
COMMANDS_static := "static=sh tests/static/analyse.sh"
LIMIT_static := 600
RUN_FLAGS_static := -v
