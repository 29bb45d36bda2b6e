// Where the HA core leaves its records.
#pragma once

#include <string_view>

#include "halog/event.h"

namespace p11ha::halog {

/// The port of the HA log. Owned by whoever composes the process; outlives every user. write() may be called by any
/// thread and never fails for its caller: what cannot be logged is dropped. Records of one thread keep their order.
class Sink {
 public:
  virtual ~Sink() = default;
  /// `groupSerial` is the affected group's serial number (VirtualTokenNNSN).
  virtual void write(std::string_view groupSerial, const Event& event) noexcept = 0;
};

}  // namespace p11ha::halog
