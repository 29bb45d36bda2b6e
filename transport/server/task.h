// A request on its way through a worker.
#pragma once

#include <atomic>
#include <memory>

#include "base/clock.h"
#include "cryptoki/function.h"
#include "transport/codec/request.h"
#include "transport/wire/frame.h"

namespace p11ha::transport {

class Connection;

/// Owned by whoever has to go on with it. Its memory is kept and used again.
struct Task {
  explicit Task(const Limits& limits) : arena(arenaBound(limits)) {}

  std::shared_ptr<Connection> connection;
  FrameHeader header;
  cryptoki::Fn fn{};
  Buffer payload;
  Arena arena;
  Outputs initOutputs;
  Outputs outputs;
  /// Memory that its arena may take, as its connection counts it.
  std::size_t charged = 0;
  /// When the module was called, in ns of the monotonic clock; 0: not yet.
  std::atomic<std::int64_t> begun{0};
  /// Nobody waits for the answer.
  std::atomic<bool> cancelled{false};

  void clear() {
    payload.clear();
    arena.reset();
    connection.reset();
    charged = 0;
    begun.store(0, std::memory_order_relaxed);
    cancelled.store(false, std::memory_order_relaxed);
  }
};
using TaskPtr = std::unique_ptr<Task>;

inline std::int64_t monotonicNow() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace p11ha::transport
