// How late a server's heartbeats come, and how much comes and arrives at all.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace p11ha::transport {

/// Two clocks that nobody has set by each other tell only by how much more a heartbeat is late than the least late one
/// before. That one is forgotten after a while, as the clocks of two machines drift apart. One thread.
class Lateness {
 public:
  using Milliseconds = std::chrono::milliseconds;
  /// What a clock that only runs forward can show: 2^52 ms.
  static constexpr std::uint64_t kLatestSent = std::uint64_t{1} << 52;
  /// A heartbeat is remembered for once to twice as long.
  static constexpr Milliseconds kRemembered{60'000};

  /// A heartbeat, sent at that time of the server's clock (kLatestSent at most) and heard at that one of ours.
  Milliseconds heard(std::uint64_t sent, Milliseconds at) {
    const Milliseconds offset = at - Milliseconds(static_cast<std::int64_t>(sent));
    if (at - since_ > kRemembered) {
      before_ = least_;
      least_ = offset;
      since_ = at;
    }
    least_ = std::min(least_, offset);
    return offset - std::min(least_, before_);
  }

 private:
  static constexpr Milliseconds kNone{std::numeric_limits<std::int64_t>::max()};

  Milliseconds since_{};
  Milliseconds least_ = kNone;
  Milliseconds before_ = kNone;
};

/// Bytes of late. One thread.
class Inflow {
 public:
  using Duration = std::chrono::steady_clock::duration;

  explicit Inflow(Duration window) : window_(window) {}

  void heard(std::size_t bytes, Duration at) {
    if (const auto windows = (at - since_) / window_; windows > 0) {
      before_ = windows == 1 ? now_ : 0;
      now_ = 0;
      since_ += windows * window_;
    }
    now_ += bytes;
  }
  /// Of the last one to two windows.
  std::uint64_t recent() const { return before_ + now_; }
  Duration window() const { return window_; }

 private:
  const Duration window_;
  Duration since_{};
  std::uint64_t before_ = 0;
  std::uint64_t now_ = 0;
};

/// What was sent and has not arrived. One thread.
class Outflow {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// So much was sent till now, and so much of it had arrived when the server said so.
  void heard(std::uint64_t sent, std::uint64_t arrived, Duration at) {
    arrived_ = arrived;
    if (arrived >= mark_) return begin(sent, at);
    late_ = at - markedAt_;
  }
  /// The server reads nothing for the moment.
  void heldBack(std::uint64_t sent, Duration at) { begin(sent, at); }
  /// For how long something has been on its way.
  Duration late() const { return late_; }
  /// Bytes that arrived meanwhile.
  std::uint64_t recent() const { return arrived_ - std::min(arrived_, arrivedThen_); }

 private:
  void begin(std::uint64_t sent, Duration at) {
    mark_ = sent;
    markedAt_ = at;
    arrivedThen_ = arrived_;
    late_ = Duration::zero();
  }

  std::uint64_t arrived_ = 0;
  std::uint64_t mark_ = 0;  // what was sent at a time, and how much of all had arrived
  Duration markedAt_{};
  std::uint64_t arrivedThen_ = 0;
  Duration late_{};
};

}  // namespace p11ha::transport
