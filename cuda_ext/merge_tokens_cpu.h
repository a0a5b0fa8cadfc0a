// SPDX-License-Identifier: Apache-2.0
// The CPU kernel of `merge_tokens`.
#pragma once

#include "merge_tokens.h"

namespace fasthmr {

template <typename Value>
void merge_tokens_cpu(const MergeArrays<Value>& arrays, const MergeShape& shape);

}  // namespace fasthmr
