// The output of a multi-part operation as one stream of bytes, though several members may have written it.
#pragma once

#include <span>

#include "base/secure_bytes.h"
#include "base/stream_hash.h"

namespace p11ha::ha {

/// What the application was given, and how a member that takes the operation over compares: what it says again must be
/// the same and is kept back, what it says beyond that is queued (DESIGN.md, "Journal"). Owned by its operation; one
/// thread.
class OutputStream {
 public:
  /// A member's output is the application's as it is: nothing to keep back, nothing queued.
  bool plain() const { return owed_ == 0 && queue_.empty(); }

  /// The application was given these bytes.
  void handOut(std::span<const std::uint8_t> bytes) {
    handed_.add(bytes);
    handedSize_ += bytes.size();
  }

  /// Another member begins from the first byte.
  void beginReplay() {
    owed_ = handedSize_;
    again_.reset();
    base::wipeAndClear(queue_);
  }
  /// What it says, in order. False: not what was handed out.
  bool take(std::span<const std::uint8_t> bytes);

  /// Bytes that it still has to say again.
  std::uint64_t owed() const { return owed_; }
  std::span<const std::uint8_t> queued() const { return queue_; }
  /// The application was given what is queued.
  void handOutQueue() {
    handOut(queue_);
    base::wipeAndClear(queue_);
  }

  void clear() {
    handed_.reset();
    handedSize_ = owed_ = 0;
    base::wipeAndClear(queue_);
  }

 private:
  base::StreamHash handed_;
  std::uint64_t handedSize_ = 0;
  base::StreamHash again_;
  std::uint64_t owed_ = 0;
  base::SecureBytes queue_;
};

}  // namespace p11ha::ha
