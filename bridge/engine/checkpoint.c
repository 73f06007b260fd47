/* SPDX-License-Identifier: MIT */
#include "engine/checkpoint.h"
