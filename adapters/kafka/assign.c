/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"
