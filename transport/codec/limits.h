// What a call may weigh on the wire.
#pragma once

#include <cstddef>

namespace p11ha::transport {

/// Bounds of one call, in bytes; both ends agree on them when they greet. Checked before memory is taken.
struct Limits {
  /// A call encoded, or its answer: what a frame must be able to carry.
  std::size_t payload = (16UL << 20) + (256UL << 10);
  /// The outputs of one call, all together. A buffer that an application announces as larger reaches the module as
  /// large as this.
  std::size_t outputs = 16UL << 20;
};

}  // namespace p11ha::transport
