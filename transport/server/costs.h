// How long each function takes: whether the thread that reads may run it itself.
#pragma once

#include <array>
#include <atomic>

#include "cryptoki/function.h"

namespace p11ha::transport {

enum class Cost : std::uint8_t {
  Cheap,  // done sooner than another thread would be awake
  Heavy,  // worth another core
  Slow,   // may wait for something: a thread of its own
};

/// Learns as it goes. Any thread.
class Costs {
 public:
  Cost of(cryptoki::Fn fn) const;
  void took(cryptoki::Fn fn, std::int64_t nanoseconds) {
    std::atomic<std::int64_t>& mean = means_[static_cast<std::size_t>(fn)];
    const std::int64_t before = mean.load(std::memory_order_relaxed);
    mean.store(before + (nanoseconds - before) / 8, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kHeavy = 60'000;
  static constexpr std::int64_t kSlow = 20'000'000;

  std::array<std::atomic<std::int64_t>, cryptoki::kFunctionCount> means_{};
};

inline Cost Costs::of(cryptoki::Fn fn) const {
  using cryptoki::Fn;
  switch (fn) {
    case Fn::GenerateKey:
    case Fn::GenerateKeyPair:
    case Fn::Login:
    case Fn::LoginUser:
    case Fn::Logout:
    case Fn::InitPIN:
    case Fn::SetPIN:
    case Fn::OpenSession:
    case Fn::CloseSession:
    case Fn::CloseAllSessions:
    case Fn::CreateObject:
    case Fn::CopyObject:
    case Fn::DestroyObject:
    case Fn::SetAttributeValue:
    case Fn::UnwrapKey:
    case Fn::DeriveKey:
    case Fn::FindObjectsInit:
    case Fn::GetTokenInfo:
      return Cost::Slow;
    default: {
      const std::int64_t mean = means_[static_cast<std::size_t>(fn)].load(std::memory_order_relaxed);
      return mean < kHeavy ? Cost::Cheap : mean < kSlow ? Cost::Heavy : Cost::Slow;
    }
  }
}

}  // namespace p11ha::transport
