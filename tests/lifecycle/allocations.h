// How much of the heap is in use, to the single allocation.
#pragma once

#include <optional>

namespace p11ha::tests {

/// Allocations of this process, of whatever library, that were not freed yet. Nothing under sanitizers, whose
/// allocators are their own.
std::optional<long> liveAllocations();

}  // namespace p11ha::tests
